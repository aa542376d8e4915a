"""Lines of an ended batch: which of them count, and what those that are missing prove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.client.batches.results import BatchResults

DONE: dict[str, Any] = {"custom_id": "a", "response": {"status_code": 200, "body": {}}, "error": None}
UNDONE: dict[str, Any] = {"custom_id": "a", "response": None, "error": {"code": "batch_expired"}}
GOOGLE: dict[str, Any] = {"key": "a", "response": {"candidates": []}}


def read(folder: Path, *files: list[dict[str, Any]], **batch: Any) -> BatchResults:
    """The results of a batch with these files."""
    paths = [folder / f"{number}.jsonl" for number in range(len(files))]
    for path, lines in zip(paths, files, strict=True):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return BatchResults({"status": "completed", **batch}, paths)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([[DONE], [UNDONE]], DONE),
        ([[UNDONE], [DONE]], DONE),
        ([[DONE, UNDONE]], DONE),
        ([[UNDONE, DONE]], DONE),
        ([[GOOGLE, {"key": "a", "error": {"code": 14}}]], GOOGLE),
        ([[UNDONE]], UNDONE),
    ],
)
def test_of_two_lines_of_a_job_the_done_one_counts(
    files: list[list[dict[str, Any]]], expected: dict[str, Any], tmp_path: Path
) -> None:
    """The other one says that nothing was done, and the job would be paid for again."""
    assert read(tmp_path, *files).read_line("a") == expected


@pytest.mark.parametrize(
    ("lines", "batch", "whole"),
    [
        ([DONE], {}, True),
        ([DONE], {"request_counts": {"total": 1}}, True),
        ([DONE], {"request_counts": {"total": 2}}, False),
        ([], {}, False),
        ([], {"status": "expired"}, False),
        ([], {"status": "failed"}, True),
    ],
)
def test_results_that_are_not_whole_prove_nothing(
    lines: list[dict[str, Any]], batch: dict[str, Any], tmp_path: Path, *, whole: bool
) -> None:
    """A job that has no line in them may have been in the batch, unless the batch was never begun."""
    assert read(tmp_path, lines, **batch).is_whole() is whole
