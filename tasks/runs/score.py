"""`imagen score` with judges: what they cost is pushed to the usage table, also where they stopped early."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.core.clock import Clock
from tasks.ledger.database.connect import open_ledger
from tasks.scores.score_batch import Judging, Scored, score_batch
from tasks.store.output import Output
from tasks.usage.push import push_usage


async def score_and_push(
    out: Output, names: Sequence[str], judging: Judging, *, device: str | None, on_progress: Callable[[int, int], None]
) -> tuple[Scored, str | None]:
    """Score a batch.

    Returns:
        What was scored; and why usage rows are pending, None where none are.

    Raises:
        ImagenError: See `score_batch`. What was answered before is kept.
    """
    judges = [name for name in names if name in judging.settings.scores]
    scored = await score_batch(out, names, device=device, judges=judging, on_progress=on_progress)
    if not judges:
        return scored, None
    models = {name: judging.settings.scores[name].model for name in judges}
    async with open_ledger(out.ledger_folder(), writing=True) as engine:
        pushed = await push_usage(engine, judging.settings.usage, out=out, clock=Clock(), models=models)
    return scored, pushed.warning
