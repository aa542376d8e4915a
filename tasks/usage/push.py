"""From the ledger to the sink: what is pending is pushed, and marked only when the sink has it.

Needs no lock on the output folder: only attempts that have ended are read, and nothing but their mark is written, so a
push may go on beside a living run of the same batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine
from tenacity import AsyncRetrying

from tasks.core.clock import Clock
from tasks.core.configuration.sections import UsageSettings
from tasks.core.configuration.settings import Settings
from tasks.core.configuration.trusted_settings import require_trusted_settings
from tasks.core.display import current_display
from tasks.core.errors import BatchStopped, InputError, UsageError, UsageRefused
from tasks.core.retry import retry_usage
from tasks.core.text import format_command
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import find_ledger
from tasks.ledger.runs import get_batch_identity, get_last_run, parse_settings
from tasks.ledger.usage import AttemptKey, count_usage, mark_pushed, read_usage_pages
from tasks.store.output import parse_output
from tasks.usage.rows import build_batch_name, build_usage_row
from tasks.usage.sinks import open_sink
from tasks.usage.sinks.base import UsageSink

# Rows in one call: a table of a million is pushed in pages of this size.
ROWS_PER_PUSH = 500
MOST_REFUSED = 10
"""Single rows that a sink does not take; where there are more, it is not the rows that are wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """The usage rows of a batch after a push."""

    out: str
    pushed: int | None
    """Rows of the whole batch that are in the sink; None where its ledger cannot be read."""
    pending: int | None
    warning: str | None = None
    """Why rows are pending, in words for a user."""

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return asdict(self)

    def line(self) -> str:
        """The report for people."""
        if self.pushed is None or self.pending is None:
            return f"{self.out}: its ledger cannot be read"
        return f"{self.out}: {self.pushed:,} usage rows pushed, {self.pending:,} pending"


async def push_usage(
    engine: AsyncEngine,
    settings: UsageSettings,
    *,
    out: object,
    clock: Clock,
    retrying: AsyncRetrying | None = None,
    models: Mapping[str, str] | None = None,
) -> PushReport:
    """Push what is pending. A sink that fails never fails the batch: the rows stay pending.

    Killed at any moment and repeated, it adds no row twice and loses none: rows are marked after the sink
    has them, and their ids say which they are.

    Args:
        engine: The batch's ledger.
        settings: The sink.
        out: The output; its text stands in messages.
        clock: For the marks and the waits.
        retrying: Patience that several pushes share; None: all of it for this one.
        models: Models of judges that no run's settings have.
    """
    warning = None
    if (await count_usage(engine))[1]:
        # A sink that is away is tried for a minute, and nobody should wonder what the run waits for.
        current_display.get().phase("pushing usage rows")
    try:
        async with open_sink(settings, retrying=retrying or retry_usage(clock.sleep)) as sink:
            if sink is not None:
                batch = build_batch_name(out, await get_batch_identity(engine))
                models = await read_models(engine) | dict(models or {})
                await _Push(engine, sink, clock, batch=batch, models=models).everything()
    # The rows stay pending, which is worth more than a run that ends in an error about money that is spent.
    except UsageError as exc:
        warning = f"{exc}. The usage rows stay pending; push them with: {format_command('usage', 'push', out)}"
    pushed, pending = await count_usage(engine)
    return PushReport(out=str(out), pushed=pushed, pending=pending, warning=warning)


@dataclass(slots=True)
class _Push:
    """One push of one batch; a row that the sink does not take stays behind, and holds up no other."""

    engine: AsyncEngine
    sink: UsageSink
    clock: Clock
    batch: str
    models: Mapping[str, str]
    refused: dict[AttemptKey, UsageRefused] = field(default_factory=dict)

    async def everything(self) -> None:
        """Push what is pending.

        Raises:
            UsageError: The sink cannot be used, or has refused a row; all others that it takes are marked.
        """
        # In pages, so that a push of a year's rows needs no more memory than one of them.
        async for page in read_usage_pages(self.engine, ROWS_PER_PUSH, without=self.refused.keys()):
            await self._push(page)
        if self.refused:
            raise next(iter(self.refused.values()))

    async def _push(self, page: Sequence[RowMapping]) -> None:
        keys = [(attempt["job_id"], attempt["number"]) for attempt in page]
        try:
            await self.sink.push([build_usage_row(attempt, batch=self.batch, models=self.models) for attempt in page])
        except UsageRefused as exc:
            # A refusal that is about the data stops one row; any other one stops them all, and again later.
            if exc.reason != "data" or len(self.refused) == MOST_REFUSED:
                raise
            # One row that the sink does not take must not hold up the rows behind it.
            if len(page) == 1:
                self.refused[keys[0]] = exc
                return
            # Halved until the row is found: a page of 500 is split nine times.
            half = len(page) // 2
            await self._push(page[:half])
            await self._push(page[half:])
        else:
            await mark_pushed(self.engine, page, now_us=self.clock.now_us())


async def push_folders(folder: str, given: Settings | None) -> AsyncIterator[PushReport]:
    """Push what is pending in a batch, or in every batch under a folder, one after the other.

    Args:
        folder: An output folder, or one above output folders; or the URL of such a place in a bucket.
        given: The settings that say where to; None: each batch's own, as its last run had them.

    Raises:
        InputError: There is no batch.
    """
    # Settings that were named hold for every batch; without them each batch knows its own.
    clock, found = Clock(), False
    retrying = retry_usage(clock.sleep)
    for out in parse_output(folder).below():
        found = True
        try:
            async with open_ledger(
                find_ledger(out.ledger_folder(), None if given is None else given.ledger_url)
            ) as engine:
                settings = given or await _read_last_settings(engine)
                if given is None:
                    require_trusted_settings(settings, parts=["usage"])
                yield await push_usage(engine, settings.usage, out=out, clock=clock, retrying=retrying)
        except (InputError, BatchStopped) as exc:  # a ledger that cannot be read is no reason to leave the others
            yield PushReport(out=str(out), pushed=None, pending=None, warning=str(exc))
    if not found:
        # A folder without a batch is a mistyped path, and pushing nothing would look like success.
        raise InputError(f"{folder}: holds no batch")


async def read_models(engine: AsyncEngine) -> dict[str, str]:
    """Models of the instances and judges as the last run had them; none where its settings can no longer be read."""
    try:
        settings = await _read_last_settings(engine)
    except InputError:
        return {}
    return {
        **{name: judge.model for name, judge in settings.scores.items()},
        **{name: instance.model for name, instance in settings.backends.items()},
    }


async def _read_last_settings(engine: AsyncEngine) -> Settings:
    run = await get_last_run(engine)
    return Settings() if run is None else parse_settings(run)
