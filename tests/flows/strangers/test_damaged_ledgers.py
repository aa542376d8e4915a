"""A damaged ledger is one clear error in every command that reads it: the ledger, the table, the column and the job."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import pytest

from flows.cli import main
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.runs import RunStart, begin_run
from tests.support.factories import START_US, make_job, plan_jobs

COMMANDS: dict[str, list[str]] = {
    "status": ["status", "out"],
    "status as JSON": ["status", "out", "--json"],
    "show": ["show", "out", "--id", "row-0"],
    "gallery": ["gallery", "out"],
    "review": ["review", "out"],
    "compare": ["compare", "out"],
    "pick": ["pick", "out", "--ids", "ids.txt", "--verdict", "pick"],
    "reroll": ["reroll", "out", "--id", "row-0"],
    "resume": ["resume", "out"],
    "resume what failed": ["resume", "out", "--retry-failed"],
    "plan": ["plan", "m.txt", "--out", "out"],
    "run": ["run", "m.txt", "--out", "out"],
    "push": ["usage", "push", "out"],
    "CSV": ["export", "out", "--format", "csv", "--to", "-"],
    "JSON Lines": ["export", "out", "--format", "jsonl", "--to", "t.jsonl"],
    "Parquet": ["export", "out", "--format", "parquet", "--to", "t.parquet"],
    "shards": ["export", "out", "--format", "webdataset", "--to", "shards"],
    "card": ["export", "out", "--format", "card"],
}
VALUES: dict[str, tuple[str, str]] = {
    "a text for a number": ("jobs.width", "'wide'"),
    "a number beyond 64 bits": ("jobs.bytes", "1e30"),
    "a negative count": ("jobs.attempts", "-1"),
    "a fraction of a count": ("jobs.line", "1.5"),
    "an infinite time": ("jobs.predict_time_s", "9e999"),
    "a date before 1970": ("jobs.created_at_us", "-62167219200000000"),
    "a date after 9999": ("jobs.completed_at_us", "253402300800000000"),
    "half of a character": ("jobs.prompt", "CAST(x'eda080' AS TEXT)"),
    "half of a character in JSON": ("jobs.extra", """'{"a": "\\ud800"}'"""),
    "a NUL": ("jobs.negative_prompt", "'a' || char(0) || 'b'"),
    "a text of 17 MB": ("jobs.error_message", "CAST(zeroblob(17000000) AS TEXT)"),
    "17 million letters": ("jobs.prompt", "replace(hex(zeroblob(8500000)), '0', 'x')"),
    "bytes": ("jobs.model", "x'ff'"),
    "broken JSON": ("jobs.backend_opts", "'{'"),
    "a JSON list": ("jobs.extra", "'[]'"),
    "deep JSON": ("jobs.extra", f"'{'[' * 100_000}'"),
    "no such state": ("jobs.state", "'gone'"),
    "nothing": ("jobs.seed", "NULL"),
    "money": ("attempts.cost_micros", "-5"),
    "a text for money": ("attempts.reserved_micros", "'much'"),
    "no such verdict": ("verdicts.verdict", "'maybe'"),
    "a budget": ("runs.budget_micros", "-1"),
}
FILES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: os.truncate(path, 5000),
    "empty": lambda path: os.truncate(path, 0),
    "text": lambda path: path.write_text("no database at all\n" * 500),
    "encrypted": lambda path: path.write_bytes(bytes((7 * at) % 251 for at in range(40_000))),
    "of another program": lambda path: replace_database(path, "CREATE TABLE bookmarks (a)"),
    "of another program with our version": lambda path: replace_database(
        path, "CREATE TABLE bookmarks (a); PRAGMA user_version = 4"
    ),
    "of another program with an older version": lambda path: replace_database(
        path, "CREATE TABLE bookmarks (a); PRAGMA user_version = 2"
    ),
    "newer": lambda path: change(path, "PRAGMA user_version = 99"),
    "with a trigger": lambda path: change(
        path, "CREATE TRIGGER again AFTER UPDATE ON jobs BEGIN UPDATE jobs SET state = 'planned'; END"
    ),
    "a rule that is no text": lambda path: path.write_bytes(
        path.read_bytes().replace(b"NOT NULL, ", b"NOT NULL\xfd ", 1)
    ),
    "a folder": lambda path: put_in_place(path, Path.mkdir),
    "a pipe": lambda path: put_in_place(path, os.mkfifo),
}


def change(path: Path, script: str) -> None:
    """Change a ledger as nobody should; afterwards it is one file."""
    db = sqlite3.connect(path)
    # What we keep out of a table, another program does not.
    db.executescript(f"PRAGMA ignore_check_constraints = 1; {script}; PRAGMA journal_mode = DELETE")
    db.close()


def put_in_place(path: Path, make: Callable[[Path], None]) -> None:
    """Make something else in the place of a ledger."""
    path.unlink()
    make(path)


def replace_database(path: Path, script: str) -> None:
    """Put another program's database in the place of a ledger."""
    path.unlink()
    change(path, script)


async def make_batch(out: Path) -> None:
    """A batch of a failed job with everything that a ledger can hold."""
    out.mkdir()
    async with open_ledger(out, create=True) as engine:
        start = RunStart(manifest="m.txt", salt="", budget_micros=None, settings="{}", caller="me")
        await begin_run(engine, start, now_us=START_US)
        await plan_jobs(engine, [make_job()])
    job = make_job().job_id
    change(
        out / "ledger.db",
        f"""
        UPDATE jobs SET state = 'failed', attempts = 1;
        INSERT INTO attempts (job_id, number, state, backend, started_at_us, submit_retries)
            VALUES ('{job}', 1, 'failed', 'sketch', 1, 0);
        INSERT INTO verdicts VALUES ('{job}', 1, 'me', 'reject', 1, 'a note')
        """,
    )


@pytest.fixture(scope="session")
def sound_batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch to copy."""
    out = tmp_path_factory.mktemp("sound") / "out"
    asyncio.run(make_batch(out))
    return out


@pytest.fixture(scope="session")
def damaged(sound_batch: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A ledger with each kind of damage."""
    folder = tmp_path_factory.mktemp("damaged")
    made: dict[str, Path] = {}
    for kind, (column, value) in VALUES.items():
        table, name = column.split(".")
        made[kind] = Path(shutil.copyfile(sound_batch / "ledger.db", folder / f"{len(made)}.db"))
        change(
            made[kind], build_without_rule(table, name) if value == "NULL" else f"UPDATE {table} SET {name} = {value}"
        )
    return made


@pytest.fixture
def batch(sound_batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its ledger in the folder `out` of the current folder."""
    shutil.copytree(sound_batch, tmp_path / "out")
    (tmp_path / "m.txt").write_text("a fox\n")
    (tmp_path / "ids.txt").write_text("row-0\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out" / "ledger.db"


Refuse = Callable[[list[str]], str]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a command in this process, as it refuses; gives the error."""
    return lambda arguments: call_refused(arguments, monkeypatch, capsys)


def call_refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one error of a command that refuses; nothing is printed as its result.

    A push and a list of batches go on with other batches, and end with status 3.
    """
    monkeypatch.setattr(sys, "argv", ["imagen", *arguments])
    with pytest.raises(SystemExit) as left:
        copy_context().run(main)  # a display that a command set must not outlive it
    told = capsys.readouterr()
    goes_on = "push" in arguments
    assert left.value.code == (3 if goes_on else 2), told
    assert told.err.count("imagen: ") == 1
    assert "internal error" not in told.err
    assert told.out == ("out: its ledger cannot be read\n" if goes_on else "")
    return told.err


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=COMMANDS)
def test_commands_name_what_is_damaged(
    batch: Path,
    damaged: dict[str, Path],
    number: int,
    refuse: Refuse,
) -> None:
    """Damage is told with its ledger, table, column and row, on one line; each command meets a fifth of the kinds."""
    for kind in list(VALUES)[number % 5 :: 5]:
        expect_damage_told(batch, damaged, kind, list(COMMANDS.values())[number], refuse)


@pytest.mark.soak
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_every_command_names_every_damage(
    batch: Path, damaged: dict[str, Path], arguments: list[str], refuse: Refuse
) -> None:
    """The same, with every kind in every command."""
    for kind in VALUES:
        expect_damage_told(batch, damaged, kind, arguments, refuse)


def expect_damage_told(batch: Path, damaged: dict[str, Path], kind: str, arguments: list[str], refuse: Refuse) -> None:
    """Run a command on a batch with this damage."""
    shutil.copyfile(damaged[kind], batch)
    told, (column, _) = refuse(arguments), VALUES[kind]
    row = "run 1" if column.startswith("runs") else f"job {make_job().job_id}"
    assert f"out/ledger.db: the ledger is damaged: {column} of {row} is " in told, (kind, told)
    assert len(told) < 1_000


def test_a_rule_of_another_program_is_one_clear_error(
    batch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index that takes each machine once refuses the second run, before anything is made."""
    change(batch, "CREATE UNIQUE INDEX once ON runs (host)")
    monkeypatch.setattr(sys, "argv", ["imagen", "try", "a fox", "--out", "out"])
    with pytest.raises(SystemExit) as left:
        copy_context().run(main)
    told = capsys.readouterr().err
    assert (left.value.code, told.count("the ledger refuses a change")) == (3, 1)


def build_without_rule(table: str, name: str) -> str:
    """SQL that puts NULL where the table of ours takes none."""
    return f"""PRAGMA writable_schema = 1;
        UPDATE sqlite_master SET sql = replace(sql, '{name} BIGINT NOT NULL', '{name} BIGINT') WHERE name = '{table}';
        PRAGMA writable_schema = RESET; UPDATE {table} SET {name} = NULL"""


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_every_command_refuses_what_is_no_ledger(batch: Path, arguments: list[str], refuse: Refuse) -> None:
    """Whatever lies in the ledger's place, the command names it and leaves it as it is."""
    sound = batch.read_bytes()
    for kind, damage in FILES.items():
        damage(batch)
        # A new batch may begin in an empty file; a push looks for batches, and a folder of that name is none.
        if (kind, arguments[0]) not in {("empty", "run"), ("empty", "plan"), ("a folder", "usage")}:
            before = batch.read_bytes() if batch.is_file() else None
            told = refuse(arguments)
            assert "out" in told, (kind, told)
            assert before is None or batch.read_bytes() == before, kind
        shutil.rmtree(batch) if batch.is_dir() else batch.unlink()
        batch.write_bytes(sound)
