"""Next steps after a run: one reason, one job and one command for each kind of error."""

from __future__ import annotations

from typing import Any

from tasks.core.errors import Refused, Rejected, UnreadableAnswer
from tasks.core.records import JobState
from tasks.core.safe_text import escape_control_characters
from tasks.core.text import format_command

PROMPT_KINDS = {Refused.kind, Rejected.kind}
"""Errors that come back with the same prompt: trying again would only pay again."""
# A service's message may be a page; a line of it is enough to know what to look for.
REASON_CHARACTERS = 300


def format_errors(record: dict[str, Any]) -> list[str]:
    """A line for each kind: how many jobs, one of them, and its reason."""
    return [
        f"  {number} x {kind}{_format_example(record.get('reasons', {}).get(kind))}"
        for kind, number in record["errors"].items()
    ]


def find_next_steps(record: dict[str, Any], *, running: bool, left: int) -> list[tuple[str, str]]:
    """The reason of each step, and its command."""
    out, outcome = record["out"], record["outcome"] or ""
    steps = [("to look through them", format_command("gallery", out))] if record["images"] else []
    if left and not running and outcome.startswith("stopped") and "budget" in outcome:
        steps.append(("to go on, raise the budget", format_command("resume", out) + " --budget USD"))
    elif left and not running:
        steps.append(("to go on", format_command("resume", out)))
    if record["missing"]:
        why = "to make and pay for those again whose files are gone"
        steps.append((why, format_command("resume", out, "--missing")))
    return [*steps, *_find_error_steps(record)]


def _find_error_steps(record: dict[str, Any]) -> list[tuple[str, str]]:
    out, kinds, reasons = record["out"], record["errors"].keys(), record.get("reasons", {})
    # Held jobs may have been paid for, so they need another command than the failed ones.
    held = {kind for kind, example in reasons.items() if example["state"] == JobState.HELD}
    passing = sorted(kinds - PROMPT_KINDS - held - {UnreadableAnswer.kind})
    steps = []
    if UnreadableAnswer.kind in kinds - held:
        # Another attempt would be paid for and answered the same way; the answers are kept.
        why = "to read kept answers again with a corrected configuration, which pays for nothing"
        steps.append((why, format_command("resume", out, "--reread")))
    # With other kinds among them, only those that may pass are tried again.
    if record["failed"] and passing:
        every = len(passing) == len(kinds - held)
        switch = ("--retry-failed",) if every else ("--only", ",".join(passing))
        # Such as what was cancelled while it ran: nobody else tells that the bill may count it already.
        billed = " (some of it may be billed already)" if record["cost_unknown"] > record["held"] else ""
        steps.append((f"to try what failed again{billed}", format_command("resume", out, *switch)))
    if record["held"]:
        why = "what is held may have been paid for; to pay again"
        steps.append((why, format_command("resume", out, "--retry-held")))
    for kind in sorted(kinds & PROMPT_KINDS):
        known = reasons.get(kind, {}).get("job") or "ID"
        # The same prompt comes back the same way: it has to be edited, or another one made.
        why = f"{kind} comes back with the same prompt: edit the manifest and run it again, or"
        steps.append((why, format_command("reroll", out, "--id", known) + ' --prompt "..."'))
    return steps


def _format_example(example: dict[str, Any] | None) -> str:
    if example is None or not example["message"]:
        return ""
    # On one line: a message of a service may hold line ends of its own.
    message = " ".join(escape_control_characters(example["message"]).split())
    short = message if len(message) <= REASON_CHARACTERS else f"{message[:REASON_CHARACTERS]}..."
    return f", such as {example['job']}: {short}"
