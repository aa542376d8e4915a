"""Batches that are waited for: each is polled and downloaded once, for all of its jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.client.batches.results import BatchResults
from tasks.backends.client.batches.service import ENDED, BatchService
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, JobError, OutputGone
from tasks.core.retry import retry_look
from tasks.core.temporary_folder import TemporaryFolder


class EndedBatches:
    """Results of batches, by their ids; usable inside one event loop."""

    def __init__(
        self, api: BatchService, *, clock: Clock, poll_s: float, explain: Callable[[BaseException], str]
    ) -> None:
        """Wait for nothing yet; `poll_s` lie between two looks, `explain` writes an error without secrets."""
        self._api = api
        self._clock = clock
        self._poll_s = poll_s
        self._explain = explain
        self._tasks: dict[str, asyncio.Task[BatchResults]] = {}

    async def get(self, batch_id: str) -> BatchResults:
        """The results of a batch, once it has ended and its files are here.

        Raises:
            OutputGone: The provider has deleted the batch, or its files.
            JobError: The files cannot be had.
            BatchStopped: The disk is full, or the key is no longer accepted.
        """
        if batch_id not in self._tasks:
            self._tasks[batch_id] = asyncio.create_task(self._collect(batch_id))
        task = self._tasks[batch_id]
        try:
            # Shielded: one job that is cancelled does not end the wait of the others.
            return await asyncio.shield(task)
        except OutputGone as exc:
            # An error of its own for each job: the engine writes into it what that job cost.
            raise OutputGone(str(exc), cost_micros=None) from exc
        except httpx.HTTPError as exc:
            reason = self._explain(exc)
            raise JobError(f"its batch's files cannot be had ({reason})", kind="unfetched", cost_micros=None) from exc
        finally:
            # Whoever comes later asks anew.
            if task.done() and self._tasks.get(batch_id) is task and (task.cancelled() or task.exception()):
                del self._tasks[batch_id]

    def drop_read(self, batch_id: str, results: BatchResults) -> None:
        """Remove the files of a batch whose lines were all read: they are gigabytes."""
        if results.all_read():
            results.remove()
            self._tasks.pop(batch_id, None)

    async def close(self) -> None:
        """Stop waiting, and remove what was downloaded."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if "_folder" in vars(self):
            self._folder.cleanup()
            del self._folder

    async def _collect(self, batch_id: str) -> BatchResults:
        while (batch := await self._look(batch_id)).get("status") not in ENDED:
            await self._clock.sleep(self._poll_s)
        try:
            return await self._download(batch_id, batch)
        except OSError as exc:
            raise BatchStopped(
                "disk",
                f"a batch cannot be downloaded into the folder for temporary files ({exc.strerror or exc}): free some "
                "space or set TMPDIR to another one, then resume; nothing is paid twice",
            ) from exc

    async def _look(self, batch_id: str) -> dict[str, Any]:
        """The batch; trouble with the look says nothing about it, so it is looked at again, for as long as it takes."""
        while True:
            try:
                return await self._api.get(batch_id)
            except httpx.HTTPError:
                await self._clock.sleep(self._poll_s)

    async def _download(self, batch_id: str, batch: dict[str, Any]) -> BatchResults:
        paths = []
        # Lines that failed stand in a file of their own, and either file may be missing.
        for name in ("output_file_id", "error_file_id"):
            if file_id := batch.get(name):
                paths.append(Path(self._folder.name) / f"{batch_id}-{name}.jsonl")
                download = retry_look(httpx.HTTPError, self._clock.sleep)
                await download(self._api.download, str(file_id), paths[-1])
        return await asyncio.to_thread(BatchResults, batch, paths)

    @cached_property
    def _folder(self) -> TemporaryFolder:
        return TemporaryFolder()
