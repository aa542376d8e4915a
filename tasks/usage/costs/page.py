"""The report of `imagen costs` as one page: no server, no script, nothing loaded from anywhere."""

from __future__ import annotations

from base64 import b64encode
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import OutputError
from tasks.core.safe_text import escape_control_characters
from tasks.core.text import format_count
from tasks.usage.costs.figures import SHOWN_BY
from tasks.usage.costs.plots import draw_bar, draw_days, draw_growth
from tasks.usage.costs.screen import format_money

MOST_LINES = 20
"""Of one table; the rest is counted."""
TITLES = {
    "batch": "Batches",
    "deployment": "Deployments",
    "model": "Models",
    "caller": "Callers",
    "day": "Days",
}


def write_page(record: Mapping[str, Any], path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        write_atomically(path, render_page(record).encode())
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written ({exc.strerror}). Choose another --html.") from None


def render_page(record: Mapping[str, Any]) -> str:
    """The page as HTML. Names in it are text, whatever they hold."""
    style = (files("tasks.usage.costs") / "assets" / "costs.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    # Only our own style: a name that became markup in spite of everything would load and run nothing.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = f"Costs of {record['month']}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body><main><h1>{title}</h1>"
        f'<p class="note">Until {_text(record["until"][:16].replace("T", " "))}, {_text(record["time_zone"])}. '
        f"{_text(record['sees'])}</p>{''.join(_build_sections(record))}</main></body></html>\n"
    )


def _build_sections(record: Mapping[str, Any]) -> Iterator[str]:
    yield from _build_cards(record)
    forecast = record["forecast"]
    last_day = monthrange(int(record["month"][:4]), int(record["month"][5:7]))[1]
    end_usd = None if forecast["basis"] == "nothing" else forecast["month_end_usd"]
    legend = '<p class="legend"><span class="key present"></span>this month <span class="key before"></span>last month'
    yield "<h2>Cost over the month</h2>"
    yield draw_growth(record["by_day"], record["month"], last_day=last_day, month_end_usd=end_usd)
    yield f'{legend} <span class="key forecast"></span>forecast</p>'
    yield _build_list([*forecast["explanation"], f"Schedules: {forecast['server']}"])
    yield f"<h2>Cost by day</h2>{draw_days(record['by_day'], record['month'])}{legend}</p>"
    for key in SHOWN_BY:
        # Days are the plot above; a table of one nameless line says nothing.
        if key != "day" and any(entry["name"] for entry in record[f"by_{key}"]):
            yield f"<h2>{TITLES[key]}</h2>{_build_table(key, record[f'by_{key}'])}"
    yield from _build_kept(record["kept"])
    if record["failures"]:
        yield "<h2>Failures that cost most</h2>" + _build_failures(record)
    if record["skipped"]:
        yield "<h2>Not read</h2>" + _build_list(record["skipped"])


def _build_cards(record: Mapping[str, Any]) -> Iterator[str]:
    present, same, before = (record[name] for name in ("this_month", "same_days_before", "whole_month_before"))
    forecast, kept = record["forecast"], record["kept"]
    unknown = f", and {present['cost_unknown']:,} of unknown cost" if present["cost_unknown"] else ""
    cards = [
        ("This month", present["cost_usd"], format_count(present["images"], "image") + unknown),
        ("Last month, same days", same["cost_usd"], f"whole month: {format_money(before['cost_usd'])}"),
        (
            "Forecast",
            None if forecast["basis"] == "nothing" else forecast["month_end_usd"],
            f"from {forecast['basis']}",
        ),
        ("Per image", present["usd_per_image"], "failed attempts included"),
        ("Per kept image", kept["usd_per_kept_image"], f"{kept['kept']:,} kept in {kept['batches']} reviewed batches"),
        ("Without an image", present["failed_usd"], format_count(present["failures"], "attempt")),
    ]
    yield '<div class="cards">'
    for title, amount, words in cards:
        shown = "-" if amount is None else format_money(amount)
        yield f'<section class="card"><h3>{title}</h3><p class="amount">{shown}</p><p>{_text(words)}</p></section>'
    yield "</div>"


def _build_table(key: str, entries: list[dict[str, Any]]) -> str:
    most = max((entry["cost_usd"] or 0.0 for entry in entries), default=0.0)
    rows = [
        [
            _text(entry["name"] or "-"),
            format_money(entry["cost_usd"]) + draw_bar(entry["cost_usd"], most),
            format_money(entry["month_before"]["cost_usd"]),
            f"{entry['images']:,}",
            f"{entry['failures']:,}",
            "-" if entry["usd_per_image"] is None else format_money(entry["usd_per_image"]),
        ]
        for entry in entries[:MOST_LINES]
    ]
    head = (key, "this month", "last month", "images", "failures", "per image")
    hidden = len(entries) - MOST_LINES
    more = f'<p class="note">and {hidden:,} more</p>' if hidden > 0 else ""
    return _build_rows(head, rows) + more


def _build_kept(kept: Mapping[str, Any]) -> Iterator[str]:
    if kept["reused"]:
        yield f"<p>{format_count(kept['reused'], 'image')} reused from other batches for nothing.</p>"
    if not kept["by_batch"]:
        return
    rows = [
        [
            _text(it["batch"]),
            format_money(it["cost_usd"]),
            f"{it['images']:,}",
            f"{it['kept']:,}",
            "-" if it["usd_per_kept_image"] is None else format_money(it["usd_per_kept_image"]),
        ]
        for it in kept["by_batch"][:MOST_LINES]
    ]
    yield "<h2>Images that a review keeps</h2>"
    yield _build_rows(("batch", "cost", "images", "kept", "per kept image"), rows)


def _build_failures(record: Mapping[str, Any]) -> str:
    rows = [
        [
            _text(it["batch"] or "-"),
            _text(it["model"]),
            _text(it["kind"]),
            f"{it['attempts']:,}",
            format_money(it["cost_usd"]),
        ]
        for it in record["failures"]
    ]
    return _build_rows(("batch", "model", "why", "attempts", "cost"), rows)


def _build_rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _build_list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _text(value: object) -> str:
    """Text of a stranger as text: no markup, and no sign that turns the reading direction."""
    return escape(escape_control_characters(str(value)))
