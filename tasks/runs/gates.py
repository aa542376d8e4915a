"""The gates of a run: the rule that holds for it, opened once its plan is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.core.configuration.trusted_settings import require_trusted_settings
from tasks.core.display import current_display
from tasks.core.text import format_count
from tasks.generate.batch import Batch
from tasks.ledger.scores import count_not_kept, forget_kept
from tasks.manifest.row_gates import RULE, RowGates
from tasks.runs.run import OpenRun
from tasks.scores.gates.row_rules import find_row_layers


@asynccontextmanager
async def guard_images(run: OpenRun) -> AsyncIterator[None]:
    """Let the run's rule decide about its images during the block; call it when the plan is written."""
    batch, gates, request = run.batch, run.settings.gates, run.request
    layers = await find_row_layers(batch.engine)
    if not gates.is_set and not layers:
        if left_out := await count_not_kept(batch.engine):
            await forget_kept(batch.engine)
            current_display.get().warn(
                f"this run has no keep or reject: {format_count(left_out, 'image')} that an earlier one left out count again"
            )
        yield
        return
    for layer in layers:
        found = RowGates(gates).find({RULE: layer})
        # A judge of a row in somebody else's ledger would send the user's key to its address.
        require_trusted_settings(batch.settings.model_copy(update={"keep": found.keep, "reject": found.reject}))
    from tasks.scores.gates.gate import open_gate  # noqa: PLC0415  its judges load an HTTP client, which a run without gates may not need

    async with open_gate(batch, gates, layers, run=run.number) as gate:
        batch.gate = gate
        try:
            is_whole = request.manifest is not None and request.limit is None
            # Before the first job: a killed run may have left images that nobody has looked at.
            await gate.settle_all(whole_salt=request.salt if is_whole else None, adopts=request.manifest is not None)
            yield
        finally:
            batch.gate, batch.missing = None, gate.missing
            for sentence in gate.list_unanswered():
                current_display.get().warn(sentence)


@asynccontextmanager
async def guard_worker(batch: Batch, run: int) -> AsyncIterator[None]:
    """The same in a worker process; under a cap only the process that sends the workers writes rerolls."""
    layers = await find_row_layers(batch.engine)
    if not batch.settings.gates.is_set and not layers:
        yield
        return
    from tasks.scores.gates.gate import open_gate  # noqa: PLC0415  as above

    async with open_gate(batch, batch.settings.gates, layers, run=run, pays=False) as gate:
        batch.gate = gate
        yield
