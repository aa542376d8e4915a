"""The share of a local device's speed that arrives: imagen's backend `diffusers` against the bare loop over the same pipeline.

`python -m benchmarks.local_gpu --model FOLDER_OR_ID` on a machine with a GPU; without `--model` a tiny pipeline with
random weights is used. With `--pretend 0.6` the device is pretended: it takes so many seconds for a picture and none of the
CPU, which shows on any machine whether a GPU of that speed would be kept busy. Prints a Markdown table.

Both make pictures of the same prompts, sizes and steps with the same pipeline and batch size; every round has prompts of its
own, so that no encoded one is kept from the last. The bare loop throws its pictures away, or saves each as PNG before the next
call; imagen's engine (without Prefect) also keeps its ledger and stores every file safely. What is measured of the device is
the share of the time that the pipeline's calls take: within them it may wait for the CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from PIL import Image

from tasks.backends.diffusers_local import sharing
from tasks.backends.diffusers_local.device import PipelineSpec, choose_device, free_memory
from tasks.backends.diffusers_local.model import fetch_model, parse_model
from tasks.backends.diffusers_local.pipelines import LoadedPipeline, load_pipeline
from tasks.generate.jobs import generate_range
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import open_run

EVERYTHING = (0, 2**62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The images to make."""

    name: str
    rounds: int
    model: str
    device: str
    images: int
    batch_size: int
    side_px: int
    steps: int
    options: dict[str, Any]

    def prompts(self, occasion: str) -> list[str]:
        """One for each picture; other ones on every occasion."""
        return [f"a lighthouse in a storm, number {number} of {occasion}" for number in range(self.images)]


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds in all, and seconds within the pipeline's calls."""

    name: str
    wall_s: float
    busy_s: float


@dataclass(frozen=True, slots=True)
class PretendedPipe:
    """Takes its time and gives noise, which is what PNG is slowest at."""

    image_s: float

    def __call__(self, *, prompt: Sequence[str], width: int, height: int, **_: Any) -> SimpleNamespace:
        """Sleep, as the CPU does while a GPU works."""
        time.sleep(self.image_s * len(prompt))
        noise = Image.effect_noise((width, height), 64).convert("RGB")
        return SimpleNamespace(images=[noise] * len(prompt))


def pretending(image_s: float) -> Callable[[PipelineSpec], LoadedPipeline]:
    """Loads the real pipeline and puts a pretended device in its place."""
    return lambda spec: replace(load_pipeline(spec), pipe=PretendedPipe(image_s))


def run_bare_loop(pipeline: LoadedPipeline, load: Load, occasion: str, folder: Path | None = None) -> Measured:
    """Call after call in one thread; with a folder, the pictures of each are saved before the next."""
    import torch  # noqa: PLC0415  after the arguments are read

    every, busy_s, began_s = load.prompts(occasion), 0.0, time.perf_counter()
    for first in range(0, load.images, load.batch_size):
        prompts = every[first : first + load.batch_size]
        call_s = time.perf_counter()
        made = pipeline.pipe(
            prompt=prompts,
            width=load.side_px,
            height=load.side_px,
            num_inference_steps=load.steps,
            generator=[torch.Generator("cpu").manual_seed(first + number) for number in range(len(prompts))],
            **load.options,
        )
        busy_s += time.perf_counter() - call_s
        if folder is not None:
            for number, image in enumerate(made.images):
                image.save(folder / f"{first + number}.png")
    name = "bare diffusers loop" if folder is None else "bare diffusers loop, saving PNG"
    return Measured(name, time.perf_counter() - began_s, busy_s)


async def run_engine(load: Load, folder: Path) -> Measured:
    """The same by imagen's engine, its model warm: another batch that is open has made pictures with it already."""
    config = folder / "imagen.yaml"
    instance = {
        "type": "diffusers",
        "model": load.model,
        "device": load.device,
        "concurrency": 3 * load.batch_size,
        "batch_size": load.batch_size,
        "default_width": load.side_px,
        "default_height": load.side_px,
        "default_steps": load.steps,
        "backend_opts": load.options,
    }
    config.write_text(json.dumps({"default_backend": "local", "backends": {"local": instance}}))

    def request(occasion: str) -> RunRequest:
        manifest = folder / f"{occasion}.jsonl"
        manifest.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in load.prompts(occasion)))
        return RunRequest(out=str(folder / occasion), manifest=str(manifest), config=str(config))

    async with open_run(request("warm")) as first:
        await plan_run(first)
        await generate_range(first.batch, *EVERYTHING)
        return find_fastest(
            [await run_engine_round(load, request(f"engine-{number}")) for number in range(load.rounds)]
        )


async def run_engine_round(load: Load, request: RunRequest) -> Measured:
    """One batch by the engine; the plan is not measured."""
    async with open_run(request) as run:
        await plan_run(run)
        began_s = time.perf_counter()
        await generate_range(run.batch, *EVERYTHING)
        wall_s = time.perf_counter() - began_s
    with closing(sqlite3.connect(Path(request.out) / "ledger.db")) as ledger:
        query = "SELECT count(*), sum(predict_time_s) FROM jobs WHERE state = 'succeeded'"
        [(made, busy_s)] = ledger.execute(query).fetchall()
    if made != load.images:
        raise SystemExit(f"only {made} of {load.images} pictures were made")
    return Measured("imagen (engine, ledger, stored PNG)", wall_s, busy_s)


def find_fastest(rounds: Iterable[Measured]) -> Measured:
    """The round that was disturbed least."""
    return min(rounds, key=lambda each: each.wall_s)


def build_table(load: Load, results: Sequence[Measured], device: str) -> str:
    """The figures as Markdown."""
    what = f"{load.images} images of {load.side_px}x{load.side_px}, {load.steps} steps, batch size {load.batch_size}"
    rows = [
        f"| {each.name} | {load.images / each.wall_s:.2f} "
        f"| {results[0].wall_s / each.wall_s:.0%} | {each.busy_s / each.wall_s:.0%} |"
        for each in results
    ]
    head = [f"{load.name} ({device}): {what}", "", "| | images/s | of the bare loop | in the pipeline |"]
    return "\n".join([*head, "| --- | --- | --- | --- |", *rows])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="hub id or folder; none: a tiny pipeline with random weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pretend", type=float, metavar="S", help="seconds for a picture on a pretended device")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--side", type=int, default=512, help="width and height in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=JSON", help="an argument of the pipeline"
    )
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = parse_arguments()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        name = given.model or "a tiny FLUX with random weights"
        if given.pretend:
            name = f"a pretended device that takes {given.pretend} s for a picture"
        if given.model is None:
            from tests.support.tiny_pipeline import save_tiny_flux  # noqa: PLC0415  needs torch

            given.model = str(save_tiny_flux(folder / "tiny-flux"))
            given.option.append("max_sequence_length=48")
        load = Load(
            name=name,
            rounds=given.rounds,
            model=given.model,
            device=given.device,
            images=given.images,
            batch_size=given.batch_size,
            side_px=given.side,
            steps=given.steps,
            options={name: json.loads(value) for name, _, value in (each.partition("=") for each in given.option)},
        )
        spec = PipelineSpec(model=parse_model(load.model), device=load.device, dtype="auto", offload="none")
        fetch_model(spec.model)
        loading = pretending(given.pretend) if given.pretend else load_pipeline
        pipeline = loading(spec)
        run_bare_loop(pipeline, load, "warm")
        saved = folder / "saved"
        saved.mkdir()
        results = [
            find_fastest(run_bare_loop(pipeline, load, f"{occasion}-{number}", where) for number in range(load.rounds))
            for occasion, where in (("bare", None), ("saving", saved))
        ]
        del pipeline  # The engine loads its own, which may not fit beside it.
        free_memory()
        with patch.object(sharing, "load_pipeline", loading):
            results.append(asyncio.run(run_engine(load, folder)))
        print(build_table(load, results, choose_device(spec)))


if __name__ == "__main__":
    main()
