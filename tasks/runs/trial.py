"""`imagen try`: one prompt becomes a request like any other, with a manifest of one row and a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from slugify import slugify

from tasks.core.errors import ManifestError
from tasks.core.identity import hash_prompt
from tasks.core.paths import RUNS_FOLDER
from tasks.core.records import JobState
from tasks.core.safe_text import escape_control_characters
from tasks.core.temporary_folder import TemporaryFolder
from tasks.core.text import format_command
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lookup import find_jobs_by_run
from tasks.report.summary import Summary
from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest

# Characters of the folder's name: enough words to recognise, short enough for any file system.
SLUG_CHARACTERS = 40
HASH_DIGITS = 8


def choose_trial_out(prompt: str) -> str:
    """The output folder of a prompt: the same prompt finds its images again, another one has a budget of its own."""
    # The hash keeps two prompts apart that begin alike.
    words = slugify(prompt, max_length=SLUG_CHARACTERS, word_boundary=True) or "prompt"
    return str(Path(RUNS_FOLDER, "try", f"{words}-{hash_prompt(prompt)[:HASH_DIGITS]}"))


@contextmanager
def build_trial(prompt: str, *, samples: int, **request: Any) -> Iterator[RunRequest]:
    """The request for one prompt; its manifest exists for the duration of the block.

    A limit keeps the other jobs of the folder: trying a prompt never withdraws what was made before.

    Raises:
        ManifestError: The prompt cannot be used. The message names no file, because the user gave none.
    """
    # Removed with the block: the row is in the ledger, and the file is only how it gets there.
    with TemporaryFolder() as folder:
        manifest = Path(folder, "try.jsonl")
        manifest.write_text(json.dumps({"prompt": prompt, "samples": samples}) + "\n", encoding="utf-8")
        try:
            yield RunRequest(manifest=str(manifest), limit=samples, retry_failed=True, runner="local", **request)
        except ManifestError as exc:
            # The user typed no file, so a problem of it must not name one.
            problems = [replace(problem, file="PROMPT", line=None) for problem in exc.problems]
            raise ManifestError(problems, exc.total) from None


async def run_trial(request: RunRequest) -> tuple[Summary, list[dict[str, Any]]]:
    """Run the request in this process; gives the batch's summary, and each of the request's jobs.

    Raises:
        ImagenError: See `tasks.runs.direct.run_directly`.
    """
    summary = await run_directly(request)
    number = 0 if summary.run is None else summary.run.number
    async with open_ledger(summary.out.ledger_folder()) as engine:
        jobs = [dict(row) for row in await find_jobs_by_run(engine, number)]
    return summary, [{**job, "path": job["file_name"] and f"{summary.out}/{job['file_name']}"} for job in jobs]


def list_paths(jobs: list[dict[str, Any]]) -> list[str]:
    """Paths of the images."""
    return [job["path"] for job in jobs if job["state"] == JobState.SUCCEEDED]


def explain_rest(jobs: list[dict[str, Any]], out: str) -> list[str]:
    """Why there is no image, and what to do, for each job without one."""
    lines = [
        escape_control_characters(f"{job['state']}: {job['error_kind']}: {job['error_message']}")
        for job in jobs
        if job["error_kind"] is not None
    ]
    # Held jobs are the only ones where money may have been spent for nothing.
    held = any(job["state"] == JobState.HELD for job in jobs)
    pay_again = f"It may have been paid for. To pay again: {format_command('resume', out, '--retry-held')}"
    return [*dict.fromkeys(lines), *([pay_again] if held else [])]
