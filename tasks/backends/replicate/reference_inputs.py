"""Reference images of a prediction: addresses in its input, small files as data, larger ones uploaded before.

An upload is free and is kept for a day (Replicate docs, "Input files", read 2026-11), so each send makes its own. Its
address differs from send to send: only the process that sent it knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tasks.backends.replicate.models import ModelFacts
from tasks.backends.replicate.options import ReplicateOptions
from tasks.core.errors import JobError
from tasks.core.records import Job, ReferenceImage
from tasks.store.references import build_data_address, get_references, read_reference

MOST_DATA_BYTES = 256 * 1024
"""Larger ones belong into a file (Replicate docs, "Input files", read 2026-11)."""
LIST = "[]"
Upload = Callable[[bytes, str], Awaitable[str]]
"""Puts an image (its bytes, its sha256) where the model can fetch it; gives its address. Free."""


@dataclass(frozen=True, slots=True)
class ReferenceInputs:
    """Names of a model's inputs for reference images, by column."""

    names: Mapping[str, str]

    @classmethod
    def of(cls, facts: ModelFacts, options: ReplicateOptions) -> ReferenceInputs:
        """Names from the configuration, else those known of the model."""
        names = {"image": options.image_input or facts.image, "mask": options.mask_input or facts.mask}
        return cls({column: name for column, name in names.items() if name is not None})

    def standing(self, job: Job) -> dict[str, Any]:
        """The inputs as they are known before a send: an upload is its file's name."""
        return self._values(job, {column: found.address for column, found in get_references(job).items()})

    async def recall(self, job: Job) -> tuple[dict[str, Any], dict[str, str]]:
        """The inputs as an earlier run sent them, and the sha256 of each file whose address only that run knew."""
        uploads: dict[str, str] = {}
        addresses: dict[str, str] = {}
        for column, found in get_references(job).items():
            # Recalled without uploading anything: what an upload became is known to the run that made it alone.
            with suppress(_Uploaded, JobError):
                addresses[column] = await _prepare_address(found, _refuse_upload)
                continue
            if name := self.names.get(column):
                uploads[name.removesuffix(LIST)] = found.sha256
        return self._values(job, addresses), uploads

    async def build_sent(self, job: Job, upload: Upload) -> dict[str, Any]:
        """The inputs as they are sent now.

        Raises:
            Rejected: A file is gone or has changed. Nothing was sent.
        """
        addresses = {column: await _prepare_address(found, upload) for column, found in get_references(job).items()}
        return self._values(job, addresses)

    def _values(self, job: Job, addresses: Mapping[str, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for column, address in addresses.items():
            if name := self.names.get(column):
                values[name.removesuffix(LIST)] = [address] if name.endswith(LIST) else address
        return values


class _Uploaded(Exception):
    """Raised in place of an upload."""


async def _refuse_upload(_data: bytes, _sha256: str) -> str:
    raise _Uploaded


async def _prepare_address(reference: ReferenceImage, upload: Upload) -> str:
    if not reference.is_file:
        return reference.address
    data = await asyncio.to_thread(read_reference, reference)
    return build_data_address(data) if len(data) <= MOST_DATA_BYTES else await upload(data, reference.sha256)
