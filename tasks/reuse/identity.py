"""Identity of a job whatever its salt, worked out from the job itself and proven by its job_id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tasks.core.identity import SEEDS, build_content, compute_job_id, derive_seed, hash_row
from tasks.core.records import Job


def compute_saltless_id(job: Job, *, duplicate_number: int, salt: str) -> str | None:
    """The job_id that this image would have without a salt.

    Args:
        job: The job as the planner or a ledger has it.
        duplicate_number: Number of equal rows before its own in the manifest.
        salt: The salt that it was planned with.

    Returns:
        None where the job's values do not give its job_id: a reroll, a job that another backend took over, or a row of
        a ledger that was edited. Such an image is not what its identity says.
    """
    try:
        row = hash_row(_build_content(job))
    except ValueError:  # its job_id is not even a hash
        return None
    if compute_job_id(row, sample=job.sample, duplicate_number=duplicate_number, salt=salt) != job.job_id:
        return None
    return compute_job_id(row, sample=job.sample, duplicate_number=duplicate_number, salt="")


def compute_taken_id(job: Job, *, duplicate_number: int, salt: str) -> str | None:
    """The same for an image that its batch took from another salt: its seed is that salt's, and its row gave none."""
    try:
        given = replace(job, seed=derive_seed(job.job_id))
    except ValueError:  # its job_id is not even a hash
        return None
    return compute_saltless_id(given, duplicate_number=duplicate_number, salt=salt)


def _build_content(job: Job) -> dict[str, Any]:
    """The content of the job's row; the comparison of ids in the caller proves it."""
    given = {"image": job.image, "mask": job.mask}
    return build_content(
        job,
        backend_type=job.backend_type,
        model=job.model,
        # A row that gave no seed has none in its identity; the samples of one that did count on from it.
        seed=None if job.seed == derive_seed(job.job_id) else (job.seed - job.sample) % SEEDS,
        backend_opts=job.backend_opts,
        references={name: reference for name, reference in given.items() if reference is not None},
    )
