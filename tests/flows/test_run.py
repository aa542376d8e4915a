"""The main job as its users run it: real processes, a real Prefect server, real files."""

from __future__ import annotations

import getpass
import json
import socket
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from prefect.flows import Flow, load_flow_from_entrypoint

from tasks.store.embedding.embed import read
from tests.flows.conftest import Cli
from tests.support.services.asking import CLIENT
from tests.support.waiting import eventually

pytestmark = pytest.mark.server

CONTRACT = [
    "batch",
    "total",
    "planned",
    "submitting",
    "submitted",
    "succeeded",
    "failed",
    "held",
    "duplicates",
    "images",
    "cost_usd",
    "cost_unknown",
    "wall_s",
    "images_per_s",
    "usage_pushed",
    "usage_pending",
    "errors",
    "out",
]


def read_rows(out: Path) -> list[dict[str, Any]]:
    """The metadata table."""
    rows: list[dict[str, Any]] = pq.read_table(out / "metadata.parquet").to_pylist()
    return rows


def list_images(out: Path) -> set[str]:
    """The image files, relative to the folder."""
    return {str(path.relative_to(out)) for path in (out / "images").rglob("*.*")}


def ask(api: str, what: str, **conditions: Any) -> list[dict[str, Any]]:
    """What Prefect's server finds."""
    found: list[dict[str, Any]] = CLIENT.post(f"{api}/{what}/filter", json=conditions).json()
    return found


def find_ended_tasks(api: str, flow_run: str, count: int) -> list[dict[str, Any]]:
    """The task runs of a flow run once so many are recorded with their ends: the server hears of them by events, which may come late."""
    found = ask(api, "task_runs", flow_runs={"id": {"any_": [flow_run]}})
    ended = [task for task in found if task["state_type"] in {"COMPLETED", "FAILED"}]
    return found if len(found) == len(ended) >= count else []


def test_a_manifest_becomes_images_a_table_and_usage_rows(cli: Cli) -> None:
    """Everything that section 8 and 9 of the README promise is there, and says the same."""
    (cli.folder / "m.yaml").write_text(
        """
        defaults: {width: 48, height: 32}
        template: {id: "{what}-{light}", prompt: "a {what} at {light}"}
        matrix: {what: [fox, owl], light: [dawn, dusk]}
        prompts:
          - plain
          - {id: many, prompt: "  edges kept ", samples: 2, format: webp, seed: 7, mood: calm}
          - {id: wide, prompt: plain, aspect_ratio: "16:9", format: jpeg}
        """
    )
    record = cli.json("run", "m.yaml", "--out", "out")
    assert [key for key in CONTRACT if key not in record] == []
    assert (record["total"], record["images"], record["usage_pushed"], record["usage_pending"]) == (8, 8, 8, 0)
    assert (record["batch"], record["errors"]) == ("out", {})
    kept = json.loads((cli.folder / "out/summary.json").read_text())
    assert kept == {name: record[name] for name in kept}

    rows = read_rows(cli.folder / "out")
    assert [row["id"] for row in rows] == ["fox-dawn", "fox-dusk", "owl-dawn", "owl-dusk", None, "many", "many", "wide"]
    assert {row["file_name"] for row in rows} == list_images(cli.folder / "out")
    for row in rows:
        with Image.open(cli.folder / "out" / row["file_name"]) as image:
            assert (image.width, image.height, image.format) == (row["width"], row["height"], row["format"].upper())
    assert [row["seed"] for row in rows[5:7]] == [7, 8]
    assert rows[5]["prompt"] == "  edges kept "
    assert json.loads(rows[5]["extra"]) == {"mood": "calm"}
    assert json.loads(rows[0]["extra"]) == {"what": "fox", "light": "dawn"}
    assert rows[7]["width"] / rows[7]["height"] == pytest.approx(16 / 9, rel=0.02)
    parameters = read((cli.folder / "out" / rows[0]["file_name"]).read_bytes())
    assert parameters is not None
    assert (parameters["prompt"], parameters["seed"]) == ("a fox at dawn", rows[0]["seed"])

    [group] = cli.json("usage")["groups"]
    assert (group["images"], group["caller"], group["cost_usd"]) == (
        8,
        f"{getpass.getuser()}@{socket.gethostname()}",
        0.0,
    )
    assert {row["prompt_hash"] for row in cli.json("usage", "--raw")} == {row["prompt_hash"] for row in rows}


def test_only_the_difference_is_generated(cli: Cli) -> None:
    """The same again costs nothing; a longer, reordered, edited manifest costs what is new; files stay."""
    cli.json("run", cli.manifest(4), "--out", "out")
    before = {name: (cli.folder / "out" / name).stat().st_mtime_ns for name in list_images(cli.folder / "out")}
    assert cli.json("run", "m.jsonl", "--out", "out")["generated"] == 0

    lines = (cli.folder / "m.jsonl").read_text().splitlines()
    edited = [lines[3], '{"id": "new", "prompt": "new", "width": 32, "height": 32}', *lines[:2]]
    (cli.folder / "m.jsonl").write_text("\n".join([*edited, lines[0].replace("row-0", "again")]) + "\n")
    plan = cli.json("plan", "m.jsonl", "--out", "out")
    assert (plan["jobs"], plan["done"], plan["to_do"], plan["duplicates"]) == (5, 3, 2, 1)
    record = cli.json("run", "m.jsonl", "--out", "out")
    assert (record["generated"], record["total"], record["duplicates"]) == (2, 5, 1)
    assert [row["id"] for row in read_rows(cli.folder / "out")] == ["row-3", "new", "row-0", "row-1", "again"]
    assert {name: (cli.folder / "out" / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.soak  # two whole runs; the planner's tests hold the rule
def test_a_salt_gives_new_pictures_and_keeps_the_old(cli: Cli) -> None:
    """Each night's pictures stand behind the last night's."""
    cli.json("run", cli.manifest(2), "--out", "out", "--salt", "monday")
    record = cli.json("run", "m.jsonl", "--out", "out", "--salt", "tuesday")
    assert (record["generated"], record["images"]) == (2, 4)
    rows = read_rows(cli.folder / "out")
    assert [row["id"] for row in rows] == ["row-0", "row-1"] * 2
    assert len({row["sha256"] for row in rows}) == 4


def test_failures_are_reported_and_tried_again_when_asked(cli: Cli) -> None:
    """Exit status 1 with every reason; only --retry-failed sends them again."""
    cli.config(moderation_rate=0.3)
    (cli.folder / "imagen.yaml").write_text(
        '{"backends": {"sketch": {"type": "sketch", "moderation_rate": 0.3}}, "stop": {"error_rate": 1}}'
    )
    record = cli.json("run", cli.manifest(12), "--out", "out", status=1)
    assert record["failed"] > 0
    assert record["errors"] == {"moderation": record["failed"]}
    assert record["succeeded"] + record["failed"] == record["total"] == 12
    failed = [row for row in read_rows(cli.folder / "out") if row["status"] == "failed"]
    assert {(row["file_name"], row["error_kind"]) for row in failed} == {(None, "moderation")}

    cli.config()
    assert cli.json("run", "m.jsonl", "--out", "out", status=1)["generated"] == 0
    again = cli.json("resume", "out", "--retry-failed", "--config", "imagen.yaml")
    assert (again["generated"], again["failed"], again["errors"]) == (record["failed"], 0, {})


def test_a_resume_needs_nothing_but_the_folder(cli: Cli) -> None:
    """Neither the manifest nor the configuration is there any more."""
    cli.config(price_usd=0.01)
    cli.json("run", cli.manifest(6), "--out", "out", "--budget", "0.06", "--limit", "2")
    stopped = cli.json("run", "m.jsonl", "--out", "out", "--budget", "0.05", status=3)
    assert stopped["planned"] == 4
    (cli.folder / "imagen.yaml").unlink()
    (cli.folder / "m.jsonl").unlink()
    record = cli.json("resume", "out", "--budget", "0.06")
    assert (record["succeeded"], record["cost_usd"]) == (6, 0.06)


def test_a_budget_stops_before_the_first_call_or_at_the_cap(cli: Cli) -> None:
    """Exit status 3, resumable, and the reason says what to do."""
    cli.config(price_usd=0.01)
    record = cli.json("run", cli.manifest(5), "--out", "out", "--budget", "0.03", status=3)
    assert (record["images"], record["planned"], record["cost_usd"]) == (0, 5, 0.0)
    assert "--budget" in record["outcome"]
    assert cli.run("run", "m.jsonl", "--out", "out", "--budget", "0.05", "--quiet").returncode == 0


def test_an_error_rate_stops_the_batch(cli: Cli) -> None:
    """Half of the last twenty failing: exit status 3, and most of the batch is not burnt."""
    cli.config(failure_rate=1.0, concurrency=4)
    record = cli.json("run", cli.manifest(60), "--out", "out", status=3)
    assert record["planned"] >= 36
    assert "of the last 20 jobs failed" in record["outcome"]


def test_prefect_shows_every_prompt_by_name(cli: Cli, prefect_url: str) -> None:
    """The run names manifest and folder, the task runs name the prompts, the artifacts tell the result."""
    cli.config(failure_rate=0.5)
    (cli.folder / "imagen.yaml").write_text(
        '{"backends": {"sketch": {"type": "sketch", "failure_rate": 0.5}}, "stop": {"error_rate": 1}}'
    )
    record = cli.json("run", cli.manifest(8), "--out", "shown", status=1)
    runs = ask(prefect_url, "flow_runs", flow_runs={"name": {"like_": "-> shown"}})
    assert [run["name"] for run in runs] == [f"{cli.folder}/m.jsonl -> shown"]
    assert runs[0]["state"]["type"] == "FAILED"
    assert f"{record['images']} of 8 images" in runs[0]["state"]["message"]
    mine = {"flow_runs": {"id": {"any_": [runs[0]["id"]]}}}
    tasks = eventually(lambda: find_ended_tasks(prefect_url, runs[0]["id"], 8))
    assert {task["name"] for task in tasks} == {f"row-{number}" for number in range(8)}
    artifacts = {item["key"]: item for item in ask(prefect_url, "artifacts", **mine)}
    logs = ask(prefect_url, "logs", logs={"flow_run_id": {"any_": [runs[0]["id"]]}}, limit=200)
    assert runs[0]["tags"] == ["imagen"]
    states = Counter(task["state"]["name"] for task in tasks)
    assert states == {"Completed": record["images"], "Failed": record["failed"]}
    assert {task["state"]["message"] for task in tasks} >= {"1 of 1"}
    assert set(artifacts) == {"imagen-m-progress", "imagen-m-summary", "imagen-m-failures"}
    assert artifacts["imagen-m-progress"]["data"] == 100.0
    # One image of all: the page shows it whole.
    assert artifacts["imagen-m-summary"]["data"].count("](data:image/webp;base64,") == 1
    assert len(json.loads(artifacts["imagen-m-failures"]["data"])) == record["failed"]
    messages = [each["message"] for each in logs]
    assert "generating 8 images" in messages
    assert sum(": failed: " in message for message in messages) == record["failed"]
    assert not any("picture" in message for message in messages if ": failed: " in message)


@pytest.mark.soak  # 230 images, and the tests of the window of shards hold the rule
def test_large_batches_have_few_task_runs(cli: Cli, prefect_url: str) -> None:
    """Above 200 jobs a task run is a range of jobs."""
    record = cli.json("run", cli.manifest(230), "--out", "large")
    assert record["images"] == 230
    [run] = ask(prefect_url, "flow_runs", flow_runs={"name": {"like_": "-> large"}})
    tasks = eventually(lambda: find_ended_tasks(prefect_url, run["id"], 5))
    assert len(tasks) == 5
    assert "shard 1: 50 jobs from row-0" in {task["name"] for task in tasks}


def test_standard_input_is_a_manifest(cli: Cli) -> None:
    """`imagen run -` reads what is piped in; parameters stay out of the files where the settings say so."""
    (cli.folder / "imagen.yaml").write_text("output: {embed_parameters: false}\n")
    done = cli.run("run", "-", "--out", "out", "--json", stdin="a fox\nan owl\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 2
    assert [row["prompt"] for row in read_rows(cli.folder / "out")] == ["a fox", "an owl"]
    assert {read((cli.folder / "out" / name).read_bytes()) for name in list_images(cli.folder / "out")} == {None}


def test_the_prompt_stays_out_of_the_usage_database(cli: Cli) -> None:
    """Only its hash gets there."""
    (cli.folder / "m.txt").write_text("a very secret fox\n")
    cli.environ["XDG_STATE_HOME"] = str(cli.folder / "state")
    cli.json("run", "m.txt", "--out", "out")
    database = cli.folder / "state/imagen/usage.db"
    with sqlite3.connect(database) as db:
        assert db.execute("SELECT count(*) FROM imagen_usage").fetchone() == (1,)
    db.close()
    assert b"secret" not in database.read_bytes()


@pytest.mark.parametrize(
    ("entrypoint", "name", "parameters"),
    [
        ("flows/generate_batch.py:generate_batch", "generate-batch", {"manifest", "out", "budget_usd", "salt"}),
        ("flows.generate_batch.generate_batch", "generate-batch", {"manifest", "out", "budget_usd", "salt"}),
        ("flows/push_usage.py:push_usage", "push-usage", {"folder", "config"}),
    ],
)
def test_prefect_loads_the_flows_in_both_forms(
    entrypoint: str, name: str, parameters: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment may name the file or the module."""
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    flow: Flow[Any, Any] = load_flow_from_entrypoint(entrypoint)
    assert flow.name == name
    assert set(flow.parameters.properties) >= parameters
