"""Each evaluation suite's own way of reading, written from its program, finds the images of their prompts."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.core.errors import InputError, OutputError
from tasks.core.records import Job
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.exported import Exported
from tasks.metadata.exports.selection import Selection
from tasks.metadata.exports.targets import ExportFormat
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.tasks.metadata.exports.conftest import make_batch

COLOURS = ["red", "green", "blue", "yellow", "white"]


def draw(colour: str, size: tuple[int, int] = (64, 64)) -> bytes:
    """A file of one colour."""
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def build_job(number: int, sample: int = 0, **facts: Any) -> Job:
    """A job of the row `number`, whose id the fetched bytes are found by."""
    own = {"id": f"row-{number}", "prompt": f"a {COLOURS[number]} thing", "line": number + 1, "sample": sample}
    return make_job(10 * number + sample, **(own | facts))


async def export(out: Path, form: str, target: Path, jobs: list[Job], **options: Any) -> Exported:
    """A batch of these jobs, each of the colour of its row, in the suite's layout."""
    colours = {
        str(job.id): draw(COLOURS[job.line - 1], options.get("size", (64, 64))) for job in jobs if job.id != "refused"
    }
    await make_batch(out, jobs, colours)
    chosen = options.get("selection")
    return await export_batch(OutputFolder(out), ExportFormat(form), target, selection=chosen, overwrite=False)


def name_colour(path: Path, at: tuple[int, int] = (5, 5)) -> str:
    """The colour of an image at a place."""
    with Image.open(path) as image:
        pixel = image.convert("RGB").crop((*at, at[0] + 1, at[1] + 1)).tobytes()
    near = {name: Image.new("RGB", (1, 1), name).tobytes() for name in COLOURS}
    return min(near, key=lambda name: sum(abs(a - b) for a, b in zip(pixel, near[name], strict=True)))


async def test_geneval_finds_samples_beside_their_metadata(out: Path, tmp_path: Path) -> None:
    """Folders of digits, one object in metadata.jsonl, PNGs of digits; columns keep their nested values."""
    facts = {"extra": {"tag": "counting", "include": [{"class": "cow", "count": 2}]}}
    jobs = [build_job(number, sample, **facts) for number in (0, 1) for sample in (0, 1)]
    done = await export(out, "geneval", tmp_path / "to", jobs)
    found = {}
    for folder in (tmp_path / "to").iterdir():
        if not folder.is_dir() or not folder.name.isdigit():
            continue
        metadata = json.loads((folder / "metadata.jsonl").read_text())
        assert metadata["tag"] == "counting"
        assert metadata["include"][0]["class"] == "cow"
        samples = [path for path in (folder / "samples").iterdir() if re.match(r"\d+\.png", path.name)]
        found[metadata["prompt"]] = {name_colour(path) for path in samples}, len(samples)
    assert found == {"a red thing": ({"red"}, 2), "a green thing": ({"green"}, 2)}
    assert done.rows == 4


async def test_compbench_reads_prompts_from_names(out: Path, tmp_path: Path) -> None:
    """Every file of the folder ends in a number after an underscore, and begins with its prompt."""
    await export(
        out, "t2i-compbench", tmp_path / "to", [build_job(number, sample) for number in (0, 1) for sample in (0, 1)]
    )
    names = [path.name for path in (tmp_path / "to/samples").iterdir()]
    names.sort(key=lambda name: int(name.split("_")[-1].split(".")[0]))
    assert [name.split("_")[0] for name in names] == ["a red thing"] * 2 + ["a green thing"] * 2
    assert len({int(name.split("_")[-1].split(".")[0]) for name in names}) == 4


async def test_dpg_cuts_its_samples_out_of_a_grid(out: Path, tmp_path: Path) -> None:
    """Every file of the folder is an image that is named as its prompt's file, with four squares in it."""
    jobs = [build_job(0, sample) for sample in range(4)] + [build_job(1)]
    done = await export(out, "dpg", tmp_path / "to", jobs)
    assert done.to == str(tmp_path / "to/images")
    files = {path.name.split(".")[0]: path for path in (tmp_path / "to/images").iterdir()}
    assert sorted(files) == ["row-0", "row-1"]
    corners = [(5, 5), (69, 5), (5, 69), (69, 69)]
    assert [name_colour(files["row-0"], corner) for corner in corners] == ["red"] * 4
    assert name_colour(files["row-1"], (63, 63)) == "green"


async def test_wise_finds_an_image_for_each_prompt_id(out: Path, tmp_path: Path) -> None:
    """A PNG that is named by the number in its list."""
    await export(
        out, "wise", tmp_path / "to", [build_job(0, extra={"prompt_id": 401}), build_job(1, extra={"prompt_id": 402})]
    )
    assert [name_colour(tmp_path / f"to/{number}.png") for number in (401, 402)] == ["red", "green"]


async def test_tifa_finds_a_path_for_each_caption(out: Path, tmp_path: Path) -> None:
    """`imgs.json` has the paths, relative to itself."""
    await export(out, "tifa", tmp_path / "to", [build_job(0), build_job(1)])
    paths = json.loads((tmp_path / "to/imgs.json").read_text())
    assert {key: name_colour(tmp_path / "to" / path) for key, path in paths.items()} == {
        "row-0": "red",
        "row-1": "green",
    }


async def test_hps_finds_each_style_by_number(out: Path, tmp_path: Path) -> None:
    """Every entry of the folder is a style. A prompt without an image does not move the others to its caption."""
    styles = ["photo", "anime", "photo", "anime"]
    jobs = [build_job(number, extra={"style": style}) for number, style in enumerate(styles)]
    jobs[0] = build_job(0, extra={"style": "photo"}, id="refused")
    done = await export(out, "hpsv2", tmp_path / "to", jobs)
    root = Path(done.to)
    assert sorted(path.name for path in root.iterdir()) == ["anime", "photo"]
    assert not (root / "photo/00000.jpg").exists()
    assert [name_colour(root / f"anime/{number:05d}.jpg") for number in (0, 1)] == ["green", "yellow"]
    assert name_colour(root / "photo/00001.jpg") == "blue"


@pytest.mark.parametrize(
    ("form", "facts", "told"),
    [
        ("geneval", {}, "tag"),
        ("t2i-compbench", {"prompt": "a_b"}, "underscore"),
        ("t2i-compbench", {"prompt": "a/b"}, "file's name"),
        ("t2i-compbench", {"prompt": "x" * 300}, "file's name"),
        ("dpg", {"id": "a.b"}, "dot"),
        ("dpg", {"id": "../x"}, "file's name"),
        ("dpg", {"id": None}, "item_id"),
        ("dpg", {"sample": 4}, "samples"),
        ("wise", {"id": ".."}, "file's name"),
        ("wise", {"id": None}, "prompt_id"),
        ("tifa", {"id": None}, "no id"),
        ("hpsv2", {}, "style"),
        ("hpsv2", {"extra": {"style": "../../x"}}, "none of"),
    ],
)
async def test_what_a_suite_cannot_read_is_refused(
    out: Path, tmp_path: Path, form: str, facts: dict[str, Any], told: str
) -> None:
    """One error names the line and what is missing, and nothing is written."""
    with pytest.raises(InputError, match=f"(?s)--format {form}.*line 1.*{told}"):
        await export(out, form, tmp_path / "to", [build_job(0, **facts)])
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("form", ["wise", "tifa"])
async def test_several_samples_want_a_choice(out: Path, tmp_path: Path, form: str) -> None:
    """A suite that takes one image of a prompt is not given any one of them."""
    jobs = [build_job(0, sample) for sample in (0, 1)]
    with pytest.raises(InputError, match="sample = 0"):
        await export(out, form, tmp_path / "to", jobs)
    done = await export_batch(
        OutputFolder(out), ExportFormat(form), tmp_path / "to", selection=Selection(where="sample = 1")
    )
    assert done.rows == 1


async def test_a_grid_of_other_shapes_is_refused(out: Path, tmp_path: Path) -> None:
    """A suite that cuts squares would cut through the images."""
    with pytest.raises(InputError, match="squares"):
        await export(out, "dpg", tmp_path / "to", [build_job(0)], size=(64, 48))


@pytest.mark.parametrize("form", ["geneval", "dpg", "tifa"])
async def test_an_earlier_export_is_replaced_and_nothing_else(out: Path, tmp_path: Path, form: str) -> None:
    """Files that a suite's program wrote beside the images are kept from being deleted."""
    await export(out, form, tmp_path / "to", [build_job(0, extra={"tag": "x"})])
    done = await export_batch(OutputFolder(out), ExportFormat(form), tmp_path / "to", overwrite=True)
    assert done.rows == 1
    (tmp_path / "to/results.jsonl").write_text("{}")
    with pytest.raises(OutputError, match=r"results\.jsonl"):
        await export_batch(OutputFolder(out), ExportFormat(form), tmp_path / "to", overwrite=True)
