"""Batches of real images made here: noise, even colours, the same image as another file."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tasks.core.records import Job, JobState
from tests.support.factories import START_US
from tests.tasks.report.gallery.batches import write_batch

SIDE_PX = 128


def draw_scene(number: int, side_px: int = SIDE_PX) -> Image.Image:
    """An image with large forms, like no other number's."""
    values = random.Random(number).randbytes(3 * 36)
    return Image.frombytes("RGB", (6, 6), values).resize((side_px, side_px), Image.Resampling.BICUBIC)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002  what Pillow calls it
    """The bytes of a file."""
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def store(out: Path, job: Job, data: bytes) -> dict[str, Any]:
    """Write the file; gives what the ledger notes of the job."""
    file_name = f"images/{job.job_id[:2]}/{job.id}-{job.sample}.png"
    (out / file_name).parent.mkdir(parents=True, exist_ok=True)
    (out / file_name).write_bytes(data)
    return {
        "state": JobState.SUCCEEDED,
        "file_name": file_name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "completed_at_us": START_US,
    }


async def write_images(out: Path, files: Iterable[tuple[Job, bytes]]) -> None:
    """A batch of these jobs with these files."""
    await write_batch(out, [(job, store(out, job, data)) for job, data in files])
