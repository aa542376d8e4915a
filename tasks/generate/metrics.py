"""Counters of running batches for dashboards and alerts: off, unless OpenTelemetry's own variables ask for them.

They stand in the environment and not in the configuration, because where they go belongs to a machine, not to a batch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from tasks.core.display import current_display
from tasks.core.installation import install_command
from tasks.core.records import Job, JobState

EXPORTERS_VARIABLE, DISABLED_VARIABLE = "OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED"
EXTRA = "otel"


class Metrics:
    """Counts what happens to jobs, by backend and model; this one counts nothing, and `telemetry` derives its own."""

    def start_job(self, job: Job) -> None:
        """Count a job as in flight."""

    def end_job(self, job: Job, state: JobState | None) -> None:
        """Count a job as no longer in flight; `state` is how it ended, None where it stays open."""

    def add_image(self, job: Job, latency_ms: int) -> None:
        """Count an image and the time from its intent to the stored file."""

    def add_cost(self, job: Job, cost_micros: int | None) -> None:
        """Count what an attempt cost, in millionths of a dollar; None where nobody knows."""

    def add_throttle(self, job: Job) -> None:
        """Count an answer 429."""

    def flush(self) -> None:
        """Send what is counted and not sent yet; waits a few seconds at most, and never raises."""


def open_metrics(environ: Mapping[str, str] = os.environ) -> Metrics:
    """Open the exporters that `OTEL_METRICS_EXPORTER` names: `prometheus`, `otlp`, or both with a comma.

    One that cannot be used is a warning: the variable may be meant for other programs, and no image depends on it.
    """
    wanted = {name.strip().lower() for name in environ.get(EXPORTERS_VARIABLE, "").split(",")} - {"", "none"}
    # OpenTelemetry is an extra: without the variable nothing of it is looked for.
    if not wanted or environ.get(DISABLED_VARIABLE, "").strip().lower() == "true":
        return Metrics()
    try:
        from tasks.generate.telemetry import open_recorder  # noqa: PLC0415  an extra, and a tenth of a second

        return open_recorder(frozenset(wanted), environ)
    except ImportError:
        reason = f"they need: {install_command(EXTRA)}"
    except (OSError, ValueError) as exc:
        reason = str(exc)
    current_display.get().warn(f"no metrics for {EXPORTERS_VARIABLE}={environ[EXPORTERS_VARIABLE]}: {reason}")
    return Metrics()
