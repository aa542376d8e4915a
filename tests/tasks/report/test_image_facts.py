"""What a summary tells of images whose files are gone, or whose size was not kept."""

from __future__ import annotations

from pathlib import Path

from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.report.summary import find_remarks, list_next_steps, summarise
from tasks.store.output.folder import OutputFolder
from tests.support.factories import FakeClock, make_job, open_batch_with
from tests.support.scripted_backend import ScriptedBackend


async def made(out: Path) -> dict[str, object]:
    """The record of a batch of three images, of which one was asked for in another size."""
    jobs = [make_job(0), make_job(1, width=1344, height=768), make_job(2, width=None, height=None)]
    async with open_batch_with(out, jobs, clock=FakeClock().clock) as batch:
        batch._backends["sketch"] = ScriptedBackend()
        await generate_range(batch, 0, 10)
    return await read(out)


async def read(out: Path) -> dict[str, object]:
    """The record of the batch now."""
    async with open_ledger(out) as engine:
        return (await summarise(engine, OutputFolder(out), now_us=0)).as_dict()


async def test_a_size_that_was_not_kept_is_told(out: Path) -> None:
    """The number of such images, and what was asked for and came for the first one."""
    record = await made(out)
    assert (record["resized"], record["resized_example"]) == (1, "1344x768 asked, 32x32 came")
    assert any("1344x768 asked" in line for line in find_remarks(record))


async def test_a_file_that_is_gone_is_told_with_its_remedy(out: Path) -> None:
    """The ledger has the image, the folder has not: the command that makes it again is named."""
    assert (await made(out))["missing"] == 0
    next((out / "images").rglob("*.png")).unlink()
    record = await read(out)
    assert (record["missing"], record["images"]) == (1, 3)
    assert any("--missing" in command for _, command in list_next_steps(record))
    assert any("1 image" in line and "gone" in line for line in find_remarks(record))
