"""The statements of a run, as SQLite plans them: none that comes back with every group of images reads a whole table."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from tests.flows.backends.test_replicate import TOKEN, configure, simulated
from tests.flows.conftest import Cli

IMAGES = 20
SELDOM = 5
"""Times that a run may do something that takes longer the more images there are, such as at its start and its end."""
RECORD = """
import atexit, json
from sqlalchemy import event
from sqlalchemy.engine import Engine

seen = []

@event.listens_for(Engine, "before_cursor_execute")
def note(connection, cursor, statement, parameters, context, many):
    seen.append((str(connection.engine.url.database), statement))

@atexit.register
def write():
    with open("statements.json", "w") as file:
        json.dump(seen, file)
"""
WHOLE = re.compile(
    # One row for each image that was ever made; and the rows of one batch.
    r"SCAN (TABLE )?(main\.)?(jobs|attempts|predictions|charges)\b|SEARCH (TABLE )?(main\.)?charges .*\(batch=\?\)$"
)


@dataclass
class Statement:
    """A statement as it ran first; a list of three values is the same as one of two."""

    database: str
    text: str
    times: int = 0


def record_statements(cli: Cli) -> list[Statement]:
    """Make images on a simulator under a cap, and give the statements of the run."""
    cli.environ |= TOKEN
    with simulated(cli, latency_s=0.05) as url:
        cli.before = RECORD
        configure(cli, api_base=url, delivery_hosts=["localhost"], concurrency=4)
        file = cli.folder / "imagen.yaml"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"caps": [{"usd": 5, "per": "day"}]}))
        done = cli.run("try", "a red fox", "--samples", str(IMAGES), "--out", "out")
        assert done.returncode == 0, done.stderr
    found: dict[str, Statement] = {}
    for database, text in json.loads((cli.folder / "statements.json").read_text()):
        found.setdefault(re.sub(r"[?(), ]+", "?", text), Statement(database, text)).times += 1
    return list(found.values())


def find_whole_reads(cli: Cli, statement: Statement) -> list[str]:
    """The steps of a statement that read a whole table."""
    with closing(sqlite3.connect(cli.folder / statement.database)) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * statement.text.count("?")).fetchall()
    return [step for *_, step in plan if WHOLE.search(step)]


def test_no_statement_of_a_group_reads_a_whole_table(offline: Cli) -> None:
    """What an image costs does not grow with those that were made before: claims, charges and marks find theirs by an index."""
    # A ledger is checked as a whole when it is opened, with functions of our own.
    statements = [each for each in record_statements(offline) if "imagen_is_" not in each.text]
    changes = [each for each in statements if each.text.startswith(("UPDATE", "DELETE"))]
    repeated = [each for each in statements if each.times > SELDOM and each.text.startswith("SELECT")]
    assert {"attempts", "jobs", "main.cap_totals"} <= {each.text.split()[1] for each in changes}
    assert {"main.predictions", "main.charges"} <= {each.text.split("FROM ")[1].split()[0] for each in repeated}
    # All changes: rows that are pushed come in pages, of which a long run has many and this one has one.
    for each in (*changes, *repeated):
        assert not find_whole_reads(offline, each), each
