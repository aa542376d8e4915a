"""Metrics by OpenTelemetry, the extra `otel`: scraped by Prometheus, or sent to a collector by OTLP over HTTP."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from tasks.core.display import current_display
from tasks.core.installation import get_version
from tasks.core.money import to_usd
from tasks.core.records import Job, JobState
from tasks.generate.metrics import Metrics

HOST_VARIABLE, PORT_VARIABLE = "OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT"
TIMEOUT_VARIABLE = "OTEL_EXPORTER_OTLP_TIMEOUT"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "9464"
"""OpenTelemetry's own defaults."""
MOST_PORT = 65_535
FLUSH_MS = 5_000.0
"""The end of a run waits no longer for a collector that is away."""
LATENCY_BOUNDS_S = (0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60, 120, 300, 600, 1_800)
"""From an embedded backend to a provider's queue; batch APIs take longer and fall into the last bucket."""


class Recorder(Metrics):
    """Counts by OpenTelemetry's instruments."""

    def __init__(self, provider: MeterProvider) -> None:
        """Make the instruments; asking for the same ones again gives those that exist."""
        self._provider = provider
        meter = provider.get_meter("imagen", get_version())
        # Units in braces are not made part of a name by Prometheus's rules.
        self._images = meter.create_counter("imagen.images", "{image}", "Images made and stored")
        self._cost = meter.create_counter("imagen.cost.usd", "{USD}", "Known cost of attempts in US dollars")
        self._unknown = meter.create_counter("imagen.cost.unknown", "{attempt}", "Attempts whose cost is not known")
        self._throttled = meter.create_counter("imagen.throttled", "{answer}", "Answers 429 to creates")
        self._failed = meter.create_counter("imagen.failed", "{job}", "Jobs that failed")
        self._held = meter.create_counter("imagen.held", "{job}", "Jobs that may have been paid for and are held")
        self._in_flight = meter.create_up_down_counter("imagen.in_flight", "{job}", "Jobs in flight")
        self._latency = meter.create_histogram(
            "imagen.latency",
            "s",
            "From the intent to the stored image",
            explicit_bucket_boundaries_advisory=LATENCY_BOUNDS_S,
        )

    def start_job(self, job: Job) -> None:
        """See `Metrics.start_job`."""
        self._in_flight.add(1, _label(job))

    def end_job(self, job: Job, state: JobState | None) -> None:
        """See `Metrics.end_job`."""
        self._in_flight.add(-1, _label(job))
        if state is JobState.FAILED:
            self._failed.add(1, _label(job))
        if state is JobState.HELD:
            self._held.add(1, _label(job))

    def add_image(self, job: Job, latency_ms: int) -> None:
        """See `Metrics.add_image`."""
        self._images.add(1, _label(job))
        self._latency.record(latency_ms / 1_000, _label(job))

    def add_cost(self, job: Job, cost_micros: int | None) -> None:
        """See `Metrics.add_cost`."""
        if (dollars := to_usd(cost_micros)) is None:
            self._unknown.add(1, _label(job))
        else:
            self._cost.add(dollars, _label(job))

    def add_throttle(self, job: Job) -> None:
        """See `Metrics.add_throttle`."""
        self._throttled.add(1, _label(job))

    def flush(self) -> None:
        """See `Metrics.flush`; a collector that is away is a warning."""
        if not self._provider.force_flush(FLUSH_MS):
            current_display.get().warn("metrics did not reach their collector; look at OTEL_EXPORTER_OTLP_ENDPOINT")


def open_recorder(exporters: frozenset[str], environ: Mapping[str, str]) -> Recorder:
    """Open the exporters, once in a process: shards and later runs of it count into the same ones.

    A program that has set up OpenTelemetry's SDK itself, and calls the flow, gets the metrics where its own go.

    Raises:
        ImportError: The extra is not installed.
        OSError: The port is taken, such as by another run of this machine.
        ValueError: There is no such exporter, or the port is none.
    """
    own = metrics.get_meter_provider()
    if isinstance(own, MeterProvider):
        return Recorder(own)
    host, port = environ.get(HOST_VARIABLE) or DEFAULT_HOST, environ.get(PORT_VARIABLE) or DEFAULT_PORT
    return Recorder(_open_provider(exporters, host, port))


@cache
def _open_provider(exporters: frozenset[str], host: str, port: str) -> MeterProvider:
    # Each failed try would be a line on the user's screen; `Recorder.flush` says it once.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    readers = [_open_reader(name, host, port) for name in sorted(exporters)]
    resource = Resource.create({SERVICE_NAME: "imagen"})
    # `Recorder.flush` has sent everything: OpenTelemetry's own end would wait half a minute for a collector that is away.
    return MeterProvider(readers, resource, shutdown_on_exit=False)


def _open_reader(name: str, host: str, port: str) -> MetricReader:
    if name == "prometheus":
        return _serve_prometheus(host, port)
    if name != "otlp":
        raise ValueError(f"{name!r} is neither prometheus nor otlp")
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415  only one of the two is used

    # OpenTelemetry's variable counts where it is set; its own default would hold up the end of a run for 10 s.
    return PeriodicExportingMetricReader(
        OTLPMetricExporter(timeout=None if TIMEOUT_VARIABLE in os.environ else FLUSH_MS / 1_000)
    )


def _serve_prometheus(host: str, port: str) -> MetricReader:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415  only one of the two is used
    from prometheus_client import start_http_server  # noqa: PLC0415  likewise

    if not port.isdecimal() or int(port) > MOST_PORT:
        raise ValueError(f"{PORT_VARIABLE}={port!r} is not a port")
    start_http_server(int(port), host)
    return PrometheusMetricReader()


def _label(job: Job) -> dict[str, str]:
    """Backend and model; nothing that differs from batch to batch, which would make a series of its own each night."""
    return {"backend": job.backend, "model": job.model}
