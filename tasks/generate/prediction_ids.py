"""Predictions belong to one attempt each: of this process, of this ledger, and of all batches of an account."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.display import current_display
from tasks.core.records import Job
from tasks.ledger.accounts.copies import settle_identity
from tasks.ledger.accounts.place import open_registry
from tasks.ledger.accounts.predictions import Claim
from tasks.ledger.accounts.registry import PredictionRegistry
from tasks.ledger.queries import find_attempts_by_id, find_prediction_ids

KEPT = 50_000
"""Ids that this process remembers: older ones are in the ledger."""


class PredictionIds:
    """Claims of the attempts of one process; one for each open batch."""

    def __init__(self, engine: AsyncEngine, registry: PredictionRegistry) -> None:
        """Claim nothing yet."""
        self.engine = engine
        self.registry = registry
        self._has_warned = False
        self._owners: OrderedDict[tuple[str, str], Claim] = OrderedDict()

    def warn_where_alone(self) -> None:
        """Tell the user, once in a run, where the other batches of the account are not known."""
        if self.registry.problem is not None and not self._has_warned:
            self._has_warned = True
            current_display.get().alert(
                f"other batches on this account are not known ({self.registry.problem}); while this one runs, start none "
                "with the same prompts: both could take one image for theirs"
            )

    async def claim(self, claim: Claim) -> bool:
        """True where the prediction is the attempt's from now on; False where another attempt has it."""
        # Before the first await: a look-up that goes on meanwhile must not take it.
        if self.find_owner(claim.account, claim.prediction_id, claim) != claim:
            return False
        self._owners[claim.account, claim.prediction_id] = claim
        # A batch of millions must not keep every id in memory.
        while len(self._owners) > KEPT:
            self._owners.popitem(last=False)
        # Then over processes: another batch of the account may have seen it in the same list.
        return await self.registry.claim(claim)

    def find_owner(self, account: str, prediction_id: str, otherwise: Claim) -> Claim:
        """The claim of this process on a prediction; `otherwise` where it has none."""
        return self._owners.get((account, prediction_id), otherwise)


@dataclass(slots=True, kw_only=True)
class KnownPredictions(Collection[str]):
    """Predictions that are not the one which an attempt looks for; `tasks.backends.base.find_taken` asks it."""

    ids: PredictionIds
    account: str
    job: Job
    number: int
    """Of the attempt."""
    listed: set[str] = field(default_factory=set)
    """Ids that are known beforehand, or turned out to be another attempt's."""

    @property
    def is_complete(self) -> bool:
        """True while the other batches of the account are known too."""
        return self.ids.registry.problem is None

    def build_claim(self, prediction_id: str) -> Claim:
        """The attempt's claim on a prediction."""
        return Claim(account=self.account, prediction_id=prediction_id, job_id=self.job.job_id, number=self.number)

    async def find_taken(self, ids: Collection[str]) -> frozenset[str]:
        """See `tasks.backends.base.find_taken`."""
        attempts = await find_attempts_by_id(self.ids.engine, ids)
        mine = (self.job.job_id, self.number)
        in_ledger = {prediction_id for prediction_id, owners in attempts.items() if owners - {mine}}
        registry = self.ids.registry
        # A batch in another folder has its own ledger, but the same account's list.
        elsewhere = await registry.find_taken(self.account, ids, job_id=self.job.job_id, number=self.number)
        # This process last: what it learns while the others are asked counts.
        return frozenset(in_ledger | elsewhere | {found for found in ids if found in self})

    async def find_sent(self, ids: Collection[str]) -> frozenset[str]:
        """See `tasks.backends.base.find_sent`."""
        return frozenset(await find_attempts_by_id(self.ids.engine, ids, model=self.job.model))

    async def find_own(self) -> str | None:
        """The id that the attempt claimed before its run was killed; None where it claimed none."""
        return await self.ids.registry.find_own(self.account, job_id=self.job.job_id, number=self.number)

    def __contains__(self, prediction_id: object) -> bool:
        """True for ids of other attempts, as far as this process knows."""
        mine = self.build_claim(str(prediction_id))
        return prediction_id in self.listed or self.ids.find_owner(self.account, str(prediction_id), mine) != mine

    def __iter__(self) -> Iterator[str]:
        """Ids that are known beforehand."""
        return iter(self.listed)

    def __len__(self) -> int:
        """Number of ids that are known beforehand."""
        return len(self.listed)


async def list_known(known: KnownPredictions) -> None:
    """Note the ids of this ledger's attempts of equal jobs, for backends that compare ids by themselves."""
    known.listed |= await find_prediction_ids(known.ids.engine, known.job)


@asynccontextmanager
async def open_prediction_ids(engine: AsyncEngine) -> AsyncIterator[PredictionIds]:
    """The claims of a batch, during the block."""
    async with open_registry(engine, await settle_identity(engine)) as registry:
        yield PredictionIds(engine, registry)
