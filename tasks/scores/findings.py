"""Findings in the scores of a whole batch: blank images, near duplicates, rows whose images are all the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import JobState
from tasks.ledger.queries import read_job_pages
from tasks.ledger.scores import Value, parse_results
from tasks.scores import blank, phash
from tasks.scores.duplicates import MOST_BITS, count_different_bits, group_near_duplicates

_SAME_REQUEST = (
    "prompt",
    "negative_prompt",
    "backend",
    "model",
    "requested_width",
    "requested_height",
    "aspect_ratio",
    "input_image_sha256",
    "backend_opts",
)
"""Columns that are equal for images which differ in their seeds only."""


@dataclass(frozen=True, slots=True)
class SameImage:
    """Images of one request that look the same, whatever the seed."""

    prompt: str
    files: tuple[str, ...]


@dataclass(slots=True)
class Findings:
    """All of it, by the images' files, in manifest order."""

    blank: dict[str, str] = field(default_factory=dict)
    """Colour of each blank image."""
    near_duplicates: list[list[str]] = field(default_factory=list)
    """Groups of at least two; blank images are in none."""
    same_image: list[SameImage] = field(default_factory=list)
    """Requests with several seeds whose images all look the same."""
    several_seeds: int = 0
    """Requests that have images of several seeds, the same or not."""

    def list_warnings(self) -> list[str]:
        """Sentences for people; empty where all is well."""
        found = []
        if self.blank:
            colors = ", ".join(f"{color} {count:,}" for color, count in Counter(self.blank.values()).most_common(3))
            found.append(f"{len(self.blank):,} blank ({colors}): safety filters return such images.")
        if self.same_image and len(self.same_image) == self.several_seeds:
            found.append(
                f"Every seed gives the same image ({self.several_seeds:,} of {self.several_seeds:,} prompts with "
                "several images). Does the model use the seed, and is its cache off?"
            )
        elif self.same_image:
            found.append(
                f"{len(self.same_image):,} of {self.several_seeds:,} prompts with several images: "
                "all of their images are the same."
            )
        return found


@dataclass(frozen=True, slots=True)
class _Hashed:
    """One image with its hash."""

    file_name: str
    seed: int
    value: int


async def collect_findings(engine: AsyncEngine) -> Findings:
    """Read the scores of the whole batch; memory grows with its images by some hundred bytes each."""
    found = Findings()
    requests: defaultdict[tuple[object, ...], list[_Hashed]] = defaultdict(list)
    async for page in read_job_pages(engine):
        for row in page:
            results = parse_results(row["scores"])
            if row["state"] != JobState.SUCCEEDED:
                continue
            if results.get(blank.NAME) is True:
                found.blank[row["file_name"]] = str(results.get(f"{blank.NAME}_color"))
            elif (value := _parse_hash(results)) is not None:
                key = tuple(row[name] for name in _SAME_REQUEST)
                requests[key].append(_Hashed(row["file_name"], row["seed"], value))
    _compare(found, requests.items())
    return found


def _parse_hash(results: dict[str, Value]) -> int | None:
    value = results.get(phash.NAME)
    # A ledger may come from a stranger, and may hold anything that is JSON.
    try:
        return int(value, 16) % 2**64 if isinstance(value, str) else None
    except ValueError:
        return None


def _compare(found: Findings, requests: Iterable[tuple[tuple[object, ...], Sequence[_Hashed]]]) -> None:
    hashes: dict[str, int] = {}
    for key, images in requests:
        hashes |= {image.file_name: image.value for image in images}
        if len({image.seed for image in images}) > 1:
            found.several_seeds += 1
            first = images[0].value
            if all(count_different_bits(first, image.value) <= MOST_BITS for image in images):
                found.same_image.append(SameImage(str(key[0]), tuple(image.file_name for image in images)))
    found.near_duplicates = group_near_duplicates(hashes)
