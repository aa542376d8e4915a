"""A batch in a bucket as its users run it: real processes, a real server of S3's protocol."""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.arrow import ArrowFSWrapper
from PIL import Image
from pyarrow.fs import S3FileSystem

from tasks.core.configuration.settings import load_settings
from tasks.store.output import parse_output
from tests.flows.commands.test_simulate import instructions
from tests.flows.conftest import Cli, interrupt
from tests.flows.kills.test_killed import SOME_DONE, wait_until
from tests.support.killing import kill_until_done
from tests.support.readers import load_dataset
from tests.support.services.asking import read_truth
from tests.support.services.object_storage import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectStorage
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.server

SHORT_PATIENCE = "import tasks.store.output.bucket as bucket; bucket.PATIENCE_S = 1.0"
PICTURE = "images/"


class DuckdbStorage(ArrowFSWrapper):  # type: ignore[misc]  # fsspec has no types
    """DuckDB's way to S3 without its extension, which would have to be downloaded."""

    protocol = "s3"


@pytest.fixture
def url(prefix: str) -> str:
    """A place of the test's own."""
    return f"s3://{BUCKET}/{prefix}"


@contextmanager
def rehearsal(cli: Cli) -> Iterator[str]:
    """`imagen simulate`, and this folder set up for it; gives its address."""
    process = cli.start("simulate", "--port", "0", "--latency", "0.3")
    text = instructions(process)
    block = re.search(r"^default_backend:(?:.+\n)+", text, re.MULTILINE)
    token = re.search(r"REPLICATE_API_TOKEN=(\w+)", text)
    assert block is not None
    assert token is not None
    (cli.folder / "imagen.yaml").write_text(block[0])
    cli.environ["REPLICATE_API_TOKEN"] = token[1]
    address = str(load_settings(cli.folder / "imagen.yaml").backends["rehearsal"].options["api_base"])
    try:
        yield address
    finally:
        interrupt(process)
        process.communicate(timeout=PATIENCE_S)


def test_a_manifest_becomes_objects(cli: Cli, rclone: ObjectStorage, prefix: str, url: str) -> None:
    """Pictures, table and summary are in the bucket; every command knows the place; going on there makes nothing anew."""
    manifest = cli.manifest(5)
    done = cli.run("run", manifest, "--out", f"{url}/")
    assert done.returncode == 0, done.stderr
    assert f"images and metadata.parquet are in {url}\n" in done.stdout
    files = rclone.files(prefix)
    rows = pq.read_table(files["metadata.parquet"]).to_pylist()
    assert [row["id"] for row in rows] == [f"row-{number}" for number in range(5)]
    names = {row["file_name"] for row in rows}
    assert set(files) == names | {"metadata.parquet", "summary.json", "ledger.json"}
    for name in names:
        Image.open(files[name]).load()
    assert json.loads(files["summary.json"].read_text())["out"] == url
    status = cli.json("status", url)
    assert (status["batch"], status["succeeded"], status["out"]) == (prefix.rpartition("/")[2], 5, url)
    assert cli.json("plan", manifest, "--out", url)["done"] == 5
    [report] = cli.json("usage", "push", url)
    assert (report["out"], report["pushed"]) == (url, 5)
    for again in (("resume", url), ("run", manifest, "--out", url)):
        assert cli.json(*again)["generated"] == 0
    assert cli.json("run", cli.manifest(7), "--out", url)["generated"] == 2
    secrets = [path for path in cli.folder.rglob("*") if path.is_file() and SECRET_KEY.encode() in path.read_bytes()]
    home = parse_output(url).home
    secrets += [path for path in home.iterdir() if SECRET_KEY.encode() in path.read_bytes()]
    assert secrets == []


def test_readers_open_it(cli: Cli, rclone: ObjectStorage, prefix: str, url: str) -> None:
    """Arrow and DuckDB read the table where it is, its names lead to the pictures; a copy is an imagefolder."""
    assert cli.json("run", cli.manifest(3), "--out", url)["succeeded"] == 3
    storage = S3FileSystem(
        access_key=ACCESS_KEY, secret_key=SECRET_KEY, region="us-east-1", scheme="http",
        endpoint_override=rclone.endpoint.removeprefix("http://"),
    )  # fmt: skip
    place = url.removeprefix("s3://")
    table = pq.read_table(f"{place}/metadata.parquet", filesystem=storage)
    sizes = [storage.get_file_info(f"{place}/{name}").size for name in table["file_name"].to_pylist()]
    assert sizes == table["bytes"].to_pylist()
    with closing(duckdb.connect()) as db:
        db.register_filesystem(DuckdbStorage(storage))
        assert db.sql(f"SELECT status, count(*) FROM '{url}/metadata.parquet' GROUP BY 1").fetchall() == [
            ("succeeded", 3)
        ]
    for name, path in rclone.files(prefix).items():
        (cli.folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, cli.folder / "copy" / name)
    cache = str(cli.folder / "cache")
    pictures = load_dataset("imagefolder", data_dir=str(cli.folder / "copy"), split="train", cache_dir=cache)
    assert [(row["prompt"], row["image"].size) for row in pictures] == [(f"picture {n}", (32, 32)) for n in range(3)]


@pytest.mark.soak
def test_killed_at_any_moment_nothing_is_billed_twice(cli: Cli, rclone: ObjectStorage, prefix: str, url: str) -> None:
    """SIGKILL again and again: each row has one picture in the bucket, and the provider created it once."""
    dice = random.Random(11)
    manifest = cli.manifest(20)
    with rehearsal(cli) as address:
        kills = kill_until_done(cli, manifest, url, parse_output(url).home, dice, most=5)
        account = read_truth(address)
    assert kills >= 1
    rows = pq.read_table(rclone.files(prefix)["metadata.parquet"]).to_pylist()
    assert {row["file_name"] for row in rows} == {name for name in rclone.files(prefix) if name.startswith(PICTURE)}
    assert (len(rows), account["created"]) == (20, 20)


@pytest.mark.soak
def test_a_storage_that_stays_away_stops_resumable(cli: Cli, rclone: ObjectStorage, prefix: str, url: str) -> None:
    """One clear message and exit status 3; back again, the batch ends, and what was paid for was fetched, not made anew."""
    cli.before = SHORT_PATIENCE
    with rehearsal(cli) as address:
        process = cli.start("run", cli.manifest(40), "--out", url)
        wait_until(parse_output(url).home, SOME_DONE, process)
        rclone.kill()
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 3, out + err
        assert f"{url}: the storage cannot be reached" in err
        assert f"imagen resume {url}" in err
        assert "Traceback" not in out + err
        status = cli.json("status", url)
        assert status["submitted"] > 0
        assert status["failed"] == status["held"] == 0
        away = cli.run("resume", url)
        assert away.returncode == 2
        assert "cannot be reached" in away.stderr
        rclone.start()
        record = cli.json("resume", url)
        assert (record["succeeded"], record["failed"]) == (40, 0)
        assert read_truth(address)["created"] == 40
    assert sum(name.startswith(PICTURE) for name in rclone.files(prefix)) == 40


@pytest.mark.soak
@pytest.mark.usefixtures("moto")
def test_two_machines_that_start_one_batch(cli: Cli, url: str, tmp_path: Path) -> None:
    """At the same moment: one of them runs, the other is told who has it; a resume on the other is refused too."""
    cli.config()
    machines = [cli, Cli(cli.folder, {**cli.environ, "XDG_STATE_HOME": str(tmp_path / "other")})]
    cli.manifest(6)
    processes = [machine.start("run", "m.jsonl", "--out", url, "--quiet") for machine in machines]
    ends = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2], ends
    late = next(number for number in (0, 1) if processes[number].returncode)
    assert "this batch's ledger is on" in ends[late]
    for command in (("resume", url), ("status", url), ("run", "m.jsonl", "--out", url)):
        refused = machines[late].run(*command)
        assert refused.returncode == 2
        assert "PostgreSQL" in refused.stderr
    assert machines[1 - late].json("resume", url)["generated"] == 0


def test_a_wrong_key_starts_nothing(offline: Cli, rclone: ObjectStorage, prefix: str, url: str) -> None:
    """Refused before a server is needed: no object, no ledger, and the manifest's own problems come first."""
    offline.environ["AWS_SECRET_ACCESS_KEY"] = "no-secret-at-all"
    refused = offline.run("run", offline.manifest(2), "--out", url, "--quiet")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"imagen: {url}: the credentials are not accepted")
    assert "no-secret-at-all" not in refused.stderr
    assert (rclone.files(prefix), parse_output(url).home.exists()) == ({}, False)
    (offline.folder / "bad.jsonl").write_text('{"prompt": ""}\n')
    assert "bad.jsonl:1" in offline.run("run", "bad.jsonl", "--out", url, "--quiet").stderr


GO_ON = """
import asyncio
from flows.{module} import {flow}
state = asyncio.run({flow}({url!r}, return_state=True))
print(state.name, state.message)
"""


@pytest.mark.soak
@pytest.mark.usefixtures("rclone")
def test_a_second_machine_says_that_the_ledgers_are_elsewhere(cli: Cli, url: str, tmp_path: Path) -> None:
    """Two nights below a prefix: here a line for each; from another state folder each is named with the machine that has it.

    The flows that go on with them or push their usage end as Failed there, because something was left undone.
    """
    cli.manifest(2)
    for night in ("2026-11-24", "2026-11-25"):
        cli.json("run", "m.jsonl", "--out", f"{url}/{night}")
    here = cli.run("status", url)
    assert [line.partition(": ")[0] for line in here.stdout.splitlines()] == [
        f"{url}/2026-11-{day}" for day in (24, 25)
    ]
    assert [record["images"] for record in cli.json("status", f"{url}/")] == [2, 2]
    assert [report["pending"] for report in cli.json("usage", "push", url)] == [0, 0]
    other = Cli(cli.folder, {**cli.environ, "XDG_STATE_HOME": str(tmp_path / "other")})
    for command in (("status", url), ("usage", "push", url)):
        refused = other.run(*command)
        assert refused.returncode != 0
        assert refused.stderr.count("this batch's ledger is on") == 2, refused.stderr
    for module in ("resume_failed", "push_usage"):
        code = GO_ON.format(module=module, flow=module, url=url)
        process = other.start_program(sys.executable, "-c", code)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        assert out.startswith("Failed"), out
        assert out.count("this batch's ledger is on") == 2
