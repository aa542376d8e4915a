"""A gallery beside its batch: written, written again, and harmless to whatever else reads the folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, OutputError
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lock import lock_folder
from tasks.metadata.write import write_metadata
from tasks.report.gallery.build import LOCK_NAME, Gallery, write_gallery
from tasks.report.gallery.comparison import write_comparison
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.support.readers import load_dataset
from tests.tasks.report.gallery.batches import failed, paint, write_batch


def page_data(page: Path) -> dict[str, Any]:
    """What a page's scripts find."""
    found = re.search(r'id="page-data">(.*?)</script>', page.read_text())
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def shown(out: Path) -> list[dict[str, Any]]:
    """The columns of every script that the page loads."""
    columns = []
    for name in page_data(out / "index.html")["batches"][0]["scripts"]:
        text = (out / "gallery/rows" / name).read_text()
        columns.append(json.loads(text[text.index(",") + 1 : text.rindex(")")])["columns"])
    return columns


def values(column: dict[str, Any]) -> list[Any]:
    """A column as it was before it was packed."""
    return [column["values"][place] for place in column["at"]] if "at" in column else column["values"]


def list_files(out: Path) -> set[Path]:
    """What the page loads, and whatever lies beside that."""
    return {path for path in (out / "gallery").rglob("*") if path.is_file() and path != out / LOCK_NAME}


@pytest.fixture
async def batch(out: Path) -> Path:
    """Three images, a failure and a job to do."""
    endings = [(make_job(number), None) for number in range(3)]
    await write_batch(out, [*endings, (make_job(3), failed("moderation", "flagged")), (make_job(4), {})])
    return out


@pytest.mark.usefixtures("plots")
async def test_a_gallery_tells_what_it_wrote(batch: Path) -> None:
    """Jobs, images, thumbnails made, none missing, and plots of what there is."""
    gallery = await write_gallery(OutputFolder(batch))
    assert gallery.as_dict() == {
        "out": str(batch),
        "jobs": 5,
        "pictures": 3,
        "thumbnails_made": 3,
        "missing": 0,
        "plots": ["cost", "failures", "latency", "throughput"],
        "can_plot": True,
    }
    (columns,) = shown(batch)
    assert values(columns["state"]) == ["succeeded"] * 3 + ["failed", "planned"]
    assert all((batch / "gallery/thumbnails" / name).is_file() for name in values(columns["thumbnail"])[:3])


async def test_written_again_nothing_is_made_twice_and_nothing_is_left_over(batch: Path) -> None:
    """A second gallery of the same batch writes the same files; of a changed one, the difference."""
    await write_gallery(OutputFolder(batch))
    before = list_files(batch)
    assert (await write_gallery(OutputFolder(batch))).made == 0
    assert list_files(batch) == before

    async with open_ledger(batch) as engine, engine.begin() as db:
        sha256 = paint(batch / "images/new.png", 99)
        change = f"UPDATE jobs SET file_name = 'images/new.png', sha256 = '{sha256}' WHERE position = 0"
        await db.exec_driver_sql(change)
    assert (await write_gallery(OutputFolder(batch))).made == 1
    assert len(list_files(batch)) == len(before)


async def test_a_living_run_is_not_disturbed(batch: Path) -> None:
    """The gallery only reads, so it may be written while a run holds the folder; the page says that it is running."""
    with lock_folder(batch):
        gallery = await write_gallery(OutputFolder(batch))
    assert gallery.summary.alive


async def test_an_empty_batch_has_a_gallery(out: Path) -> None:
    """No rows, no images, no plots: a page all the same."""
    await write_batch(out, [])
    gallery = await write_gallery(OutputFolder(out))
    assert (gallery.jobs, gallery.scripts, gallery.plots) == (0, [], {})
    assert page_data(Path(gallery.page))["batches"][0]["summary"]["total"] == 0


async def test_missing_images_are_counted(batch: Path) -> None:
    """An image that somebody deleted or damaged is told, and the others are there."""
    first, second, *_ = sorted((batch / "images").rglob("*.png"))
    first.unlink()
    second.write_bytes(b"")
    gallery = await write_gallery(OutputFolder(batch))
    assert (gallery.missing, len(gallery.used_thumbnails)) == (2, 1)


async def test_the_folder_still_loads_as_a_data_set(batch: Path) -> None:
    """Thumbnails beside the images are not taken for images."""
    async with open_ledger(batch) as engine:
        await write_metadata(engine, OutputFolder(batch))
    await write_gallery(OutputFolder(batch))
    found = load_dataset("imagefolder", data_dir=str(batch), split="train", cache_dir=str(batch.parent / "c"))
    assert found["status"] == ["succeeded"] * 3 + ["failed", "planned"]
    assert [image and image.size for image in found["image"]] == [(96, 64)] * 3 + [None, None]


async def test_a_comparison_is_a_page_of_its_own(batch: Path, tmp_path: Path) -> None:
    """It names both batches' files from where it lies, whatever the folder is called."""
    other = tmp_path / "else where/100% # new"
    await write_batch(other, [(make_job(0), None)])
    first, second = await write_gallery(OutputFolder(batch)), await write_gallery(OutputFolder(other))
    page = Path(await write_comparison(first, second))
    assert page == batch / "compare-100-new.html"
    here, there = page_data(page)["batches"]
    assert (here["place"], there["place"]) == ("", "../else%20where/100%25%20%23%20new/")
    assert page_data(Path(first.page))["batches"] == [here | {"written_at_us": first_written(first)}]


def first_written(gallery: Gallery) -> int:
    """When its own page says that it was written."""
    when: int = page_data(Path(gallery.page))["batches"][0]["written_at_us"]
    return when


async def test_a_batch_is_not_compared_with_itself(batch: Path) -> None:
    """Two names of one folder are an error that says so."""
    gallery = await write_gallery(OutputFolder(batch))
    with pytest.raises(InputError, match="is compared with itself"):
        await write_comparison(gallery, await write_gallery(OutputFolder(batch / ".." / batch.name)))


async def test_a_folder_that_takes_nothing_is_one_clear_error(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is said with the folder's name; the page that was there is left alone."""
    await write_gallery(OutputFolder(batch))
    before = (batch / "index.html").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tasks.store.output.folder.write_atomically", full)
    with pytest.raises(
        OutputError, match=f"{batch}: the gallery cannot be written: the disk of {batch} is full: free some space$"
    ):
        await write_gallery(OutputFolder(batch))
    assert (batch / "index.html").read_bytes() == before


@pytest.mark.usefixtures("plots")
async def test_without_matplotlib_there_are_no_plots(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gallery is whole without the extra; it says that plots are missing, and removes old ones."""
    await write_gallery(OutputFolder(batch))
    monkeypatch.setattr("tasks.report.gallery.plots.find_spec", lambda _: None)
    gallery = await write_gallery(OutputFolder(batch))
    assert gallery.as_dict()["can_plot"] is False
    assert not list((batch / "gallery/plots").iterdir())


async def test_two_batches_of_one_name_have_a_comparison_each(tmp_path: Path) -> None:
    """A second comparison replaces the page of the same two batches only."""
    galleries = []
    for place in ("first", "a/foxes", "b/foxes"):
        await write_batch(tmp_path / place, [])
        galleries.append(await write_gallery(OutputFolder(tmp_path / place)))
    first, one, other = galleries
    pages = [await write_comparison(first, second) for second in (one, other, one, other)]
    assert pages[0] == pages[2] == f"{first.out}/compare-foxes.html"
    assert pages[1] == pages[3] != pages[0]


async def test_a_page_of_another_program_is_kept(out: Path) -> None:
    """The folder may be a web site; the gallery's own page is written anew each time."""
    await write_batch(out, [(make_job(0), None)])
    (out / "index.html").write_text("<!doctype html><title>My site</title>")
    with pytest.raises(OutputError, match=r"index\.html: is not a page of `imagen gallery`"):
        await write_gallery(OutputFolder(out))
    assert "My site" in (out / "index.html").read_text()
    (out / "index.html").unlink()
    await write_gallery(OutputFolder(out))
    await write_gallery(OutputFolder(out))
