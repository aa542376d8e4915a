"""Dollars as people and programs see them, and millionths of a dollar as they are stored and added."""

from __future__ import annotations

from decimal import Decimal

MICROS_PER_USD = 1_000_000
MOST_USD = 1_000_000_000  # far below 2**63 millionths, also summed over jobs
"""The greatest budget. The ledger cannot count much larger amounts."""
_MICROS_PER_CENT = 10_000


def to_usd(micros: int | None) -> float | None:
    """Convert millionths of a dollar to dollars; None stays None (unknown)."""
    return None if micros is None else micros / MICROS_PER_USD


def to_micros(amount_usd: float | None) -> int | None:
    """Convert dollars to whole millionths of a dollar, rounded; None stays None (unknown)."""
    return None if amount_usd is None else round(amount_usd * MICROS_PER_USD)


def to_cap_micros(amount_usd: float) -> int:
    """Convert the dollars of a budget or cap to whole millionths, rounded down: not one more may be spent."""
    # By its digits as they were written: 0.29 * 1_000_000 is a little less than 290,000.
    return int(Decimal(repr(amount_usd)) * MICROS_PER_USD)


def format_usd(amount_usd: float) -> str:
    """Dollars for people: `$12.30`, with as many more digits as a fraction of a cent needs.

    An amount that is not zero is never shown as `$0.00`: `$0.003`, `$0.000012`.
    """
    micros = round(amount_usd * MICROS_PER_USD)
    # Rounded to nothing, which is not free.
    if not micros:
        return "$0.00" if not amount_usd else "less than $0.000001"
    # From ten dollars on, fractions of a cent only get in the way.
    if micros % _MICROS_PER_CENT == 0 or abs(micros) >= 10 * MICROS_PER_USD:
        return f"${micros / MICROS_PER_USD:,.2f}"
    return f"${micros / MICROS_PER_USD:,.6f}".rstrip("0")


def format_micros(micros: int) -> str:
    """As `format_usd`, for millionths of a dollar."""
    return format_usd(micros / MICROS_PER_USD)


def format_exact(micros: int) -> str:
    """As `format_micros`, with every digit that counts: what is spent, reserved and free of a cap adds up to it."""
    whole, rest = divmod(abs(micros), MICROS_PER_USD)
    digits = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}.{digits}"


def format_rounded(amount_usd: float) -> str:
    """As `format_usd`, to the cent from a dollar on; below it three digits that count, for means and comparisons."""
    # A mean has no more digits than it can be trusted with.
    return format_usd(round(amount_usd, 2) if abs(amount_usd) >= 1 else float(f"{amount_usd:.3g}"))


def format_cell(micros: int) -> str:
    """Dollars without their sign, for a column: `0.0030`, and `0.000012` where four digits would hide something."""
    # A column of equal digits reads well, so the two more come only where they are needed.
    digits = 4 if micros % 100 == 0 or abs(micros) >= MICROS_PER_USD else 6
    return f"{micros / MICROS_PER_USD:.{digits}f}"
