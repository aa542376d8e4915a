"""The nouns of a batch, in the order the data passes through them.

A manifest row becomes a `Prompt`, a `Prompt` becomes one or more `Job`s, the provider's side of a paid call is a
`Prediction`, its bytes become a `StoredImage`; `Counts` is what people are told. Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from textwrap import shorten
from typing import Any, Literal

LABEL_CHARACTERS = 40
RunnerKind = Literal["local", "dask", "ray"]  # this process, or worker processes


class JobState(StrEnum):
    """A job's state; the only values of the ledger's `state` column."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HELD = "held"

    @property
    def is_open(self) -> bool:
        """True if there is still something to do: send it, wait for it or look for it."""
        return self in OPEN_STATES


IN_FLIGHT_STATES = (JobState.SUBMITTING, JobState.SUBMITTED)
OPEN_STATES = (JobState.PLANNED, *IN_FLIGHT_STATES)
NO_IMAGE_STATES = (JobState.FAILED, JobState.HELD)
ENDED_STATES = (JobState.SUCCEEDED, *NO_IMAGE_STATES)
"""A job in one of these is not touched again unless the user asks for it."""


@dataclass(frozen=True, slots=True)
class EndedFilter:
    """Filter on the jobs that ended without an image."""

    states: frozenset[JobState]
    """Of `FAILED` and `HELD`."""
    kinds: frozenset[str] = frozenset()
    """Only those with one of these error kinds; empty: all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input, placed as exactly as it can be."""

    file: str
    """Path as the user gave it, `<stdin>` for standard input."""
    line: int | None
    """1-based line of a text format, 1-based row of Parquet; None when it concerns the whole file."""
    column: str | None
    """The column, as the file spells it; None when it concerns the whole row."""
    message: str
    """The problem, and what to do."""

    def __str__(self) -> str:
        """`file:line: column: message`, leaving out what is not known."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.column, self.message) if part)


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """An image that goes into another one."""

    address: str
    """Absolute path of a file, or an http or https address."""
    sha256: str
    """Of the file's bytes; of the address itself where it is one: nobody is asked for it while a batch is planned."""

    @property
    def is_file(self) -> bool:
        """True if it lies on this machine."""
        # Nothing else can be an address: `find_reference` makes every path absolute.
        return not self.address.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One row of a manifest, validated: what the user asked for, not yet what is sent."""

    line: int
    """1-based line (text formats) or row (Parquet) the row starts on; for a template, the template's line."""
    prompt: str
    """The user's text exactly as it stands in the file, edge spaces and newlines included."""
    id: str | None = None
    """The user's own name for the row; safe as a part of a file name once slugged."""
    negative_prompt: str | None = None
    backends: tuple[str, ...] = ()
    """Names of backend instances in the order in which they are tried; none: the default ones."""
    width: int | None = None
    """Pixels asked for."""
    height: int | None = None
    """Pixels asked for."""
    aspect_ratio: str | None = None
    """`W:H` in lowest terms as given, for example `16:9`."""
    steps: int | None = None
    seed: int | None = None
    """As given; None asks for a derived one."""
    image: str | None = None
    """Path or address of the image to start from, as it stands in the file."""
    mask: str | None = None
    """Likewise, of the part of it that is to change."""
    samples: int = 1
    """Number of images of this row."""
    model: str | None = None
    """The model that the row was written for; a backend with another one is refused."""
    file: str = ""
    """The file it stands in, as the user named it; a manifest can be several files."""
    format: str | None = None
    """`png`, `jpeg` or `webp`; None is the configuration's."""
    backend_opts: Mapping[str, Any] = field(default_factory=dict)
    """Options passed to the backend as they are."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The row's other columns, carried through to the metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One image to make: a `Prompt` with its backend, seed, number and identity settled."""

    job_id: str
    """sha256 (64 hex digits) of what decides the image; see `tasks.core.identity`."""
    position: int
    """Sort key: manifest order, batches of an earlier salt first."""
    id: str | None
    line: int
    sample: int
    """0-based number of the image among its row's `samples`."""
    prompt: str
    negative_prompt: str | None
    backend: str
    """The instance that makes it."""
    backend_type: str
    model: str
    width: int | None
    height: int | None
    aspect_ratio: str | None
    steps: int | None
    seed: int
    """The seed that is sent: the row's own, or one derived from `job_id`."""
    format: str
    backend_opts: Mapping[str, Any]
    extra: Mapping[str, Any]
    fallbacks: tuple[str, ...] = ()
    """Instances that try it next, in turn, where this one cannot serve it."""
    rerouted_from: str | None = None
    """The instance that was asked first, where another one makes it now."""
    image: ReferenceImage | None = None
    """The image to start from."""
    mask: ReferenceImage | None = None
    """The part of it that is to change; never without `image`."""

    @property
    def label(self) -> str:
        """A short name for people: the row's id, else the start of its prompt, then the sample."""
        # A first word that is longer than a label is cut; other words are left whole.
        name = (
            self.id
            or shorten(self.prompt, LABEL_CHARACTERS, placeholder="…").lstrip("…")
            or self.prompt[:LABEL_CHARACTERS]
        )
        # It goes into messages, names of task runs and tables: what a terminal obeys is shown as its code.
        name = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
        # The first image of a row is the usual one, and has no number.
        return f"{name} #{self.sample}" if self.sample else name


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job on its way to the ledger, with what only the planner knows."""

    job: Job
    duplicate_number: int
    """Number of rows of the same content before its own in the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The provider's side of one attempt."""

    prediction_id: str
    """The provider's id; enough to wait for, fetch or cancel it from another process."""
    model_version: str | None = None
    created_at: datetime | None = None
    """When it was created, by the provider's clock; None where nobody noted it."""
    output: Any = None
    """The place of the image, in whatever form the backend's own `fetch` reads; None until it is ready."""
    further: tuple[Any, ...] = ()
    """The same of images beside the first one, which nobody asked for: `fetch` takes each in place of `output`."""
    images: int = 1
    """Images that the service made, and may bill."""
    predict_time_s: float | None = None
    """Seconds of compute as the provider reports them."""
    cost_micros: int | None = None
    """Millionths of a dollar, as far as known."""
    cost_source: str | None = None
    """`reported` by the provider, `priced` from a price table, `free`; None with an unknown cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image on disk, measured from its own bytes."""

    file_name: str
    """Path relative to the output folder, with forward slashes."""
    width: int
    height: int
    format: str
    """The format of the bytes (`png`, `jpeg`, `webp`, ...), whatever was asked for."""
    bytes: int
    sha256: str
    """Of the file as it lies on disk, 64 hex digits."""
    provenance: str | None = None  # how the file says that it was generated: `iptc` or `c2pa`; None: it does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs of a batch by state; the states add up to `total`."""

    total: int = 0
    planned: int = 0
    submitting: int = 0
    submitted: int = 0
    succeeded: int = 0
    failed: int = 0
    held: int = 0
    rerouted: int = 0
    """Jobs that another backend has taken over from the one that was asked first."""
    reused: int = 0  # images that another batch made; they cost nothing here
    duplicates: int = 0
    """Jobs whose row's content stands earlier in the manifest too."""
    unwanted: int = 0
    """Planned jobs of an earlier plan that the last manifest does not want; no run or resume sends them."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Failed and held jobs by error kind."""
    cost_micros: int = 0
    """Known cost of all attempts so far, in millionths of a dollar."""
    cost_unknown: int = 0
    """Attempts that were made and whose cost is not known."""
