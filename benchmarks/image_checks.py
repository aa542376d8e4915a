"""CPU time that checking and storing one 1024x1024 image takes: `python -m benchmarks.image_checks`.

Prints one JSON object. The folder is on the disk of the current directory; the time is that of the process, all threads.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from io import BytesIO
from typing import Any

from tasks.backends.conformance.subject import build_job
from tasks.backends.sketch.art import draw
from tasks.core.configuration.sections import OutputSettings, Verify
from tasks.store.images import store_image
from tasks.store.output import parse_output

SIDE_PX = 1024
IMAGES = 200
IN_FLIGHT = 64
FORMATS: dict[str, dict[str, Any]] = {"WEBP": {"quality": 90}, "PNG": {}, "JPEG": {"quality": 90}}
LEVELS: tuple[Verify, ...] = ("auto", "decode")


def save_drawing(format_: str) -> bytes:
    """A grainy drawing as a file."""
    file = BytesIO()
    image = draw("a harbour at night, rain", seed=7, width=SIDE_PX, height=SIDE_PX)
    image.save(file, format_, **FORMATS[format_])
    return file.getvalue()


async def store_all(data: bytes, folder: str, verify: Verify) -> None:
    """Store the file for every job, as a run does."""
    out, slots = parse_output(folder), asyncio.Semaphore(IN_FLIGHT)

    async def store(number: int) -> None:
        job = build_job({"type": "sketch"}, number)
        async with slots:
            await store_image(out, job, data, OutputSettings(verify=verify))

    await asyncio.gather(*map(store, range(IMAGES)))


def measure_cpu_ms(data: bytes, verify: Verify) -> float:
    """CPU time of one image in milliseconds."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        began_s = time.process_time()
        asyncio.run(store_all(data, folder, verify))
        return (time.process_time() - began_s) / IMAGES * 1_000


def main() -> None:
    """Measure each format at each level, and print the record."""
    files = {format_: save_drawing(format_) for format_ in FORMATS}
    record = {
        format_.lower(): {"bytes": len(data), **{level: round(measure_cpu_ms(data, level), 2) for level in LEVELS}}
        for format_, data in files.items()
    }
    sys.stdout.write(json.dumps({"side_px": SIDE_PX, "images": IMAGES, "cpu_ms_per_image": record}, indent=2) + "\n")


if __name__ == "__main__":
    main()
