"""Jobs as rows of the ledger, there and back."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.errors import InputError
from tasks.core.records import Job, JobState, PlannedJob, ReferenceImage
from tasks.core.safe_text import error_text


def build_row(item: PlannedJob, *, base: int, run: int, salt: str, now_us: int) -> dict[str, Any]:
    """Build the row of a job that the run of this number plans; the sort keys of its salt begin at `base`."""
    job = item.job
    return {
        "job_id": job.job_id,
        "position": base + job.position,  # runs of other salts come before or after, never between
        "planned_run": run,
        "withdrawn": False,
        "salt": salt,
        "earlier": item.duplicate_number,  # equal rows are jobs of their own
        "id": job.id,
        "line": job.line,
        "sample": job.sample,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "backend": job.backend,
        "backend_type": job.backend_type,
        "model": job.model,
        "requested_width": job.width,
        "requested_height": job.height,
        "aspect_ratio": job.aspect_ratio,
        "steps": job.steps,
        "seed": job.seed,
        "requested_format": job.format,
        "backend_opts": json.dumps(job.backend_opts, ensure_ascii=False, default=str),
        "extra": json.dumps(job.extra, ensure_ascii=False, default=str),
        "fallbacks": ",".join(job.fallbacks),
        **{
            f"input_{name}{suffix}": value
            for name, reference in (("image", job.image), ("mask", job.mask))
            for suffix, value in (("", reference and reference.address), ("_sha256", reference and reference.sha256))
        },
        "state": JobState.PLANNED,
        "created_at_us": now_us,
    }


def job_from_row(row: Any) -> Job:
    """Build a job from a row of `jobs`.

    Raises:
        InputError: The row holds values that no run writes: the ledger is damaged.
    """
    try:
        # Another program may have written the file, or a disk may have lost a part of it.
        return _build_job(row)
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise build_damage(f"jobs of {row.job_id}", exc) from None


def build_job(row: RowMapping) -> Job:
    """The job of a row that was read by the names of its columns."""
    return job_from_row(SimpleNamespace(**row))


def read_state(text: str) -> JobState:
    """The state of a job as the ledger has it.

    Raises:
        InputError: It is none.
    """
    try:
        return JobState(text)
    except ValueError as exc:
        raise build_damage("the state of a job", exc) from None


def build_damage(where: str, exc: Exception) -> InputError:
    """The error for a value of the ledger that cannot be read."""
    return InputError(
        f"the ledger is damaged: {error_text(where, most_chars=100)} cannot be read ({error_text(exc, most_chars=200)}). "
        "Restore it from a copy of its folder or database"
    )


def _build_job(row: Any) -> Job:
    return Job(
        job_id=row.job_id,
        position=row.position,
        id=row.id,
        line=row.line,
        sample=row.sample,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt,
        backend=row.backend,
        backend_type=row.backend_type,
        model=row.model,
        width=row.requested_width,
        height=row.requested_height,
        aspect_ratio=row.aspect_ratio,
        steps=row.steps,
        seed=row.seed,
        format=row.requested_format,
        backend_opts=json.loads(row.backend_opts),  # text, because SQLite has no type for it
        extra=json.loads(row.extra),
        fallbacks=tuple(filter(None, row.fallbacks.split(","))),
        rerouted_from=row.rerouted_from,
        image=ReferenceImage(row.input_image, row.input_image_sha256) if row.input_image else None,
        mask=ReferenceImage(row.input_mask, row.input_mask_sha256) if row.input_mask else None,
    )
