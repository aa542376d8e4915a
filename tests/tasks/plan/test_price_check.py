from __future__ import annotations

from datetime import date
from pathlib import Path

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.manifest import open_manifest
from tasks.plan.planner import PlanOptions
from tasks.plan.price_check import check_prices, format_price_check

SETTINGS = Settings(
    default_backend="known",
    backends={
        "known": BackendSettings(type="sketch", model="a", price_usd=0.04),
        "unknown": BackendSettings(type="openai", model="my-own-model"),
    },
)


def test_a_model_without_a_price_is_named(tmp_path: Path) -> None:
    """The backend whose images have no price is told, with the setting that gives one."""
    path = tmp_path / "m.csv"
    path.write_text("prompt,backend\na,\nb,unknown\nc,unknown\n")
    with open_manifest(str(path)) as manifest:
        records = check_prices(manifest, SETTINGS, PlanOptions(), date(2026, 11, 24))
    assert [(item["backend"], item["images"], item["priced"]) for item in records] == [
        ("known", 1, True),
        ("unknown", 2, False),
    ]
    text = "\n".join(format_price_check(records))
    assert "2 images" in text
    assert "price_usd of unknown" in text
