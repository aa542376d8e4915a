"""Image files under names of the user's choice: safe names, no collision, whole or absent, originals untouched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tasks.core.errors import InputError, OutputError
from tasks.metadata.exports import files
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.exported import Exported
from tasks.metadata.exports.file_names import MOST_PART_BYTES, NameTemplate, make_safe_part
from tasks.metadata.exports.selection import Selection
from tasks.metadata.exports.targets import ExportFormat
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.support.readers import load_dataset
from tests.tasks.metadata.exports.conftest import make_batch

EXTRAS: list[dict[str, Any]] = [
    {"campaign": "été 🦊", "Shot Name": "wide"},
    {"campaign": "../../etc/passwd", "Shot Name": "C:\\x"},
    {"campaign": "NUL", "Shot Name": "7"},
    {},
]


@pytest.fixture
async def named(out: Path) -> Path:
    """Four images with columns of the manifest, and a failure."""
    jobs = [make_job(number, id=f"row-{number}", extra=extra) for number, extra in enumerate(EXTRAS)]
    return await make_batch(out, [*jobs, make_job(9, id="refused")])


async def export(out: Path, target: Path, name: str | None = None, **options: Any) -> Exported:
    """Export the images as files."""
    return await export_batch(OutputFolder(out), ExportFormat.FILES, target, name=name, **options)


def list_files(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_columns_of_table_and_manifest_make_names(named: Path, tmp_path: Path) -> None:
    """Unicode stays; a value makes no folder, no device and no hidden file; the batch's own files are untouched."""
    before = {path: path.read_bytes() for path in named.rglob("*.png")}
    done = await export(named, tmp_path / "to", "{Campaign}/{id}-{sample:02}.{ext}")
    assert (done.rows, done.left_out, done.files) == (4, 1, 4)
    expected = ["_._.._etc_passwd/row-1-00.png", "_/row-3-00.png", "_NUL/row-2-00.png", "été 🦊/row-0-00.png"]
    assert sorted(list_files(tmp_path / "to")) == sorted([*expected, "metadata.jsonl"])
    assert {path: path.read_bytes() for path in named.rglob("*.png")} == before
    copies = {(tmp_path / "to" / name).read_bytes() for name in expected}
    assert copies == set(before.values())
    with Image.open(tmp_path / "to" / expected[-1]) as image:
        assert image.size == (32, 32)


async def test_datasets_opens_the_folder(named: Path, tmp_path: Path) -> None:
    """The index is the table with the new names; without a template files keep their own."""
    await export(named, tmp_path / "to", selection=Selection(ids=["row-0", "row-1"]))
    assert list_files(tmp_path / "to")[1:] == sorted(path.name for path in named.rglob("row-[01]-*.png"))
    rows = load_dataset("imagefolder", data_dir=str(tmp_path / "to"), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(rows["id"]) == ["row-0", "row-1"]
    assert rows[0]["image"].size == (32, 32)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("/tmp/{id}.{ext}", "no path below"),  # noqa: S108  nothing is written there
        ("../{id}.{ext}", "no path below"),
        ("a/../../{id}.{ext}", "no path below"),
        ("a\\..\\{id}.{ext}", "no path below"),
        ("C:{id}.{ext}", "no path below"),
        ("a//{id}.{ext}", "no path below"),
        ("{id}", "does not end in"),
        ("{id}.png", "does not end in"),
        ("", "no path below"),
        ("{id.{ext}", "unexpected '{'"),
        ("{campain}.{ext}", "no column 'campain'. Columns of the manifest: campaign, Shot Name. Of the table: ext"),
        ("{id.__class__}.{ext}", "no column 'id.__class__'"),
        ("{id!r}.{ext}", "leading zeros only"),
        ("{sample:99999999}.{ext}", "leading zeros only"),
        ("{id:03}.{ext}", "'row-0' is no number"),
        ("x" * 2_000 + ".{ext}", "more than 1,000"),
    ],
)
async def test_a_wrong_template_is_told_and_nothing_is_written(
    template: str, said: str, named: Path, tmp_path: Path
) -> None:
    """Neither an attribute nor another folder is reached; an unknown column lists those that there are."""
    with pytest.raises(InputError, match=said):
        await export(named, tmp_path / "to", template)
    assert not (tmp_path / "to").exists()


async def test_all_collisions_are_told_before_anything_is_written(out: Path, tmp_path: Path) -> None:
    """Names differ in more than case, because Windows and macOS keep one file of two such."""
    jobs = [make_job(number, id=name) for number, name in enumerate(["fox", "FOX", "owl", "fox/", "fox "])]
    batch = await make_batch(out, jobs)
    with pytest.raises(InputError, match=r"2 files a name that another one has(.|\n)*FOX.png(.|\n)*fox.png"):
        await export(batch, tmp_path / "to", "{id}.{ext}")
    assert not (tmp_path / "to").exists()
    assert (await export(batch, tmp_path / "to", "{id}-{stem}.{ext}")).rows == 5


@given(text=st.text(min_size=1, max_size=300))
@example(" ")
@example(".")
def test_a_part_is_a_name_on_every_system(text: str) -> None:
    """No separator, control character, device, trailing dot or hidden name, at most so many bytes."""
    part = make_safe_part(f"{text}.png")
    assert len(part.encode()) <= MOST_PART_BYTES + 1
    assert not set(part) & set('<>:"|?*\\/\0\n\x1b\u202e')
    assert part[-1] not in ". "
    assert part[0] not in ". "
    assert not PureWindowsPath(part).is_reserved()
    assert part.endswith(".png") or len(text) > 1


def test_a_long_value_is_cut_and_keeps_its_extension() -> None:
    """Between characters, within what file systems take."""
    name = NameTemplate("{prompt}.{ext}").build({"prompt": "狐" * 500, "ext": "png"})
    assert name.endswith("狐.png")
    assert len(name.encode()) <= MOST_PART_BYTES


async def test_only_an_earlier_export_is_replaced(named: Path, tmp_path: Path) -> None:
    """A folder with one file of somebody else's stays, in subfolders too; so does a stranger's data set."""
    target = tmp_path / "to"
    await export(named, target, "{id}/{stem}.{ext}")
    with pytest.raises(OutputError, match="--overwrite replaces"):
        await export(named, target)
    (target / "row-1" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"no export \(row-1/mine.txt\)"):
        await export(named, target, overwrite=True)
    (target / "row-1" / "mine.txt").unlink()
    await export(named, target, overwrite=True)
    assert not (target / "row-1").exists()
    (target / "metadata.jsonl").write_text(json.dumps({"file_name": "cat.png"}) + "\n")
    with pytest.raises(OutputError, match="no export"):
        await export(named, target, overwrite=True)


async def test_a_batch_s_folder_takes_no_files(named: Path, tmp_path: Path) -> None:
    """`datasets` would find two tables; a link into the batch is seen through."""
    (tmp_path / "link").symlink_to(named / "images")
    for target in (named, named / "images", named / "picked", tmp_path / "link" / "new"):
        with pytest.raises(OutputError, match="folder of a batch"):
            await export(named, target, overwrite=True)


async def test_an_export_that_breaks_leaves_nothing(
    named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a part nor a temporary folder; an earlier export is as it was."""
    target = tmp_path / "to"
    await export(named, target)
    before = list_files(target)

    def break_off(path: Path, _: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "_write", break_off)
    with pytest.raises(OutputError, match="No space left"):
        await export(named, target, overwrite=True)
    assert list_files(target) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


async def test_an_image_that_is_gone_stops_it(named: Path, tmp_path: Path) -> None:
    """A folder that is smaller than its batch would look complete."""
    shutil.rmtree(named / "images")
    with pytest.raises(OutputError, match="the image is gone"):
        await export(named, tmp_path / "to")
    assert not (tmp_path / "to").exists()


async def test_a_name_is_for_files(named: Path, tmp_path: Path) -> None:
    """In another form it would be ignored in silence."""
    with pytest.raises(InputError, match="--format files"):
        await export_batch(OutputFolder(named), ExportFormat.CSV, tmp_path / "x.csv", name="{id}.{ext}")
