"""`imagen caps`: what each cap of the configuration has spent, reserved and free."""

from __future__ import annotations

from typing import Any

from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.database import hide_password
from tasks.core.money import format_exact, to_cap_micros, to_micros
from tasks.core.text import align_columns
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.caps.reading import explain_unreadable, read_caps
from tasks.ledger.accounts.caps.recovery import settle_dead
from tasks.ledger.accounts.place import get_accounts_file

NONE_SET = "No caps are set. Write some into the configuration, as in `caps: [{usd: 20, per: day}]`."

Row = tuple[str, str, str, str, str, str]
"""Cells of a cap: its amount, what it is for, spent, reserved, free, and when it frees."""


async def list_caps(settings: Settings, clock: Clock | None = None) -> dict[str, Any]:
    """The caps of a configuration as programs read them, and the reason (if any) why they cannot be counted.

    Raises:
        ConfigError: The database that counts them cannot be used.
        InputError: What they have counted cannot be read.
    """
    async with open_counting_place(settings, None) as place:
        with explain_unreadable(place.writer):
            # A batch that was killed must not look as if its jobs were still in flight.
            await settle_dead(place)
        states = await read_caps(place.writer, settings.caps, now_us=(clock or Clock()).now_us())
        # Without the counts nothing was spent by what this process knows, which is not what is true.
        unknown = {} if place.problem is None else dict.fromkeys(("spent", "reserved", "free"))
        record = {"caps": [state.as_dict() | unknown for state in states], "problem": place.problem}
        if states and place.problem is None:
            record["counted_in"] = (
                hide_password(settings.caps_url or "") if place.is_server else str(get_accounts_file())
            )
        return record


def format_caps(record: dict[str, Any], *, width: int) -> list[str]:
    """The caps for people: a table, or two lines for each where it would not fit into `width` characters."""
    if not record["caps"]:
        return [NONE_SET]
    amounts = ("spent", "reserved", "free")
    rows = [("cap", "for", *amounts, "frees at"), *map(_format_row, record["caps"])]
    lines = align_columns(rows, numbers=amounts).splitlines()
    if max(map(len, lines)) > width:
        lines = [line for row in rows[1:] for line in _format_block(row)]
    if (where := record.get("counted_in")) is not None:
        lines.append(f"Counted in {where}; batches that are counted elsewhere are not known there.")
    if record["problem"] is not None:
        lines.append(f"warning: {record['problem']}, so nothing is counted")
    return lines


def _format_block(row: Row) -> tuple[str, str]:
    most, meant, spent, reserved, free, frees = row
    return f"{most} for {meant}", f"    {spent} spent, {reserved} reserved, {free} free, frees at {frees}"


def _format_row(cap: dict[str, Any]) -> Row:
    named = (f"{name} {cap[name]}" for name in ("caller", "model", "backend") if cap[name] is not None)
    amounts = (cap["spent"], cap["reserved"], cap["free"])
    is_money = cap["unit"] == "usd"
    spent, reserved, free = (_format_amount(amount, is_money=is_money) for amount in amounts)
    most = format_exact(to_cap_micros(cap["usd"])) if is_money else f"{cap['images']:,} images"
    frees = f"{cap['frees_at'][:16].replace('T', ' ')} {cap['timezone']}"
    return (f"{most} a {cap['per']}", ", ".join(named) or "everything", spent, reserved, free, frees)


def _format_amount(amount: float | None, *, is_money: bool) -> str:
    if amount is None:
        return "unknown"
    return format_exact(to_micros(amount) or 0) if is_money else f"{amount:,}"
