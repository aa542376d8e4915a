"""The command `imagen reroll`: from the user's words to a `Reroll`, and from its job to lines."""

from __future__ import annotations

from typing import Any

from tasks.core.money import format_usd
from tasks.core.safe_text import escape_control_characters
from tasks.core.text import format_command
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lookup import find_job
from tasks.plan.reroll import LINK, PlannedReroll, Reroll, plan_reroll
from tasks.report.show import parse_extra, read_record
from tasks.report.summary import get_exit_code
from tasks.store.output import Output


async def find_reroll(
    out: Output, wanted: str, *, seed: int | None, prompt: str | None
) -> tuple[Reroll, PlannedReroll]:
    """Find the image that is meant, and the job that would be made. Nothing is written or spent.

    Raises:
        InputError: Nothing or several things are called so, or nothing would change.
    """
    async with open_ledger(out.ledger_folder()) as engine:
        row = await find_job(engine, out, wanted)
        reroll = Reroll(source=row["job_id"], seed=seed, prompt=prompt)
        return reroll, await plan_reroll(engine, reroll)


async def read_reroll(out: Output, job_id: str) -> dict[str, Any]:
    """The record of the new image, as `imagen show` has it."""
    async with open_ledger(out.ledger_folder()) as engine:
        return await read_record(engine, out, job_id)


def format_reroll(record: dict[str, Any], summary: dict[str, Any] | None, out: Output) -> list[str]:
    """Format the result for people; `summary` is None where it had been made before."""
    name = record["id"]
    if record["status"] == "succeeded":
        cost = "unknown cost" if record["cost_usd"] is None else format_usd(record["cost_usd"])
        before = "made already, nothing was paid now" if summary is None else cost
        return [
            record["path"],
            f"{name} (from {parse_extra(record)[LINK][:12]}): seed {record['seed']}, {before}",
            f"the old image stays; all about this one: {format_command('show', out, '--id', name)}",
        ]
    if record["error_kind"]:
        switch = "--retry-held" if record["status"] == "held" else "--retry-failed"
        return [
            escape_control_characters(f"{name} {record['status']}: {record['error_kind']}: {record['error_message']}"),
            f"to try it again: {format_command('resume', out, switch)}",
        ]
    why = [summary["outcome"]] if summary and summary["outcome"] else []
    return [f"{name} is {record['status']}", *why, f"to go on: {format_command('resume', out)}"]


def get_reroll_status(record: dict[str, Any], summary: dict[str, Any] | None) -> int:
    """The exit status: of this image, whatever the rest of the batch is like."""
    # Of this one image: whatever else is open in the batch has nothing to do with this command.
    if record["status"] == "succeeded":
        return 0
    return 1 if summary is None or record["error_kind"] else get_exit_code(summary) or 1
