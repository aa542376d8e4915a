"""One image found by whatever is at hand, with everything that is known about it."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest

from tasks.core.errors import Ambiguous, InputError, Transient
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lookup import find_job
from tasks.metadata.columns import COLUMNS
from tasks.report.show import format_record, read_record
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, plan_jobs
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import run

FOX = make_job(0, id="fox", prompt="a fox\nand \x1b[31mred", extra={"tag": "x"})
SAMPLES = [make_job(1, id="owl", sample=0), make_job(2, id="owl", sample=1)]
HEX_ID = make_job(3, id=FOX.job_id[:6])


@pytest.fixture
async def batch(out: Path) -> Path:
    """A batch whose fox took two attempts, and whose owls are held, whichever of them is sent first."""
    backend = ScriptedBackend()
    backend.on_wait["fox"] = deque([Transient("the machine\x1b[2J went away", cost_micros=0)])
    backend.on_submit["owl"] = deque([Ambiguous("no answer", cost_micros=None)] * 40)
    backend.on_find = None
    await run(out, backend, [FOX, *SAMPLES, HEX_ID])
    return out


@pytest.mark.parametrize("wanted", ["fox", FOX.job_id, FOX.job_id[:12], FOX.job_id[:9].upper()])
async def test_found_by_id_or_by_the_start_of_a_job_id(batch: Path, wanted: str) -> None:
    """In either case of letters."""
    async with open_ledger(batch) as engine:
        assert (await find_job(engine, batch, wanted))["job_id"] == FOX.job_id


async def test_found_by_its_file(batch: Path) -> None:
    """By its name alone and with any folders in front, as the table, a shell or a file manager gives it."""
    async with open_ledger(batch) as engine:
        path = Path((await find_job(engine, batch, "fox"))["file_name"])
        windows = "C:\\runs\\foxes\\" + str(path).replace("/", "\\")
        for wanted in (
            str(path),
            f"{batch}/{path}",
            path.name,
            f"./{batch.name}//{path}",
            f"../x/{path.name}",
            windows,
        ):
            assert (await find_job(engine, batch, wanted))["job_id"] == FOX.job_id


async def test_another_file_of_the_same_digits_is_none(batch: Path) -> None:
    """A thumbnail or a converted copy is not silently taken for the image."""
    async with open_ledger(batch) as engine:
        path = Path((await find_job(engine, batch, "fox"))["file_name"])
        for wanted in (path.with_suffix(".txt").name, f"other-{path.name}"):
            with pytest.raises(InputError, match="no row has the id"):
                await find_job(engine, batch, wanted)


async def test_an_id_goes_before_the_start_of_a_job_id(batch: Path) -> None:
    """A row may be called like another's digits."""
    async with open_ledger(batch) as engine:
        assert (await find_job(engine, batch, FOX.job_id[:6]))["job_id"] == HEX_ID.job_id


async def test_several_are_listed(batch: Path) -> None:
    """Samples share an id; each candidate has what names it alone."""
    async with open_ledger(batch) as engine:
        with pytest.raises(InputError, match="several") as caught:
            await find_job(engine, batch, "owl")
    assert [line.split()[:3] for line in str(caught.value).splitlines()[1:]] == [
        [SAMPLES[0].job_id[:12], "owl", "#0"],
        [SAMPLES[1].job_id[:12], "owl", "#1"],
    ]


@pytest.mark.parametrize("wanted", ["nobody", "fff", "____", "%", ""])
async def test_an_unknown_id_is_one_clear_error(batch: Path, wanted: str) -> None:
    """Wildcards of SQL mean nothing, and some digits are too few."""
    async with open_ledger(batch) as engine:
        with pytest.raises(InputError, match=r"no row has the id .*metadata\.parquet"):
            await find_job(engine, batch, wanted)


async def test_what_left_the_manifest_is_found_and_said(batch: Path) -> None:
    """Its image is on disk still; a row of the manifest with the same id goes before it."""
    async with open_ledger(batch) as engine:
        await plan_jobs(engine, SAMPLES, run=2)
        record = await read_record(engine, OutputFolder(batch), "fox")
        assert "not in the manifest any more" in format_record(record)
        await plan_jobs(engine, [make_job(9, id="fox")], run=3)
        assert (await read_record(engine, OutputFolder(batch), "fox"))["prompt"] == "a picture of number 9"


async def test_the_record_has_the_table_and_every_attempt(batch: Path) -> None:
    """With costs and errors; it is JSON as it stands."""
    async with open_ledger(batch) as engine:
        record = await read_record(engine, OutputFolder(batch), "fox")
    assert list(record)[: len(COLUMNS)] == [column.name for column in COLUMNS]
    assert json.loads(json.dumps(record)) == record
    assert Path(record["path"]).is_file()
    first, second = record["attempt_list"]
    assert (first["state"], first["cost_usd"], first["error_kind"]) == ("failed", 0.0, "transient")
    assert (second["state"], second["cost_usd"], second["error_kind"]) == ("succeeded", 0.003, None)


async def test_people_see_parameters_attempts_and_no_escape_sequence(batch: Path) -> None:
    """A prompt keeps its lines and cannot colour the terminal."""
    async with open_ledger(batch) as engine:
        text = "\n".join(format_record(await read_record(engine, OutputFolder(batch), "fox")))
        held = "\n".join(format_record(await read_record(engine, OutputFolder(batch), SAMPLES[0].job_id)))
    assert "\x1b" not in text
    assert "a fox\n                  and \\x1b[31mred" in text
    assert "transient: the machine\\x1b[2J went away" in text
    assert text.count("\nattempt ") == 2
    assert held.startswith("no image\n")
