"""Galleries for the browser, each written once for all tests that only look at it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tasks.core.records import Job
from tasks.report.gallery.build import write_gallery
from tasks.report.gallery.comparison import write_comparison
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.tasks.report.conftest import without_plots
from tests.tasks.report.gallery.batches import failed, succeeded, write_batch, write_large_batch

ANIMALS, LIGHTS = ("fox", "owl"), ("dawn", "dusk", "night")
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u2028<!--"
MANY = 10_000


def written(out: Path, *endings: tuple[Job, dict[str, Any] | None]) -> Path:
    """The page of a batch of these jobs, without plots; see `write_batch`."""
    asyncio.run(write_batch(out, endings))
    with without_plots():
        return write_page(out)


def write_page(out: Path) -> Path:
    """Write the gallery of a batch; gives its page."""
    return Path(asyncio.run(write_gallery(OutputFolder(out))).page)


def matrix_jobs(**changes: Any) -> list[Job]:
    """A job for each animal and light, as a template makes them; their rows have ids."""
    pairs = [(animal, light) for animal in ANIMALS for light in LIGHTS]
    return [
        make_job(
            number,
            id=f"{animal}-{light}",
            prompt=f"a {animal} at {light}",
            extra={"animal": animal, "light": light},
            **changes,
        )
        for number, (animal, light) in enumerate(pairs)
    ]


@pytest.fixture(scope="session")
def matrix_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of a matrix, and three jobs without one: refused, failed with another model, and to do. It has plots."""
    out = tmp_path_factory.mktemp("matrix") / "animals"
    endings = [
        *((job, None) for job in matrix_jobs()),
        (make_job(10, prompt="a storm"), failed("moderation", "flagged as sensitive")),
        (make_job(11, prompt="a calm", model="other", backend="second"), failed("timeout", "no answer in 60 s")),
        (make_job(12, prompt="a breeze", id=None), {}),
    ]
    asyncio.run(write_batch(out, endings))
    return write_page(out)


@pytest.fixture(scope="session")
def tall_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images of many shapes: portraits, squares, panoramas."""
    shapes = [(256, 1024), (1024, 256), (512, 512), (768, 1344), (400, 900)]
    jobs = [make_job(number) for number in range(60)]
    out = tmp_path_factory.mktemp("tall") / "tall"
    endings = []
    for number, job in enumerate(jobs):
        width, height = shapes[number * number % len(shapes)]
        endings.append((job, {**succeeded(out, job, number), "width": width, "height": height}))
    return written(out, *endings)


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and failures whose every text would like to be code, in a folder that would too."""
    extra = {HOSTILE: HOSTILE, "kind": "<b>bold</b>", "__proto__": "<i>"}
    texts = {"prompt": HOSTILE, "negative_prompt": HOSTILE, "extra": extra, "model": HOSTILE, "backend_opts": extra}
    return written(
        tmp_path_factory.mktemp("hostile") / HOSTILE.replace("/", "|")[:-5],
        (make_job(0, **texts), None),
        (make_job(1, **texts | {"extra": {**extra, "kind": "plain"}}), None),
        (make_job(2, **texts), failed(HOSTILE, HOSTILE)),
    )


@pytest.fixture(scope="session")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand images."""
    out = tmp_path_factory.mktemp("large") / "large"
    asyncio.run(write_large_batch(out, MANY))
    with without_plots():
        return write_page(out)


@pytest.fixture(scope="session")
def comparison_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two batches: the same rows by another model, of which one failed; a row without id; one row more on each side."""
    folder = tmp_path_factory.mktemp("compare")
    other = [
        make_job(100 + number, id=job.id, prompt=job.prompt, extra=job.extra, model="other")
        for number, job in enumerate(matrix_jobs())
    ]
    nameless: dict[str, Any] = {"id": None, "prompt": "no id", "extra": {}}
    asyncio.run(
        write_batch(
            folder / "one",
            [
                *((job, None) for job in matrix_jobs()),
                (make_job(20, **nameless), None),
                (make_job(21, id="only here", prompt="left"), None),
            ],
        )
    )
    asyncio.run(
        write_batch(
            folder / "two",
            [
                (make_job(120, **nameless, model="other"), None),
                *((job, None) for job in other[1:]),
                (other[0], failed("moderation", "flagged")),
                (make_job(121, id="only there", prompt="right"), None),
            ],
        )
    )
    with without_plots():
        one, two = (asyncio.run(write_gallery(OutputFolder(folder / name))) for name in ("one", "two"))
    return Path(asyncio.run(write_comparison(one, two)))
