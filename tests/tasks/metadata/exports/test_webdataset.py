"""Tar shards, read by the two libraries that people read them with."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.core.errors import OutputError
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.targets import ExportFormat
from tasks.metadata.exports.webdataset import ShardLimits
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.support.readers import load_dataset
from tests.tasks.metadata.exports.conftest import DIRTY, make_batch

# The webdataset library leaves its files to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def write_shards(out: Path, target: Path, **limits: int) -> list[Path]:
    """The shards of an export, in order."""
    await export_batch(OutputFolder(out), ExportFormat.WEBDATASET, target, limits=ShardLimits(**limits))
    return sorted(target.glob("*.tar"))


def read_samples(shards: list[Path]) -> list[dict[str, Any]]:
    """What the webdataset library makes of the shards."""
    import webdataset  # noqa: PLC0415  it imports torch, which takes seconds

    reader = webdataset.WebDataset([str(path) for path in shards], shardshuffle=False).decode("pil")
    return list(reader)


async def test_webdataset_reads_every_image_with_its_prompt(finished: Path, tmp_path: Path) -> None:
    """Prompts come back character for character; a failed job has no sample."""
    samples = read_samples(await write_shards(finished, tmp_path / "shards"))
    assert [sample["txt"] for sample in samples[:-1]] == DIRTY
    assert [sample["json"]["prompt"] for sample in samples[:-1]] == DIRTY
    assert {sample["png"].size for sample in samples} == {(32, 32)}
    assert samples[-1]["json"]["steps"] == 4
    assert json.loads(samples[-1]["json"]["extra"]) == {"tag": "x"}
    assert len({sample["__key__"] for sample in samples}) == len(samples) == len(DIRTY) + 1


async def test_datasets_reads_what_only_late_samples_have(finished: Path, tmp_path: Path) -> None:
    """The card spells the types out, so a value that the first five samples lack is neither lost nor an error."""
    await write_shards(finished, tmp_path / "shards")
    rows = load_dataset(str(tmp_path / "shards"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["txt"] for row in rows][:-1] == DIRTY
    assert (rows[0]["json"]["steps"], rows[-1]["json"]["steps"]) == (None, 4)
    assert (rows[-1]["json"]["negative_prompt"], rows[-1]["png"].size) == ("blur", (32, 32))


async def test_a_loader_that_guesses_the_types_does_not_fail(finished: Path, tmp_path: Path) -> None:
    """`load_dataset("webdataset")` does not read the card."""
    folder = str(tmp_path / "shards")
    await write_shards(finished, tmp_path / "shards")
    rows = load_dataset("webdataset", data_dir=folder, split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["txt"] for row in rows][:-1] == DIRTY


async def test_shards_end_at_their_limits(finished: Path, tmp_path: Path) -> None:
    """So many samples, or so many bytes, none of them cut; one sample may be larger than a shard."""
    by_count = await write_shards(finished, tmp_path / "count", samples=3)
    assert [path.name for path in by_count] == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert [len(read_samples([path])) for path in by_count] == [3, 3, 2]
    whole = await write_shards(finished, tmp_path / "whole")
    limit = whole[0].stat().st_size // 2
    by_bytes = await write_shards(finished, tmp_path / "bytes", bytes=limit)
    assert len(by_bytes) > 1
    assert all(path.stat().st_size <= limit + tarfile.RECORDSIZE for path in by_bytes)
    assert len(await write_shards(finished, tmp_path / "tiny", bytes=1)) == len(DIRTY) + 1


async def test_the_same_batch_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Nothing of the clock, the user or the machine gets into a shard."""
    first, again = [await write_shards(finished, tmp_path / name) for name in ("first", "again")]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    with tarfile.open(first[0]) as tar:
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar} == {(0, 0, "", 0o644)}


async def test_keys_have_no_dots_and_members_stand_together(finished: Path, tmp_path: Path) -> None:
    """A key ends at the first dot, and a sample at the next key."""
    (shard,) = await write_shards(finished, tmp_path / "shards")
    with tarfile.open(shard) as tar:
        names = [name.split(".") for name in tar.getnames()]
    assert {len(parts) for parts in names} == {2}
    assert [parts[1] for parts in names] == ["png", "json", "txt"] * (len(DIRTY) + 1)
    assert all(len({parts[0] for parts in names[at : at + 3]}) == 1 for at in range(0, len(names), 3))


async def test_images_of_several_formats_load(out: Path, tmp_path: Path) -> None:
    """The loader wants the same members in the first samples; the card lifts that."""
    webp = io.BytesIO()
    Image.new("RGB", (16, 16)).save(webp, "WEBP")
    jobs = [make_job(0), make_job(1, format="webp")]
    mixed = await make_batch(out, jobs, {"row-1": webp.getvalue()})
    await write_shards(mixed, tmp_path / "shards")
    rows = load_dataset(str(tmp_path / "shards"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["txt"] for row in rows] == [job.prompt for job in jobs]
    assert (rows[0]["png"].size, rows[0]["webp"], rows[1]["png"], rows[1]["webp"].size) == (
        (32, 32),
        None,
        None,
        (16, 16),
    )


async def test_a_missing_image_stops_the_export(finished: Path, tmp_path: Path) -> None:
    """A data set that is silently smaller than its batch looks complete; nothing of it is left."""
    next((finished / "images").rglob("row-3-*")).unlink()
    with pytest.raises(OutputError, match="row-3-"):
        await write_shards(finished, tmp_path / "shards")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


async def test_only_an_earlier_export_is_replaced(finished: Path, tmp_path: Path) -> None:
    """And only when asked; a folder with anything else in it stays as it is."""
    target = tmp_path / "shards"
    await write_shards(finished, target, samples=2)
    with pytest.raises(OutputError, match="--overwrite"):
        await export_batch(OutputFolder(finished), ExportFormat.WEBDATASET, target)
    await export_batch(OutputFolder(finished), ExportFormat.WEBDATASET, target, overwrite=True)
    assert {path.name for path in target.iterdir()} == {"shard-000000.tar", "README.md"}
    (target / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        await export_batch(OutputFolder(finished), ExportFormat.WEBDATASET, target, overwrite=True)
    with pytest.raises(OutputError, match="output folder of a batch"):
        await export_batch(OutputFolder(finished), ExportFormat.WEBDATASET, finished, overwrite=True)
