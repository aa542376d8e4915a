"""What the gallery copies as a manifest row makes the same image again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy.ext.asyncio import create_async_engine

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.records import PlannedJob
from tasks.ledger.database.schema import metadata
from tasks.ledger.jobs import write_plan
from tasks.ledger.queries import read_job_pages
from tasks.manifest import open_manifest
from tasks.manifest.lines import is_visible
from tasks.manifest.rows import is_lack
from tasks.plan.planner import PlanOptions, plan_manifest
from tasks.plan.reroll import REROLL_SALT
from tasks.report.gallery.manifest_rows import build_image_line, build_manifest_lines
from tests.support.factories import START_US

SALT = "2026-11-24"
SETTINGS = Settings(
    backends={
        "sketch": BackendSettings(type="sketch"),
        "edit": BackendSettings(type="openai", model="gpt-image-1"),
        "other": BackendSettings(type="sketch", model="m", backend_opts={"go_fast": True, "guidance": 2.0}),
    }
)


def planned(path: Path, text: str) -> list[PlannedJob]:
    """The jobs of a manifest."""
    path.write_text(text, encoding="utf-8")
    with open_manifest(str(path)) as manifest:
        return list(plan_manifest(manifest, SETTINGS, PlanOptions(salt=SALT)))


async def copied_rows(jobs: list[PlannedJob]) -> dict[str, str]:
    """What is copied of each job, by its id, after a way through a ledger."""
    engine = create_async_engine("sqlite+aiosqlite://")
    try:
        async with engine.begin() as db:
            await db.run_sync(metadata.create_all)
        await write_plan(engine, jobs, run=1, salt=SALT, whole=True, now_us=START_US)
        return {
            row["job_id"]: build_manifest_lines({str(name): value for name, value in row.items()})
            async for page in read_job_pages(engine)
            for row in page
        }
    finally:
        await engine.dispose()


async def check_round_trip(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Each job's copied row, alone in a manifest, has the job as its last one, exactly as it was."""
    jobs = planned(folder / "all.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    copies = await copied_rows(jobs)
    assert len(copies) == len(jobs)
    for item in jobs:
        again = planned(folder / "one.jsonl", copies[item.job.job_id])[-1]
        for name in ("job_id", "id", "prompt", "seed", "sample", "format", "backend", "backend_opts", "extra"):
            assert getattr(again.job, name) == getattr(item.job, name), name


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": '  "edge" spaces\nand </script> \u2028 🦊 '}],
        [{"prompt": "a", "seed": 2**63 - 1, "samples": 3}],
        [{"prompt": "a", "seed": 0, "width": 640, "aspect_ratio": "16:9", "steps": 4, "negative_prompt": "b"}],
        [{"prompt": "a"}, {"prompt": "a", "id": "again", "samples": 2}, {"prompt": " a", "mood": "calm"}],
        [{"prompt": "a", "backend": "other", "backend_opts": {"x": 1.0, "y": [1, None, {"z": 10**20}]}, "guidance": 3}],
        [
            {
                "prompt": "a",
                "seed": None,
                "se": 7,
                "steps": "",
                "st": 3,
                "guidance": None,
                "cfg": 1,
                "__proto__": {"b": 1},
            }
        ],
        [{"caption": "a", "text": "b", "custom_id": "c", "uid": "d", "kind": None, "c": "category"}],
        [
            {
                "prompt": "a",
                "keep": {"by": "sharpness", "best": 2},
                "reject": "mood = 'calm'",
                "mood": "calm",
                "samples": 2,
            }
        ],
    ],
    ids=["text", "own seed", "sizes", "repeated", "options", "aliases beside empty columns", "aliases", "a rule"],
)
async def test_a_copied_row_is_the_same_job(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """Whatever a row holds, its copy is read back to the same job_id, with all of its columns."""
    await check_round_trip(tmp_path, rows)


VALUES = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False) | st.text(max_size=9)
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
ROWS = st.fixed_dictionaries(
    {"prompt": TEXTS.filter(lambda text: is_visible(text) and not is_lack(text))},
    optional={
        "negative_prompt": TEXTS,
        "seed": st.none() | st.integers(0, 2**63 - 1),
        "samples": st.integers(1, 3),
        "steps": st.integers(1, 1000),
        "width": st.integers(16, 64),
        "backend": st.sampled_from(["sketch", "other"]),
        "format": st.sampled_from(["png", "jpg"]),
        "backend_opts": st.dictionaries(TEXTS, VALUES.filter(lambda value: value not in {float("inf"), float("-inf")})),
        "animal": st.sampled_from(["fox", "owl", 1, None]),
        "text": TEXTS,
    },
)


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=4))
async def test_any_row_can_be_copied(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same for rows that nobody would think of."""
    await check_round_trip(tmp_path_factory.mktemp("rows"), rows)


async def test_a_row_that_starts_from_images_keeps_them(tmp_path: Path) -> None:
    """Without them the copy would be a job, and a bill, of another image."""
    Image.new("RGB", (8, 8)).save(tmp_path / "fox.png")
    where = {"image": "fox.png", "mask": "https://example.com/mask.png"}
    jobs = planned(tmp_path / "m.jsonl", json.dumps({"prompt": "a", "backend": "edit", **where}))
    (copy,) = (await copied_rows(jobs)).values()
    (again,) = planned(tmp_path / "n.jsonl", copy)
    assert (again.job.job_id, again.job.image, again.job.mask) == (
        jobs[0].job.job_id,
        jobs[0].job.image,
        jobs[0].job.mask,
    )


@pytest.mark.parametrize("changes", [{"rerouted_from": "other"}, {"salt": REROLL_SALT}], ids=["rerouted", "rerolled"])
async def test_what_no_row_gives_again_is_copied_with_its_seed(changes: dict[str, str], tmp_path: Path) -> None:
    """A derived seed follows from an identity that the copy does not have: left out, the image would be another one."""
    jobs = planned(tmp_path / "m.jsonl", '{"prompt": "a", "samples": 2, "mood": "calm"}')
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as db:
        await db.run_sync(metadata.create_all)
    await write_plan(engine, jobs, run=1, salt=SALT, whole=True, now_us=START_US)
    rows = [dict(row) async for page in read_job_pages(engine) for row in page]
    await engine.dispose()
    assert [build_image_line(row) for row in rows] == [None, None]
    copy = build_image_line({**rows[1], **changes})
    assert copy is not None
    (again,) = planned(tmp_path / "n.jsonl", copy)
    assert (again.job.prompt, again.job.seed, again.job.sample) == ("a", jobs[1].job.seed, 0)
    assert again.job.extra == {"mood": "calm"}


async def test_an_infinite_number_is_copied_as_a_text(tmp_path: Path) -> None:
    """JSON has no infinity, and a browser would refuse the whole row."""
    jobs = planned(tmp_path / "m.yaml", "prompts: [{prompt: a, limit: .inf}]")
    (copy,) = (await copied_rows(jobs)).values()
    assert json.loads(copy)["limit"] == "Infinity"
    assert planned(tmp_path / "n.jsonl", copy)[0].job.job_id == jobs[0].job.job_id
