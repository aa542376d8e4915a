"""Two manifests and one folder: each path has a default folder of its own, and rows are replaced only when asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.configuration.settings import Settings
from tasks.core.errors import ImagenError, InputError
from tasks.core.memory import split_chunks
from tasks.core.paths import get_default_out, has_ledger
from tasks.core.text import format_count
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.jobs import count_paid_jobs, has_any_job
from tasks.ledger.runs import get_last_manifest
from tasks.manifest import Manifest, open_manifest
from tasks.manifest.remote import is_remote
from tasks.manifest.source import STDIN_DISPLAY
from tasks.plan.planner import plan_manifest
from tasks.runs.request import RunRequest

# Enough to tell manifests of one name apart; the rest is for people to read.
HASH_DIGITS = 6


async def choose_default_out(manifest: Manifest) -> str:
    """The default folder of a manifest; `runs/<name>` unless that belongs to another manifest of the same name.

    A manifest that was moved keeps its folder. Standard input has no path, so all of it shares one.
    """
    usual = get_default_out(manifest.name)
    if manifest.display == STDIN_DISPLAY or not has_ledger(Path(usual)):
        return usual
    try:
        async with open_ledger(Path(usual)) as engine:
            owner = await get_last_manifest(engine)
    except ImagenError:  # whoever uses the folder says what is wrong with it
        return usual
    if owner is None or _is_same(owner, manifest.source):
        return usual
    return f"{usual}-{_hash_path(manifest.source)}"


def _hash_path(source: str) -> str:
    return hashlib.sha256(str(Path(source).absolute()).encode()).hexdigest()[:HASH_DIGITS]


def _is_same(owner: str, source: str) -> bool:
    # A manifest that was moved keeps its folder: its old path is gone, and nothing else can own it.
    if is_remote(owner) or is_remote(source):
        return owner == source
    return owner == source or not Path(owner).exists() or Path(owner).resolve() == Path(source).resolve()


async def require_replacement(engine: AsyncEngine, request: RunRequest, settings: Settings) -> None:
    """Pass unless the manifest has no row in common with the batch, whose paid images would leave the table.

    Raises:
        InputError: It has none, and the user did not say --replace. Nothing was written.
    """
    # A limit plans a part of the manifest, and a part has no common row with the rest.
    if request.manifest is None or request.limit is not None or request.replace:
        return
    # Only paid images count: a folder that holds none loses nothing.
    paid = await count_paid_jobs(engine, request.salt)
    if paid and not await _has_common_job(engine, request, settings):
        owner = await get_last_manifest(engine)
        raise InputError(
            f"{request.out}: holds {format_count(paid, 'image')} of {owner or 'another manifest'}, and {request.manifest} "
            "has none of its rows. Choose another --out, or say --replace: then those rows leave the table, and their "
            "files stay on disk."
        )


async def _has_common_job(engine: AsyncEngine, request: RunRequest, settings: Settings) -> bool:
    """Asks about the first rows first: of a batch that goes on, one of them is known."""
    with open_manifest(request.manifest or "", options=request.read_options(settings)) as manifest:
        # In chunks: a manifest of a million rows must not be read into memory for one answer.
        planned = (item.job.job_id for item in plan_manifest(manifest, settings, request.plan_options()))
        for chunk in split_chunks(planned):
            if await has_any_job(engine, chunk):
                return True
    return False
