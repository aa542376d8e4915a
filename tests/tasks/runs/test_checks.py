"""What a runner needs is looked at before anything is written or sent, and said in one sentence."""

from __future__ import annotations

from pathlib import Path

import dask
import pytest

from tasks.core.configuration.sections import RunnerSettings
from tasks.core.errors import BatchStopped, ConfigError
from tasks.ledger.database.location import PostgresqlSchema, SqliteFile
from tasks.orchestration.cluster import LARGE_SHARD, choose_shard_size, start_cluster
from tasks.orchestration.shard_window import MOST_TASK_RUNS
from tasks.runs import checks
from tasks.runs.checks import check_request, check_runner
from tasks.runs.request import RunRequest

OUT = Path("out")
URL = "postgresql://me@host/ledgers"


def place(url: str = URL) -> PostgresqlSchema:
    """A ledger that workers reach."""
    return PostgresqlSchema(out=OUT, url=url, schema="imagen_out")


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_workers_need_a_ledger_that_they_reach(kind: str) -> None:
    """SQLite in the output folder is refused, also where all workers are on this machine; PostgreSQL is taken."""
    settings = RunnerSettings.model_validate({"kind": kind})
    with pytest.raises(ConfigError, match=f"--runner {kind}: needs a ledger on PostgreSQL.*`ledger: postgresql://"):
        check_runner(settings, SqliteFile(out=OUT))
    check_runner(settings, place())
    check_runner(RunnerSettings(), SqliteFile(out=OUT))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install stands in the message."""
    monkeypatch.setitem(checks.PACKAGES, "ray", "no_such_package_at_all")
    with pytest.raises(ConfigError, match=r"--runner ray: .*pip install .*ray"):
        check_runner(RunnerSettings(kind="ray"), place())


def test_a_password_that_workers_would_lack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never travels: it has to stand where each worker finds it."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"PGPASSWORD or ~/\.pgpass") as refused:
        check_runner(RunnerSettings(kind="dask"), place("postgresql://me:hidden@host/ledgers"))
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(("option", "value"), [("workers", 3), ("cluster", "tcp://host:8786")])
def test_the_local_runner_has_no_workers(option: str, value: object, tmp_path: Path) -> None:
    """An option that would mean nothing is an error and not ignored; nothing was written."""
    (tmp_path / "m.txt").write_text("a fox\n")
    request = RunRequest.model_validate(
        {"out": str(tmp_path / "out"), "manifest": str(tmp_path / "m.txt"), option: value}
    )
    with pytest.raises(ConfigError, match=f"--{option}: the local runner has none"):
        check_request(request)
    assert not (tmp_path / "out").exists()


def test_every_place_has_several_shards_and_a_flow_few_task_runs() -> None:
    """Small batches are cut so that all workers end together, large ones so that Prefect keeps up."""
    assert choose_shard_size(60, 3) == 5
    assert choose_shard_size(2_000, 3) == LARGE_SHARD
    assert choose_shard_size(10_000_000, 100) * MOST_TASK_RUNS == 10_000_000


async def test_a_cluster_that_is_away_stops_resumable() -> None:
    """Nobody listens there: one sentence with the address, and nothing was sent."""
    settings = RunnerSettings(kind="dask", cluster="tcp://127.0.0.1:1")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(BatchStopped, match=r"dask at tcp://127\.0\.0\.1:1 cannot be used") as stopped,
    ):
        async with start_cluster(settings):
            pass
    assert stopped.value.reason == "cluster"
