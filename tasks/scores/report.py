"""Messages of `imagen score`: the JSON record and the lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tasks.core.text import format_count
from tasks.scores.score_batch import Scored

SHOWN = 10
"""Images or groups of each kind on the screen; the JSON record has all."""

SHOWN_OF_GROUP = 4
"""Files of one group on its line."""


def build_record(scored: Scored, names: Sequence[str], out: object) -> dict[str, Any]:
    """All of it, for programs."""
    findings = scored.findings
    return {
        "images": scored.images,
        "scored": scored.scored,
        "with": list(names),
        "skipped": [
            {"job_id": each.job_id, "file_name": each.label, "reason": each.reason} for each in scored.skipped.values()
        ],
        "judged": scored.judged,
        "stopped": None if scored.stopped is None else str(scored.stopped),
        "blank": findings.blank,
        "near_duplicates": findings.near_duplicates,
        "same_image": [asdict(each) for each in findings.same_image],
        "warnings": findings.list_warnings(),
        "out": str(out),
    }


def format_record(record: dict[str, Any]) -> list[str]:
    """The record in some lines, for people."""
    names = ", ".join(record["with"])
    return [
        f"{record['out']}: {record['scored']:,} of {format_count(record['images'], 'image')} scored now with {names}",
        *(_describe_judge(name, ends) for name, ends in record["judged"].items()),
        *([f"stopped: {record['stopped']}"] if record["stopped"] else []),
        *_list_some("skipped", [f"{each['file_name']}: {each['reason']}" for each in record["skipped"]]),
        *_list_some("blank", [f"{name}: {color}" for name, color in record["blank"].items()]),
        *_list_some("near duplicates", [_join_group(group) for group in record["near_duplicates"]]),
        *_list_some("the same image for every seed", [each["prompt"] for each in record["same_image"]]),
        *(f"warning: {each}" for each in record["warnings"]),
    ]


def _describe_judge(name: str, ends: dict[str, int]) -> str:
    others = ", ".join(f"{count:,} {kind}" for kind, count in sorted(ends.items()) if kind != "judged")
    hint = " (--retry-failed and --retry-held ask again)" if others else ""
    return f"{name}: {ends.get('judged', 0):,} judged now" + (f"; without an answer: {others}{hint}" if others else "")


def _join_group(group: Sequence[str]) -> str:
    shown = " = ".join(group[:SHOWN_OF_GROUP])
    return shown if len(group) <= SHOWN_OF_GROUP else f"{shown} and {len(group) - SHOWN_OF_GROUP:,} more"


def _list_some(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{title}: {len(lines):,}"
        yield from (f"  {' '.join(line.split())}" for line in lines[:SHOWN])
        if len(lines) > SHOWN:
            yield f"  ... and {len(lines) - SHOWN:,} more; --json lists all"
