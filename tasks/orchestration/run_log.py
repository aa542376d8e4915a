"""The log of a flow run in Prefect's pages: phases, throttling, money, and every job without an image.

Jobs are named by id and line. A job without an id is named by its line only: prompts stay out of the log.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prefect.logging import get_run_logger
from prefect.runtime import flow_run as this_run

from tasks.core.addresses import WAY_FOR_SECRETS, find_secret
from tasks.core.clock import repeat_every
from tasks.core.display import Display, ProgressSnapshot, current_display
from tasks.core.installation import get_version
from tasks.core.paths import CONFIG_NAME
from tasks.core.records import JobState
from tasks.core.safe_text import error_text, escape_control_characters, escape_lines
from tasks.core.text import format_command
from tasks.generate.budget import Budget
from tasks.ledger.queries import find_failures
from tasks.orchestration.run_events import emit_budget_reached, emit_stopped
from tasks.runs.run import OpenRun, hide_addresses

LOOK_S = 2.0
MOST_JOBS = 100
"""Jobs without an image that are named; the table of failures and `imagen status` have the rest."""
BUDGET_SHARES, EVENT_SHARE = (0.5, 0.8, 1.0), 0.8

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@asynccontextmanager
async def log_run(run: OpenRun) -> AsyncIterator[None]:
    """Write to the flow run's log what happens in the block, and in the end which jobs have no image."""
    logger = get_run_logger()
    # Phases and warnings reach a log and the screen; the run does not know which display it has.
    shown = current_display.set(LoggedDisplay(current_display.get(), logger))
    watch = RunWatch(run, logger)
    _warn_of_kept_secrets(this_run.parameters, logger)
    log_beginning(run, logger)
    try:
        async with repeat_every(watch.look, every_s=LOOK_S):
            yield
        await _log_jobs_without_image(run, logger)
    finally:
        current_display.reset(shown)


def _warn_of_kept_secrets(parameters: Mapping[str, Any], logger: RunLogger) -> None:
    for name in ("manifest", "config"):
        if what := find_secret(str(parameters.get(name) or "")):
            logger.warning("the parameter %s holds %s, and Prefect keeps it: %s", name, what, WAY_FOR_SECRETS)


def log_beginning(run: OpenRun, logger: RunLogger) -> None:
    """Say where the run works and by which settings: at night nobody sees the process."""
    request = hide_addresses(run.request)
    config = request.config or ("built in" if request.manifest else "those of the last run")
    # The whole path: a worker's folder is not where the parameters were written.
    host, out = platform.node() or "a host without a name", run.batch.out.address
    line = f"imagen {get_version()} on {host}: {request.manifest or 'the ledger'} into {out}; settings: {config}"
    logger.info("%s", escape_lines(line))
    # The command line would use it; a flow takes what its parameters name, wherever it runs.
    if request.manifest and not request.config and Path(CONFIG_NAME).is_file():
        logger.warning("%s of the working folder is not used: name it in the parameter `config`", CONFIG_NAME)


class LoggedDisplay(Display):
    """A display whose phases and warnings are logged too."""

    def __init__(self, inner: Display, logger: RunLogger) -> None:
        """Show on `inner` what is shown, and log what stays."""
        self._inner = inner
        self._logger = logger

    def phase(self, text: str) -> None:
        """See `Display.phase`."""
        self._logger.info("%s", escape_lines(text))
        self._inner.phase(text)

    def warn(self, text: str) -> None:
        """See `Display.warn`."""
        self._logger.warning("%s", escape_lines(text))
        self._inner.warn(text)

    def alert(self, text: str) -> None:
        """See `Display.alert`."""
        self._logger.warning("%s", escape_lines(text))
        self._inner.alert(text)

    def note(self, text: str) -> None:
        """See `Display.note`."""
        self._logger.info("%s", escape_lines(text))
        self._inner.note(text)

    def start(self, left: int) -> None:
        """See `Display.start`."""
        self._logger.info("generating %d images", left)
        self._inner.start(left)

    def update(self, progress: ProgressSnapshot, elapsed_s: float) -> None:
        """See `Display.update`."""
        self._inner.update(progress, elapsed_s)

    def finish(self) -> None:
        """See `Display.finish`."""
        self._inner.finish()


class RunWatch:
    """Looks at a running batch every few seconds and logs what has changed."""

    def __init__(self, run: OpenRun, logger: RunLogger) -> None:
        """Start with nothing logged."""
        self._batch = run.batch
        self._logger = logger
        self._slowest_per_min: float | None = None
        self._budget_logged = 0.0
        self._stop_logged = False

    async def look(self) -> None:
        """Log a rate that was cut, a share of the budget that was reached, and a stop; the last two are events too."""
        self._look_at_rate()
        self._look_at_budget()
        cause = self._batch.stop.cause
        if cause is not None and not self._stop_logged:
            self._stop_logged = True
            if not self._batch.stop.interrupted:  # people who end a run know it
                emit_stopped(self._batch.out, cause)
            self._logger.warning("no new jobs are started, those in flight land: %s", escape_lines(str(cause)))

    def _look_at_rate(self) -> None:
        # A limiter is slowed after a 429 only; the account's usual rate is no news.
        slowed = [rate for rate in self._batch.rate_limiters if rate.is_slowed]
        if not slowed:
            if self._slowest_per_min is not None:
                self._logger.info("the provider's limit is over: back to the full rate")
            self._slowest_per_min = None
            return
        slowest = min(slowed, key=lambda rate: rate.per_min)
        # Only when it becomes slower: a rate that climbs back and is cut again would fill the log.
        if self._slowest_per_min is None or slowest.per_min < self._slowest_per_min:
            self._slowest_per_min = slowest.per_min
            pause = f", pause of {slowest.pause_s:.0f} s" if slowest.pause_s >= 1 else ""
            self._logger.warning("429 from the provider: slowed to %.0f creates a minute%s", slowest.per_min, pause)

    def _look_at_budget(self) -> None:
        budget = self._batch.budget
        share = budget.get_used_share(self._batch.tally.committed_micros) if isinstance(budget, Budget) else None
        reached = max((each for each in BUDGET_SHARES if share is not None and share >= each), default=0.0)
        if share is not None and reached > self._budget_logged:
            if self._budget_logged < EVENT_SHARE <= reached:
                emit_budget_reached(self._batch.out, share)
            self._budget_logged = reached
            self._logger.warning("%.0f %% of the budget is spent or reserved", 100 * reached)


async def _log_jobs_without_image(run: OpenRun, logger: RunLogger) -> None:
    rows = await find_failures(run.batch.engine, MOST_JOBS + 1)
    for row in rows[:MOST_JOBS]:
        name = f"{row['id']} (line {row['line']})" if row["id"] else f"line {row['line']}"
        message = error_text(row["error_message"] or "")
        # A failed job of the kind `failed` is said once.
        ended = ", ".join(dict.fromkeys(filter(None, (row["state"], row["error_kind"]))))
        # Prefect's pages and consoles show a log as it is.
        logger.warning("%s", escape_control_characters(f"{name}: {ended}: {message}"))
    if len(rows) > MOST_JOBS:
        # The log names the first hundred; the command shows every one of them.
        logger.warning("and more; all of them: %s", format_command("status", run.batch.out))
    if any(row["state"] == JobState.HELD for row in rows):
        command = format_command("resume", run.batch.out, "--retry-held")
        logger.warning(
            "what is held may have been paid for; to look again, and pay again where it is not found: %s", command
        )
