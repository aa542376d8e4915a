"""Metrics of a running batch: what an exporter shows, and that nothing is loaded where none is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from tasks.core.display import Display, current_display
from tasks.core.errors import Ambiguous, Throttled
from tasks.core.records import Job
from tasks.generate.jobs import generate_range
from tasks.generate.metrics import Metrics, open_metrics
from tasks.generate.telemetry import Recorder
from tests.support.factories import make_job
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, open_scripted
from tests.support.services.processes import free_port
from tests.support.waiting import PATIENCE_S


class Warnings(Display):
    """Keeps what it is told to warn of."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        self.texts.append(text)


def read_points(reader: InMemoryMetricReader) -> dict[str, float]:
    """The sum of each metric over all backends; of a histogram, the number of values."""
    found: dict[str, float] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            assert dict(point.attributes or {}) == {"backend": "sketch", "model": "flux"}
            value = point.value if isinstance(point, NumberDataPoint) else point.count
            found[metric.name] = found.get(metric.name, 0) + value
    return found


async def test_a_batch_is_counted_by_backend_and_model(out: Path) -> None:
    """Images, dollars, unknown costs, 429s, held jobs and latencies add up; in the end nothing is in flight."""

    def cannot_tell(_: Job) -> None:
        raise Ambiguous("two predictions match", cost_micros=None)

    backend = ScriptedBackend(created_anyway={"row-1"}, on_find=cannot_tell)
    backend.on_submit["row-0"].append(Throttled("slowly", retry_after_s=1))
    backend.on_submit["row-1"].append(Ambiguous("dropped"))
    reader = InMemoryMetricReader()
    jobs = [make_job(number, model="flux") for number in range(4)]
    async with open_scripted(out, backend, jobs) as batch:
        batch.metrics = Recorder(MeterProvider([reader], shutdown_on_exit=False))
        await generate_range(batch, *EVERYTHING)
        tally = batch.tally
    points = read_points(reader)
    assert points["imagen.images"] == points["imagen.latency"] == tally.succeeded == 3
    assert points["imagen.throttled"] == 1
    assert points["imagen.held"] == points["imagen.cost.unknown"] == 1
    assert points["imagen.cost.usd"] == pytest.approx(tally.cost_micros / 1e6)
    assert points["imagen.in_flight"] == 0


async def test_prometheus_reads_them_over_http(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has the counters of the run, by the names that a dashboard uses."""
    port = free_port()
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", str(port))
    async with open_scripted(out, ScriptedBackend(), [make_job(number) for number in range(2)]) as batch:
        await generate_range(batch, *EVERYTHING)
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as browser:
            page = (await browser.get(f"http://127.0.0.1:{port}/metrics")).text
    lines = {line.partition("{")[0]: line.rpartition(" ")[2] for line in page.splitlines() if line.startswith("imagen")}
    assert (lines["imagen_images_total"], lines["imagen_in_flight"]) == ("2.0", "0.0")
    assert float(lines["imagen_cost_usd_total"]) == pytest.approx(0.006)
    assert lines["imagen_latency_seconds_count"] == "2.0"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_METRICS_EXPORTER": "console"}, "neither prometheus nor otlp"),
        ({"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "x"}, "is not a port"),
        ({"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "99999"}, "is not a port"),
        ({"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_HOST": "no such host"}, "no metrics"),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}, None),
        ({"OTEL_METRICS_EXPORTER": "none"}, None),
        ({"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_an_exporter_that_cannot_be_used_is_a_warning(
    environ: dict[str, str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run fails for its metrics, since the variables may be meant for other programs."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    warnings = Warnings()
    token = current_display.set(warnings)
    metrics = open_metrics(environ)
    metrics.flush()
    current_display.reset(token)
    assert [str(said) in text for text in warnings.texts] == ([True] if said else [])


def test_off_nothing_is_loaded() -> None:
    """Without the variables a process that opens batches has not imported OpenTelemetry's SDK."""
    code = (
        "import sys; from tasks.generate.metrics import open_metrics; import tasks.generate.jobs\n"
        "assert type(open_metrics({})).__name__ == 'Metrics'\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert type(open_metrics({})) is Metrics
