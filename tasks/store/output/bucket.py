"""The output is in a bucket of object storage (S3 and what speaks its protocol, Google, Azure).

A PUT of an object is atomic, so there are no temporary names: a file is there whole, or the one before it is. The
ledger and its lock stay on this machine; the object `ledger.json` says so to every other.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from tasks.core.atomic_files import make_temporary_name
from tasks.core.errors import BatchStopped, OutputError
from tasks.core.paths import POINTER_NAME, find_batches
from tasks.core.text import format_command
from tasks.store.disk import stop_when_full
from tasks.store.output.base import File, Output, check_contained
from tasks.store.output.bucket_client import connect, get_content_type
from tasks.store.output.bucket_errors import STORE_ERRORS, get_reason
from tasks.store.output.bucket_url import BucketUrl, parse_bucket_url
from tasks.store.output.ledger_claim import create_claim, explain_elsewhere, follow_pointer, forget, keep, read_kept

PATIENCE_S = 60.0
"""With a storage that goes away in the middle of a batch."""
CHECK_PATIENCE_S = 10.0
"""With one that is away before anything was spent, when a person waits."""
LISTED_AT_ONCE = 1_000
MOST_FOLDERS = 10_000
"""Folders of a bucket that are looked into for batches: one request each, and more for many files."""
PROBE_NAME = ".imagen-probe"


class OutputBucket:
    """A prefix in a bucket that holds the images and the table; the ledger is elsewhere."""

    def __init__(self, url: BucketUrl) -> None:
        """The place at `url`; nothing is asked yet."""
        self._url = url
        self._is_away = False

    def __str__(self) -> str:
        """The URL as the user gave it."""
        return str(self._url)

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return PurePosixPath(self._url.prefix).name or self._url.bucket

    @property
    def address(self) -> str:
        """The URL."""
        return str(self._url)

    @property
    def home(self) -> Path:
        """A folder of this user's state, derived from the URL."""
        return self._url.home

    def ledger_folder(self) -> Path:
        """The folder on this machine; the bucket is asked only where that knows of no ledger."""
        # No request for a batch of this machine: `status` works without a network.
        if read_kept(self.home) is None:
            if (there := self.read(POINTER_NAME)) is None:
                raise OutputError(f"{self}: is not the output of a batch (it has no {POINTER_NAME})")
            follow_pointer(there, self)
        return self.home

    def below(self) -> Iterator[Output]:
        """This place or every batch's below it: those in the bucket, and those that only this machine knows.

        Where the ledger of one is, is not asked; `ledger_folder` says it.
        """
        known = {self._url.of(folder) for folder in find_batches(self.home) if read_kept(folder) is not None}
        for url in sorted(known | set(self._list_batches()), key=str):
            yield OutputBucket(url)

    def _list_batches(self) -> Iterator[BucketUrl]:
        """Find the places that hold a `ledger.json`. Folders inside a batch are not listed: it may have a million files."""
        # Prefix by prefix, because a flat listing would go through every image.
        left, looked = [self._url.prefix], 0
        with self._refused_before_start():
            while left and looked < MOST_FOLDERS:
                prefix, looked = left.pop(), looked + 1
                found = obstore.list_with_delimiter(self._impatient, prefix or None)
                if any(PurePosixPath(each["path"]).name == POINTER_NAME for each in found["objects"]):
                    yield replace(self._url, prefix=prefix)
                else:
                    left.extend(found["common_prefixes"])

    def check(self) -> None:
        """Write and remove a small object, and see where the ledger is."""
        with self._refused_before_start():
            # Only a write shows that keys, bucket and permission are right, before anything is paid.
            obstore.put(self._impatient, self._key(PROBE_NAME), b"")
            # Who may write and not remove keeps an empty object.
            with suppress(*STORE_ERRORS):
                obstore.delete(self._impatient, self._key(PROBE_NAME))
        if (there := self.read(POINTER_NAME)) is not None:
            follow_pointer(there, self)

    def claim(self, *, first: bool) -> None:
        """Create `ledger.json` where there is none, and see that it is ours."""
        there = self.read(POINTER_NAME)
        if there is None and not first:
            raise OutputError(
                f"{self}: has no {POINTER_NAME} any more, but this machine knows a batch there ({self.home}). Is it the "
                "same endpoint? Where the bucket was emptied, remove that folder to begin anew, and pay anew"
            )
        if there is None:
            there = self._create_pointer()
        if there != read_kept(self.home):
            # The claim that this machine has just kept is worthless, and would look like a batch of its own.
            if first:
                forget(self.home)
            raise explain_elsewhere(there, self)

    async def write(self, make: Callable[[], File]) -> File:
        """Make the file in a thread, and send it from the event loop."""
        file = await asyncio.to_thread(make)
        check_contained(file.name, self)
        # From the loop: the client is asynchronous, and a thread per upload would wait for nothing else.
        await self._send(file.name, file.data)
        return file

    def check_in_place(self) -> None:
        """Nothing: a bucket is not renamed."""

    @asynccontextmanager
    async def replacing(self, name: str) -> AsyncIterator[Path]:
        """A temporary file on this machine, sent in parts; it is seen when all of them have arrived."""
        temporary = make_temporary_name(self.home)
        try:
            with stop_when_full(self, disk=self.home):
                self.home.mkdir(parents=True, exist_ok=True)
                yield temporary
            # In parts from the disk: the table of a large batch does not fit into memory.
            await self._send(name, temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """The object's bytes."""
        check_contained(name, self)
        with self._refused_before_start():
            try:
                return obstore.get(self._impatient, self._key(name)).bytes().to_bytes()
            except FileNotFoundError as exc:
                # "Not found" is said of both; without a bucket there is more wrong than a missing file.
                if "NoSuchBucket" in str(exc):
                    raise
                return None

    def has(self, name: str) -> bool:
        """True if there is such an object; its bytes stay where they are."""
        return self.get_size(name) is not None

    def get_size(self, name: str) -> int | None:
        """By a request for the object's head."""
        with self._refused_before_start():
            try:
                return obstore.head(self._impatient, self._key(name))["size"]
            except FileNotFoundError:
                return None

    async def names(self, folder: str) -> set[str]:
        """One request for a thousand objects."""
        return set(await self.sizes(folder))

    async def sizes(self, folder: str) -> dict[str, int]:
        """One request for a thousand objects."""
        found: dict[str, int] = {}
        with self._refused_before_start():
            async for objects in obstore.list(self._impatient, self._key(folder), chunk_size=LISTED_AT_ONCE):
                found.update((self._url.name(each["path"]), each["size"]) for each in objects)
        return found

    async def remove(self, names: Iterable[str]) -> None:
        """One request for a thousand objects. Who may write and not remove keeps them, as is said of `check`."""
        if keys := [self._key(name) for name in names]:  # an empty request is an error in S3
            with suppress(*STORE_ERRORS):
                await obstore.delete_async(self._impatient, keys)

    def address_from(self, other: Output) -> str | None:
        """Relative, and only within one bucket: what address leads to another is not known here."""
        seen_from = parse_bucket_url(str(other))
        if seen_from is None or seen_from.root != self._url.root:
            return None
        if seen_from == self._url:
            return ""
        return quote(posixpath.relpath(f"/{self._url.prefix}", f"/{seen_from.prefix}")) + "/"

    async def _send(self, name: str, content: bytes | Path) -> None:
        # One that was away for a minute is not tried for a minute by each image that is still in flight.
        store = self._impatient if self._is_away else self._patient
        attributes = {"Content-Type": get_content_type(name)}
        try:
            await obstore.put_async(store, self._key(name), content, attributes=attributes)
        except STORE_ERRORS as exc:
            # Each of a thousand images in flight would else wait out the patience of its own.
            self._is_away = True
            reason = get_reason(exc, self._url)
            raise BatchStopped(
                "storage",
                f"{self}: {reason} and run `{format_command('resume', self)}`; nothing is paid twice",
                why=reason,
            ) from exc
        self._is_away = False

    def _create_pointer(self) -> bytes:
        """Create `ledger.json` unless somebody else did meanwhile; the one that is there now."""
        if (ours := read_kept(self.home)) is None:
            ours = create_claim(self.home)
            keep(self.home, ours)
        with self._refused_before_start(), suppress(AlreadyExistsError):
            try:
                obstore.put(self._impatient, self._key(POINTER_NAME), ours, mode="create")
            except NotImplementedError:  # AWS_CONDITIONAL_PUT=disabled: this server knows no "only if there is none"
                obstore.put(self._impatient, self._key(POINTER_NAME), ours)
        # Read again: a server may ignore the condition, and a lost answer leaves ours there.
        return self.read(POINTER_NAME) or ours

    @contextmanager
    def _refused_before_start(self) -> Iterator[None]:
        try:
            yield
        except STORE_ERRORS as exc:
            raise OutputError(f"{self}: {get_reason(exc, self._url)}") from exc

    def _key(self, name: str) -> str:
        return self._url.key(name)

    @cached_property
    def _patient(self) -> ObjectStore:
        return connect(self._url, patience_s=PATIENCE_S)

    @cached_property
    def _impatient(self) -> ObjectStore:
        return connect(self._url, patience_s=min(CHECK_PATIENCE_S, PATIENCE_S))
