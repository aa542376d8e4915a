"""The server of `imagen compare --review`, and the results without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import InputError
from tasks.ledger.database.connect import open_ledger
from tasks.report.blind.answering import Answering, read_results
from tasks.report.blind.app import BlindSession, build_app
from tasks.report.blind.pairs import Candidate, Pair, Unpaired, count_unpaired, find_pairs, read_candidates
from tasks.report.review.server import listen, serve_app
from tasks.store.output import Output

PAGE = "compare-"
"""Of this page's kept address, which is another one than that of the batch's review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """The two that are compared, and the options."""

    first: Output
    """Its ledger keeps the answers."""
    second: Output | None = None
    """None: the models of the first batch are compared."""
    models: Sequence[str] = ()
    """Only these; empty: all."""
    seed: int = 0


async def read_comparison(request: ComparisonRequest) -> dict[str, Any]:
    """The results so far.

    Raises:
        InputError: There is no such batch, or nothing to compare.
    """
    async with open_ledger(request.first.ledger_folder()) as engine:
        return await read_results(engine, *await _find_pairs(request, engine))


async def serve_comparison(
    request: ComparisonRequest, *, port: int, reviewer: str, ready: Callable[[str], None], clock: Clock | None = None
) -> None:
    """Serve the page until this process is asked to end.

    Args:
        request: The two that are compared.
        port: 0 takes a free one.
        reviewer: Under whose name answers are written.
        ready: Called with the page's address once it answers.
        clock: Tells when.

    Raises:
        InputError: There is no such batch, or nothing to compare.
        OutputError: The first batch's ledger may only be read, so no answer could be kept.
        OSError: The port is taken.
    """
    async with open_ledger(request.first.ledger_folder(), writing=True) as engine:
        pairs, unpaired = await _find_pairs(request, engine)
        answering = Answering(engine, pairs, reviewer, clock or Clock(), unpaired)
        await answering.load()
        with listen(request.first, port, PAGE) as (listener, kept):
            session = BlindSession(answering=answering, port=kept.port, token=kept.token)
            ready(session.address)
            await serve_app(build_app(session), listener)


async def _find_pairs(request: ComparisonRequest, engine: AsyncEngine) -> tuple[dict[str, Pair], Unpaired]:
    first = await _read_images(engine, request.first, request.models)
    if request.second is None:
        return find_pairs(first, None, seed=request.seed), count_unpaired(first, None)
    # By the ledger, since a link or another spelling is the same batch still.
    folder, other = request.first.ledger_folder(), request.second.ledger_folder()
    if request.first.address == request.second.address or folder.resolve() == other.resolve():
        raise InputError(f"{request.first}: is compared with itself. Name two batches, or one to compare its models.")
    async with open_ledger(other) as others:
        second = await _read_images(others, request.second, request.models)
    return find_pairs(first, second, seed=request.seed), count_unpaired(first, second)


async def _read_images(engine: AsyncEngine, out: Output, models: Sequence[str]) -> list[Candidate]:
    found = await read_candidates(engine, out, models)
    if not found:
        raise InputError(f"{out}: has no image{' of ' + ' or '.join(models) if models else ''} to compare.")
    return found
