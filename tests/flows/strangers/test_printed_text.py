"""What a stranger wrote, in a ledger or beside it, is printed as text: no terminal and no page obeys it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from contextvars import copy_context
from pathlib import Path

import pytest

from flows.cli import main
from tests.flows.strangers.test_damaged_ledgers import make_batch
from tests.support.factories import make_job

HOSTILE = "\x1b[2J\x1b]8;;http://evil.example\x07go\x9b31m\u202e\u2066\u200b\r\nnext|`x`<img src=x onerror=alert(1)></script>[a](http://evil.example)"
TEXTS = {
    "jobs": [
        "id",
        "prompt",
        "negative_prompt",
        "backend",
        "backend_type",
        "model",
        "aspect_ratio",
        "rerouted_from",
        "input_image",
    ],
    "attempts": ["backend", "prediction_id", "cost_source", "error_kind", "error_message"],
    "runs": ["host", "manifest", "caller", "outcome"],
    "verdicts": ["reviewer", "note"],
}
LAST = ["error_kind", "error_message", "prediction_id", "model_version", "cost_source", "file_name", "format"]
COMMANDS: dict[str, list[str]] = {
    "status": ["status", "out"],
    "status of all": ["status", "."],
    "status as JSON": ["status", "out", "--json"],
    "show": ["show", "out", "--id", make_job().job_id],
    "show as JSON": ["show", "out", "--id", make_job().job_id, "--json"],
    "several": ["show", "out", "--id", "nothing \x9b31m\u202e"],
    "gallery": ["gallery", "out"],
    "push": ["usage", "push", "out"],
    "usage": ["usage", "--raw"],
    "usage as JSON": ["usage", "--raw", "--json"],
    "usage by model": ["usage", "--by", "model,caller"],
    "plan": ["plan", "m.jsonl", "--out", "out"],
    "plan as JSON": ["plan", "m.jsonl", "--out", "out", "--json"],
    "reroll": ["reroll", "out", "--rejected"],
}


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[str]], str]:
    """Runs a command beside a batch whose every text is hostile; gives all that it printed."""
    import asyncio  # noqa: PLC0415  one fixture's

    monkeypatch.chdir(tmp_path)
    asyncio.run(make_batch(Path("out")))
    extra = json.dumps({HOSTILE: HOSTILE}, ensure_ascii=False)
    with closing(sqlite3.connect("out/ledger.db")) as db, db:
        for table, names in TEXTS.items():
            columns = [*names, *LAST] if table == "jobs" else names
            db.execute(f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)}", [HOSTILE] * len(columns))
        db.execute("UPDATE jobs SET extra = ?, backend_opts = ?", [extra, extra])
    row = {"prompt": HOSTILE, "id": HOSTILE.replace("/", "").translate(dict.fromkeys(range(32))), HOSTILE: HOSTILE}
    Path("m.jsonl").write_text(json.dumps(row) + "\n")

    def run(arguments: list[str]) -> str:
        monkeypatch.setattr(sys, "argv", ["imagen", *arguments])
        with pytest.raises(SystemExit) as left:
            copy_context().run(main)
        told = capsys.readouterr()
        assert "internal error" not in told.err, left
        return told.out + told.err

    return run


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_terminal_obeys_nothing(call: Callable[[list[str]], str], arguments: list[str]) -> None:
    """Whatever the command, everything that it prints is printable, line ends aside."""
    call(["usage", "push", "out"])
    printed = call(arguments)
    assert printed
    assert all(line.isprintable() for line in printed.split("\n")), printed


def test_pages_hold_no_markup_of_a_stranger(call: Callable[[list[str]], str], tmp_path: Path) -> None:
    """Neither the gallery's page nor its scripts spell a tag that a field of the ledger holds."""
    call(["gallery", "out"])
    written = [path for path in tmp_path.rglob("*") if path.suffix in {".html", ".js"}]
    assert written
    assert not any(
        "<img src=x" in path.read_text() or "onerror=alert(1)></script>" in path.read_text() for path in written
    )
    shutil.rmtree("out")
