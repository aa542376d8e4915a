"""Identity of a job whatever its salt, worked out from the job itself and proven by its job_id."""

from __future__ import annotations

from tasks.core.identity import SEEDS, compute_job_id, derive_seed, hash_row, normalize_prompt
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
    row = hash_row(_build_content(job))
    if compute_job_id(row, sample=job.sample, duplicate_number=duplicate_number, salt=salt) != job.job_id:
        return None
    return compute_job_id(row, sample=job.sample, duplicate_number=duplicate_number, salt="")


def _build_content(job: Job) -> dict[str, object]:
    """The content of the job's row; the comparison of ids in the caller proves it."""
    content: dict[str, object] = {
        "backend_type": job.backend_type,
        "model": job.model,
        "prompt": normalize_prompt(job.prompt),
        "negative_prompt": job.negative_prompt,
        "width": job.width,
        "height": job.height,
        "aspect_ratio": job.aspect_ratio,
        "steps": job.steps,
        # A row that gave no seed has none in its identity; the samples of one that did count on from it.
        "seed": None if job.seed == derive_seed(job.job_id) else (job.seed - job.sample) % SEEDS,
        "backend_opts": dict(job.backend_opts),
    }
    for name, found in (("image", job.image), ("mask", job.mask)):
        if found is not None:
            content[name] = found.sha256
    return content
