"""The registry of an account over every place that a batch can reach: this machine's, and its ledger's server.

Batches of one machine meet in the user's state folder, whatever their ledgers; those of a fleet meet in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.ledger.accounts.predictions import Claim, RegistryPlace


class PredictionRegistry:
    """Prediction ids of an account over all batches; each belongs to one attempt, whoever asks first."""

    def __init__(self, places: Sequence[RegistryPlace], batch: str) -> None:
        """Use these places for `batch`, always in this order."""
        self.batch = batch
        self._places = places

    @property
    def problem(self) -> str | None:
        """The reason why some batches are not known; None while all are."""
        return next((place.problem for place in self._places if place.problem is not None), None)

    async def claim(self, claim: Claim) -> bool:
        """True where the prediction is the attempt's from now on, or was before; False where it is another one's."""
        for place in self._places:
            if not await place.claim(claim):
                return False
        return True

    async def find_taken(self, account: str, ids: Collection[str], *, job_id: str, number: int) -> frozenset[str]:
        """Those of the ids that belong to another attempt than this one, of whatever batch."""
        taken: frozenset[str] = frozenset()
        for place in self._places:
            taken |= await place.find_taken(account, ids, job_id=job_id, number=number)
        return taken

    async def find_own(self, account: str, *, job_id: str, number: int) -> str | None:
        """The prediction that this attempt claimed before its run was killed; None where it claimed none."""
        usable = [place for place in self._places if place.problem is None]
        found = {await place.find_own(account, job_id=job_id, number=number) for place in usable}
        # A claim that one place took and another refused is nobody's: the attempt looks in the list like any other.
        return found.pop() if len(found) == 1 else None

    async def close(self) -> None:
        """Write the claims that nobody waited for."""
        for place in self._places:
            await place.close()
