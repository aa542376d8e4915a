"""Usage rows as users get them: pushed by a run, by a command and by a flow, into real databases."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import signal
import subprocess
from pathlib import Path

import pytest

from flows.push_usage import push_usage
from tasks.core.configuration.sections import UsageSettings
from tests.flows.conftest import Cli
from tests.support.services.asking import CLIENT
from tests.support.services.supabase import Supabase, UsageDatabase
from tests.support.waiting import eventually
from tests.tasks.usage.ledgers import keep, make_row, write_batch

SUPABASE = {"sink": "supabase", "rest_path": ""}
HELD = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def configure(cli: Cli, **usage: str) -> None:
    """Set the usage sink of this folder."""
    (cli.folder / "imagen.yaml").write_text(json.dumps({"usage": usage}))


@pytest.mark.server
def test_a_run_pushes_and_the_prompt_gets_nowhere(cli: Cli, supabase: Supabase, prefect_url: str) -> None:
    """Its words are in no table, no statement the database saw, no line on the screen and in no log."""
    configure(cli, **SUPABASE)
    (cli.folder / "m.txt").write_text("".join(f"a zanzibarian quokka, study {number}\n" for number in range(4)))
    cli.environ["MAI_FROM_ID"] = "night-crew"
    done = cli.run("run", "m.txt", "--out", "out")
    assert done.returncode == 0, done.stderr
    rows = asyncio.run(supabase.database.fetch("SELECT row_to_json(u)::text FROM mai.imagen_usage u"))
    assert [json.loads(str(row))["caller"] for (row,) in rows] == ["night-crew"] * 4
    records = CLIENT.post(f"{prefect_url}/logs/filter", json={"limit": 200}).json()
    assert supabase.database.server.log.count('INSERT INTO "mai"."imagen_usage"') >= 1
    logs = {
        "table": str(rows),
        "statements": supabase.database.server.log,
        "api": supabase.api.log,
        "screen": done.stdout + done.stderr,
        "prefect": "\n".join(record["message"] for record in records),
    }
    assert not [name for name, text in logs.items() if "zanzibarian" in text], done.stderr


@pytest.mark.server
def test_a_run_whose_sink_is_away_is_no_worse_for_it(cli: Cli, supabase: Supabase) -> None:
    """It succeeds, warns and keeps the rows; mended, `imagen usage push` delivers them."""
    configure(cli, **SUPABASE)
    cli.environ["SUPABASE_URL"] = ""
    run = cli.json("run", cli.manifest(3), "--out", "out")
    assert (run["succeeded"], run["usage_pushed"], run["usage_pending"]) == (3, 0, 3)
    assert "SUPABASE_URL" in run["warning"]
    refused = cli.run("usage", "push", "out")
    assert refused.returncode == 3
    assert "3 pending" in refused.stdout
    assert "SUPABASE_URL" in refused.stderr
    del cli.environ["SUPABASE_URL"]
    [report] = cli.json("usage", "push", "out")
    assert (report["pushed"], report["pending"], report["warning"]) == (3, 0, None)
    assert asyncio.run(supabase.database.count()) == (3, 3)


def push_until_held(cli: Cli, database: UsageDatabase) -> subprocess.Popen[str]:
    """Start a push, and come back when the database keeps one of its statements."""
    process = cli.start("usage", "push", "out")
    eventually(lambda: process.poll() is not None or asyncio.run(database.fetch(f"SELECT pid {HELD}")))
    return process


def hold_inserts(database: UsageDatabase, above: int) -> None:
    """Let the database keep a statement for good that brings the table above so many rows."""
    asyncio.run(
        database.fetch(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF (SELECT count(*) FROM mai.imagen_usage) > {above} THEN PERFORM pg_sleep(86400); END IF; "
            "RETURN NULL; END $$; "
            "CREATE TRIGGER hold AFTER INSERT ON mai.imagen_usage FOR EACH STATEMENT EXECUTE FUNCTION hold();"
        )
    )


def end_held(database: UsageDatabase) -> None:
    """Undo what is held, as after the end of its client, and hold nothing more."""
    eventually(lambda: not asyncio.run(database.fetch(f"SELECT pg_cancel_backend(pid) {HELD}")))
    asyncio.run(database.fetch("DROP FUNCTION hold CASCADE;"))


def test_pushes_killed_at_random_moments_lose_nothing(offline: Cli, supabase: Supabase) -> None:
    """SIGKILL with any number of rows delivered, again and again: at the end every row is there once."""
    count, dice = 2_500, random.Random(11)
    configure(offline, **SUPABASE)
    asyncio.run(write_batch(offline.folder / "out", count))
    for least in (0, 700, 1_400):
        hold_inserts(supabase.database, above=least + dice.randrange(700))
        process = push_until_held(offline, supabase.database)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        end_held(supabase.database)
    pushed = offline.run("usage", "push", "out")
    assert pushed.returncode == 0, pushed.stderr
    assert asyncio.run(supabase.database.count()) == (count, count)
    assert offline.json("status", "out")["usage_pushed"] == count


def test_the_table_is_read_back(offline: Cli, supabase: Supabase) -> None:
    """Grouped by what is asked for, within the window, as a table, JSON and CSV."""
    configure(offline, **SUPABASE)
    rows = [make_row(number, caller="ann" if number < 3 else "bob") for number in range(5)]
    asyncio.run(keep(rows, UsageSettings(sink="supabase", rest_path="")))
    assert asyncio.run(supabase.database.count()) == (5, 5)
    table = offline.run("usage", "--by", "caller,backend").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["caller", "backend", "images", "failures", "cost_usd", "unknown", "latency_ms"],
        ["ann", "flux", "3", "0", "0.0060", "1", "1000"],
        ["bob", "flux", "2", "0", "0.0030", "1", "1000"],
        ["total", "5", "0", "0.0090", "2"],
    ]
    day = offline.json("usage", "--by", "day", "--since", "2026-01-01", "--until", "2027-01-01")
    assert [group["images"] for group in day["groups"]] == [5]
    raw = list(csv.DictReader(offline.run("usage", "--raw", "--csv").stdout.splitlines()))
    assert [row["cost_usd_estimate"] for row in raw] == ["0.003", "", "0.003", "", "0.003"]


def test_migrate_says_what_it_did(offline: Cli, usage_database: UsageDatabase) -> None:
    """Once it makes the table, twice it changes nothing, from an option or the environment; --print only shows it."""
    asyncio.run(usage_database.server.fetch("create database fresh"))
    url = usage_database.server.url("fresh")
    shown = offline.run("usage", "migrate", "--print", "--url", url)
    assert shown.stdout.count("create table") == 1
    first = offline.run("usage", "migrate", "--url", url)
    assert (first.returncode, "made mai.imagen_usage" in first.stdout) == (0, True)
    assert "exposed schemas" in first.stdout
    offline.environ["IMAGEN_USAGE_DATABASE_URL"] = url
    second = offline.run("usage", "migrate")
    assert "nothing changed" in second.stdout
    assert "secret" not in first.stdout + second.stdout


async def test_the_flow_pushes_every_batch_under_a_folder(
    supabase: Supabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is scheduled: failed when rows stay pending because of trouble, else completed with what each batch has."""
    (tmp_path / "imagen.yaml").write_text(json.dumps({"usage": SUPABASE}))
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a", "b"), start=2):
        await write_batch(Path("runs", name), number)
    with monkeypatch.context() as away:
        away.setenv("SUPABASE_URL", "")
        failed = await push_usage.fn("runs", config="imagen.yaml")
    assert (failed.name, "SUPABASE_URL" in str(failed.message)) == ("Failed", True)
    assert await supabase.database.count() == (0, 0)
    completed = await push_usage.fn("runs", config="imagen.yaml")
    assert (completed.name, completed.message) == (
        "Completed",
        "runs/a: 2 usage rows pushed, 0 pending; runs/b: 3 usage rows pushed, 0 pending",
    )
