"""The same job on another backend: what changes and what stays.

A job keeps its identity, its seed and its place, so the manifest finds it again whoever made its image.
"""

from __future__ import annotations

from dataclasses import replace

from tasks.core.configuration.settings import Settings
from tasks.core.records import Job


def move_to_backend(job: Job, name: str, settings: Settings) -> Job:
    """The job as the instance called `name`, which is configured, is to make it.

    Options that the row gave go along; those of the old instance do not.
    """
    before, now = settings.backends.get(job.backend), settings.backends[name]
    configured = {} if before is None else before.backend_opts
    # A value that equals the old instance's default was not the row's choice.
    own = {key: value for key, value in job.backend_opts.items() if key not in configured or configured[key] != value}
    first = job.rerouted_from or job.backend
    return replace(
        job,
        backend=name,
        backend_type=now.type,
        model=now.model,
        backend_opts={**now.backend_opts, **own},
        # never back: no circle
        fallbacks=job.fallbacks[job.fallbacks.index(name) + 1 :] if name in job.fallbacks else (),
        rerouted_from=None if name == first else first,  # the first, however many were tried
    )


def find_fallback(job: Job, settings: Settings) -> Job | None:
    """The job on the next backend that its row names and the configuration has; None where there is none."""
    name = next((name for name in job.fallbacks if name in settings.backends), None)
    return None if name is None else move_to_backend(job, name, settings)
