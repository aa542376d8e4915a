"""`imagen export` as its users call it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.flows.conftest import Cli
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
