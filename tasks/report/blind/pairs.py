"""Pairs of images of the same row: from two batches, or of two models in one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations, product
from typing import Literal

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import InputError
from tasks.core.records import JobState
from tasks.ledger.queries import read_job_pages
from tasks.manifest.row_gates import spread_rule
from tasks.store.output import Output, is_contained

KEY_DIGITS = 32
Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image that can be compared."""

    out: Output
    job_id: str
    sha256: str
    file_name: str
    model: str
    id: str | None
    sample: int
    prompt: str
    negative_prompt: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """The columns of its row that the manifest carries along."""
    completed_at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two images of the same row, and which one stands on the left."""

    key: str
    """Its name on the page."""
    first: Candidate
    second: Candidate
    labels: tuple[str, str]
    """Models of both, as the results name them."""
    is_swapped: bool

    @property
    def files(self) -> tuple[str, str]:
        """The sha256 of both."""
        return self.first.sha256, self.second.sha256

    def get_image(self, side: Side) -> Candidate:
        """The image on this side of the page."""
        return self.second if (side == "left") is self.is_swapped else self.first


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Images that the comparison cannot show."""

    alone: int = 0
    """Images whose row the other side does not have."""
    equal: int = 0
    """Pairs of one and the same file."""


async def read_candidates(engine: AsyncEngine, out: Output, models: Sequence[str] = ()) -> list[Candidate]:
    """The batch's images in manifest order; of these models only, if any are named."""
    found = []
    async for page in read_job_pages(engine):
        for row in page:
            is_made = row["state"] == JobState.SUCCEEDED and row["sha256"] and is_contained(row["file_name"])
            if is_made and (not models or _get_model(row) in models):
                found.append(_read_candidate(row, out))
    return found


def _get_model(row: RowMapping) -> str:
    # Backends with one model only, such as the sketches, have no name for it.
    return str(row["model"] or row["backend"])


def _read_candidate(row: RowMapping, out: Output) -> Candidate:
    names = ("job_id", "sha256", "file_name", "id", "sample", "prompt")
    carried = spread_rule(json.loads(row["extra"]))
    columns = {name: value if isinstance(value, str) else json.dumps(value) for name, value in carried.items()}
    return Candidate(
        **{name: row[name] for name in names},
        out=out,
        model=_get_model(row),
        negative_prompt=row["negative_prompt"] or "",
        columns=columns,
        completed_at_us=row["completed_at_us"] or 0,
    )


def find_pairs(first: Sequence[Candidate], second: Sequence[Candidate] | None, *, seed: int) -> dict[str, Pair]:
    """Pairs by their keys, in the order in which they are shown.

    Args:
        first: Images of one batch.
        second: Images of another one; None: models of the first one are compared with each other.
        seed: Shuffles the pairs and the sides of each. The same seed gives the same page again.

    Raises:
        InputError: There is nothing to compare.
    """
    pairs = [
        _build_pair(one, other, labels, seed)
        for some, others, labels in _choose_sides(first, second)
        for one, other in _match(some, others)
        # Equal files show nothing but that they are equal.
        if one.sha256 != other.sha256
    ]
    if not pairs:
        raise InputError("No row has two different images to compare. Rows match by id and sample, else by prompt.")
    return {pair.key: pair for pair in sorted(pairs, key=lambda pair: pair.key)}


def count_unpaired(first: Sequence[Candidate], second: Sequence[Candidate] | None) -> Unpaired:
    """Count the images of which `find_pairs` makes no pair; takes the same images."""
    met: set[tuple[str, ...]] = set()
    equal = 0
    for some, others, _ in _choose_sides(first, second):
        for one, other in _match(some, others):
            met |= {_get_place(one), _get_place(other)}
            equal += one.sha256 == other.sha256
    everything = {_get_place(image) for image in (*first, *(second or ()))}
    return Unpaired(len(everything - met), equal)


def _get_place(image: Candidate) -> tuple[str, ...]:
    # An older image of a row that was made once more is no image without a counterpart.
    name = image.job_id if image.id is None else f"{image.sample} {image.id}"
    return image.out.address, image.model, name


def _choose_sides(
    first: Sequence[Candidate], second: Sequence[Candidate] | None
) -> Iterator[tuple[Sequence[Candidate], Sequence[Candidate], tuple[str, str]]]:
    ours = _group_by_model(first)
    if second is None:
        if len(ours) == 1:
            raise InputError(
                f"All images are of the model {next(iter(ours))}. Name a second batch to compare them with."
            )
        for one, other in combinations(sorted(ours), 2):
            yield ours[one], ours[other], (one, other)
        return
    # Every model of a batch may stand against every model of the other one.
    theirs = _group_by_model(second)
    is_shared = not ours.keys().isdisjoint(theirs)
    for some, others in product(ours.values(), theirs.values()):
        yield some, others, _label(some[0], others[0], is_shared=is_shared)


def _label(one: Candidate, other: Candidate, *, is_shared: bool) -> tuple[str, str]:
    if not is_shared:
        return one.model, other.model
    # Two folders may have the same name; then the whole place tells them apart.
    names = (one.out.name, other.out.name) if one.out.name != other.out.name else (str(one.out), str(other.out))
    return f"{names[0]}: {one.model}", f"{names[1]}: {other.model}"


def _group_by_model(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.model].append(candidate)
    return groups


def _match(first: Sequence[Candidate], second: Sequence[Candidate]) -> Iterator[tuple[Candidate, Candidate]]:
    """Pairs by id and sample; of the others, the images of one prompt in their order."""
    theirs = _index_by_id(second)
    paired = {name: (candidate, theirs[name]) for name, candidate in _index_by_id(first).items() if name in theirs}
    yield from paired.values()
    # A row that has found its counterpart is no other row's counterpart as well.
    left, right = (
        _group_by_prompt(candidate for candidate in some if (candidate.id, candidate.sample) not in paired)
        for some in (first, second)
    )
    for content in left.keys() & right.keys():
        yield from zip(left[content], right[content], strict=False)


def _index_by_id(candidates: Iterable[Candidate]) -> dict[tuple[str | None, int], Candidate]:
    # Of a row that was made once more, the newest image.
    ordered = sorted(candidates, key=lambda candidate: candidate.completed_at_us)
    return {(one.id, one.sample): one for one in ordered if one.id is not None}


def _group_by_prompt(candidates: Iterable[Candidate]) -> dict[tuple[str, str], list[Candidate]]:
    groups: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.prompt, candidate.negative_prompt].append(candidate)
    return groups


def _build_pair(first: Candidate, second: Candidate, labels: tuple[str, str], seed: int) -> Pair:
    # From the files, so that a restarted server and an open page mean the same pair and the same sides.
    digest = sha256(f"{seed} {first.sha256} {second.sha256}".encode()).hexdigest()
    # Its last bit is not in the key, which the page sees.
    is_swapped = bool(int(digest[-1], 16) % 2)
    return Pair(key=digest[:KEY_DIGITS], first=first, second=second, labels=labels, is_swapped=is_swapped)
