"""The registry of prediction ids: each belongs to one attempt, over batches and processes."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path

import pytest

from tasks.core.paths import get_state_folder
from tasks.ledger.accounts import place
from tasks.ledger.accounts.place import FILE_NAME, open_registry
from tasks.ledger.accounts.predictions import Claim
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.runs import get_batch_identity
from tests.support.forked_process import start_python
from tests.support.services.postgresql import Postgresql
from tests.support.waiting import PATIENCE_S
from tests.tasks.ledger.conftest import begin_on, out, server  # noqa: F401  fixtures

CLAIMING = """
import asyncio, sys
from pathlib import Path
from tasks.ledger.accounts.place import open_registry
from tasks.ledger.accounts.predictions import Claim
from tasks.ledger.database.connect import open_ledger

async def main():
    async with open_ledger(Path(sys.argv[1])) as engine, open_registry(engine, sys.argv[2]) as registry:
        claims = [Claim(sys.argv[3], f"p{n}", f"job {n}", 1) for n in range(200)]
        mine = await asyncio.gather(*map(registry.claim, claims))
        print(*[claim.prediction_id for claim, ok in zip(claims, mine) if ok])

asyncio.run(main())
"""


def current_account() -> str:
    """An account that no other test has: the tests share a PostgreSQL server."""
    return os.environ["PYTEST_CURRENT_TEST"]


def claim(prediction_id: str = "p1", *, job_id: str = "a", number: int = 1, account: str | None = None) -> Claim:
    """A claim of one attempt."""
    return Claim(account=account or current_account(), prediction_id=prediction_id, job_id=job_id, number=number)


async def test_an_id_belongs_to_the_first_attempt_that_claims_it(out: Path) -> None:  # noqa: F811
    """Another job, attempt or batch comes too late; the same attempt, and another account's id, do not."""
    async with open_ledger(out, create=True) as engine, open_registry(engine, "1") as first:
        assert first.problem is None
        assert await first.claim(claim())
        assert await first.claim(claim())
        assert not await first.claim(claim(job_id="b"))
        assert not await first.claim(claim(number=2))
        assert await first.claim(claim(account="other"))
        async with open_registry(engine, "2") as second:
            assert not await second.claim(claim())
            assert await second.find_taken(current_account(), ["p1", "p2"], job_id="a", number=1) == {"p1"}
        assert await first.find_taken(current_account(), ["p1", "p2"], job_id="a", number=1) == frozenset()
        assert await first.find_taken(current_account(), ["p1"], job_id="b", number=1) == {"p1"}


async def test_a_claim_outlives_its_process(out: Path) -> None:  # noqa: F811
    """An attempt whose run was killed between the answer and the ledger finds its own id."""
    async with open_ledger(out, create=True) as engine:
        async with open_registry(engine, "1") as registry:
            await registry.claim(claim("p7", job_id="b", number=3))
        async with open_registry(engine, "1") as registry:
            assert await registry.find_own(current_account(), job_id="b", number=3) == "p7"
            assert await registry.find_own(current_account(), job_id="b", number=2) is None


async def test_a_wrong_clock_forgets_no_claim(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A claim made by a clock a month behind stands after a start by one a month ahead: what is in flight is taken by nobody."""
    now_us, month_ns = time.time_ns() // 1_000, 31 * 86_400 * 1_000_000_000
    async with open_ledger(out, create=True) as engine:
        monkeypatch.setattr(time, "time_ns", lambda: now_us * 1_000 - month_ns)
        async with open_registry(engine, "1") as registry:
            assert await registry.claim(claim())
        monkeypatch.setattr(time, "time_ns", lambda: now_us * 1_000 + month_ns)
        async with open_registry(engine, "2") as other:
            assert not await other.claim(claim())


async def test_a_full_registry_forgets_what_is_old(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Beyond the rows that a state folder keeps, a claim of a week ago is no service's any more."""
    monkeypatch.setattr(place, "KEPT_ROWS", 2)
    monkeypatch.setattr(place, "KEPT_US", -3_600_000_000)
    async with open_ledger(out, create=True) as engine:
        async with open_registry(engine, "1") as registry:
            assert all([await registry.claim(claim(name)) for name in ("p1", "p2", "p3")])
        async with open_registry(engine, "2") as other:
            assert await other.claim(claim("p1"))


async def test_processes_never_share_an_id(out: Path) -> None:  # noqa: F811
    """Three batches claim the same 200 ids at once, in processes of their own: each id goes to one of them."""
    async with open_ledger(out, create=True):
        pass
    pipe = subprocess.PIPE
    processes = [start_python(CLAIMING, out, str(n), current_account(), stdout=pipe) for n in range(3)]
    claimed = [process.communicate(timeout=PATIENCE_S)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(chain.from_iterable(claimed)) == sorted(f"p{n}" for n in range(200))


async def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry says why it knows nothing, and a claim passes."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with open_ledger(tmp_path, create=True) as engine, open_registry(engine, "1") as registry:
        assert registry.problem
        assert await registry.claim(claim())
        assert await registry.find_taken(current_account(), ["p1"], job_id="a", number=1) == frozenset()


@pytest.fixture
def folders(tmp_path: Path, server: Postgresql) -> list[Path]:  # noqa: F811
    """Two output folders: the ledger of the first is in it, that of the second on PostgreSQL."""
    made = [tmp_path / name for name in ("sqlite", "postgresql")]
    for folder in made:
        folder.mkdir()
    begin_on(server, made[1])
    return made


async def test_ledgers_of_both_kinds_on_one_machine_know_of_each_other(folders: list[Path]) -> None:
    """A batch in SQLite and one in PostgreSQL share the state folder, whoever claims first."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                open_registry(await stack.enter_async_context(open_ledger(folder, create=True)), folder.name)
            )
            for folder in folders
        ]
        assert await first.claim(claim("p1"))
        assert await second.claim(claim("p2"))
        assert not await second.claim(claim("p1", job_id="b"))
        assert not await first.claim(claim("p2", job_id="b"))
        assert await second.find_taken(current_account(), ["p1"], job_id="b", number=1) == {"p1"}
        assert await first.find_taken(current_account(), ["p2"], job_id="b", number=1) == {"p2"}
        # What one place refused is not the attempt's own, though the other place may have taken it.
        assert await second.find_own(current_account(), job_id="b", number=1) is None
        assert await second.find_own(current_account(), job_id="a", number=1) == "p2"


async def test_a_server_is_used_where_the_state_folder_cannot_be(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet's claims hold, and the user learns that those of this machine's other batches are not known."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with (
        open_ledger(folders[1], create=True) as engine,
        open_registry(engine, "1") as first,
        open_registry(engine, "2") as second,
    ):
        assert first.problem
        assert await first.claim(claim())
        assert not await second.claim(claim(job_id="b"))
        assert await first.find_own(current_account(), job_id="a", number=1) == "p1"


async def test_a_batch_keeps_its_identity_when_its_folder_moves(tmp_path: Path) -> None:
    """Its own claims stay its own; another batch has another identity."""
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        async with open_ledger(tmp_path / folder, create=True) as engine:
            names.append(await get_batch_identity(engine))
    (tmp_path / "a").rename(tmp_path / "c")
    async with open_ledger(tmp_path / "c") as engine:
        assert await get_batch_identity(engine) == names[0] != names[1]


async def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    """It names accounts: nobody else on the machine reads it."""
    async with open_ledger(tmp_path, create=True) as engine, open_registry(engine, "1"):
        assert (get_state_folder() / FILE_NAME).stat().st_mode & 0o077 == 0
