"""`imagen prices --check`: which backends of a manifest have a price for its images, how old it is, and which have none."""

from __future__ import annotations

from datetime import date
from typing import Any

from tasks.backends.prices import OLD_DAYS
from tasks.core.configuration.settings import Settings
from tasks.core.text import align_columns, format_count
from tasks.manifest import Manifest
from tasks.plan.check import check_manifest
from tasks.plan.planner import PlanOptions

HEADER = ("backend", "model", "images", "price", "age_days")


def check_prices(manifest: Manifest, settings: Settings, options: PlanOptions, today: date) -> list[dict[str, Any]]:
    """One record for each backend that the manifest needs. Asks nobody, writes nothing.

    Raises:
        ManifestError: The manifest has problems; they are all in it.
        ConfigError: A setting cannot be used.
    """
    report = check_manifest(manifest, settings, options)
    records = []
    for name, images in report.by_backend.items():
        as_of = report.priced_on.get(name)
        # None: the user's own price, which does not age.
        age_days = None if as_of is None else (today - as_of).days
        records.append(
            {
                "backend": name,
                "model": settings.backends[name].model,
                "images": images,
                "priced": name not in report.unpriced_models,
                "as_of": None if as_of is None else as_of.isoformat(),
                "age_days": age_days,
                "old": age_days is not None and age_days > OLD_DAYS,
            }
        )
    return records


def format_price_check(records: list[dict[str, Any]]) -> list[str]:
    """The records for people, and what to do about a price that is not known."""
    rows = [
        (
            item["backend"],
            item["model"] or "-",
            str(item["images"]),
            "known" if item["priced"] else "none",
            "-" if item["age_days"] is None else f"{item['age_days']}{' (old)' if item['old'] else ''}",
        )
        for item in records
    ]
    lines = [align_columns([HEADER, *rows], numbers=("images",))]
    if missing := [item for item in records if not item["priced"]]:
        images = format_count(sum(item["images"] for item in missing), "image")
        names = ", ".join(item["backend"] for item in missing)
        lines.append(f"no price for {images}: set price_usd of {names} in imagen.yaml; a run with --budget needs it")
    return lines
