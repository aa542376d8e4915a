"""`imagen export` as its users call it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.metadata.exports.targets import ExportFormat
from tasks.metadata.write import write_metadata
from tasks.store.output.folder import OutputFolder
from tests.flows.conftest import Cli
from tests.support.factories import make_job
from tests.tasks.metadata.exports.conftest import DIRTY, dirty_jobs, make_batch


async def test_a_table_on_standard_output_stays_alone_there(offline: Cli) -> None:
    """What is said about it goes to standard error."""
    (offline.folder / "b").mkdir()
    await make_batch(offline.folder / "b", dirty_jobs())
    done = offline.run("export", "b", "--format", "csv", "--to", "-")
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == len(DIRTY) + 2
    assert done.stderr == f"wrote -: {len(DIRTY) + 2} rows\n"


async def test_a_table_on_standard_output_is_the_file(offline: Cli) -> None:
    """In a terminal of another language too."""
    (offline.folder / "b").mkdir()
    await make_batch(offline.folder / "b", dirty_jobs())
    offline.environ["PYTHONIOENCODING"] = "ascii"
    offline.run("export", "b", "--format", "csv", "--to", "table.csv")
    done = offline.run("export", "b", "--format", "csv", "--to", "-")
    assert done.stdout == (offline.folder / "table.csv").read_text(encoding="utf-8")


async def test_what_was_left_out_is_said(offline: Cli) -> None:
    """Failed jobs have no picture; the record says how many there are."""
    (offline.folder / "b").mkdir()
    await make_batch(offline.folder / "b", dirty_jobs())
    record = offline.json("export", "b", "--format", "webdataset", "--to", "shards", "--shard-images", "3")
    assert record == {"format": "webdataset", "to": "shards", "rows": len(DIRTY) + 1, "left_out": 1, "files": 3}


async def test_no_export_and_no_page_tells_where_a_reference_image_lies(offline: Cli) -> None:
    """Folders tell of people and customers: of a file there is its name, in every form, page, file and `show`."""
    batch, place = offline.folder / "b", offline.folder / "secret-customer"
    batch.mkdir()
    place.mkdir()
    await make_batch(batch, [make_job(number) for number in range(2)])
    async with open_ledger(batch, writing=True) as engine:
        async with engine.begin() as connection:
            await connection.execute(
                jobs.update().values(input_image=str(place / "ref.png"), input_image_sha256="0" * 64)
            )
        await write_metadata(engine, OutputFolder(batch))
    # The card describes the folder that it stands in.
    suites = {"geneval", "t2i-compbench", "dpg", "wise", "tifa", "hpsv2"}
    for form in set(ExportFormat) - suites - {ExportFormat.CARD}:
        assert offline.run("export", "b", "--format", form, "--to", f"ex-{form}").returncode == 0
    assert offline.run("export", "b", "--format", "card").returncode == 0
    assert offline.run("gallery", "b").returncode == 0
    shown = [offline.run("show", "b", "--id", "row-0", *form).stdout for form in ((), ("--json",))]
    assert all("ref.png" in text and "secret-customer" not in text for text in shown)
    tables = pq.read_table(batch / "metadata.parquet"), pq.read_table(offline.folder / "ex-parquet")
    assert all("secret-customer" not in str(table.to_pylist()) for table in tables)
    assert tables[0].to_pylist()[0]["input_image"] == "ref.png"
    # What is not compressed; the ledger stays on the machine.
    files = [path for path in offline.folder.rglob("*") if path.is_file() and not path.name.startswith("ledger")]
    assert [path.name for path in files if b"secret-customer" in path.read_bytes()] == []
    assert len(files) > 15


def test_bad_input_is_one_line_and_exit_2(offline: Cli, tmp_path: Path) -> None:
    """A folder that is no batch, a target below a file, a format that is none."""
    for arguments in (("nowhere", "--format", "csv", "--to", "x.csv"), (".", "--format", "tiff", "--to", "x")):
        done = offline.run("export", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert not (tmp_path / "x.csv").exists()


async def test_a_selection_is_given_as_people_have_it(offline: Cli) -> None:
    """A list from a pipe or from a Windows editor, a verdict, a condition; what cannot be meant is exit 2."""
    (offline.folder / "b").mkdir()
    await make_batch(offline.folder / "b", dirty_jobs())
    (offline.folder / "ids.txt").write_text("\ufeffrow-0\r\nrow-1\r\n", encoding="utf-8")
    table = ("export", "b", "--format", "jsonl", "--to", "-")
    assert offline.run(*table, "--ids", "ids.txt").stdout.count("\n") == 2
    assert offline.run(*table, "--ids", "-", stdin="row-0\n\nrefused\n").stdout.count("\n") == 2
    assert offline.run(*table, "--where", "tag = 'x'").stdout.count("\n") == 1
    assert offline.run(*table, "--picked").stdout == ""
    for wrong in (
        ("--ids", "-"),
        ("--ids", "nowhere.txt"),
        ("--picked", "--verdict", "reject"),
        ("--where", "tga = 1"),
    ):
        done = offline.run(*table, *wrong, stdin="\n")
        assert (done.returncode, done.stdout) == (2, ""), done
        assert "Traceback" not in done.stderr
