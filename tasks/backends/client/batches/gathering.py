"""Jobs on their way into a batch: gathered until it is full, or no job has come for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tasks.backends.client.batches.service import BatchLine


class BatchGatherer:
    """Gathers lines and sends them together; each one that waits learns the batch's id, or why there is none."""

    def __init__(
        self,
        send: Callable[[Sequence[BatchLine]], Awaitable[str]],
        *,
        most: int,
        quiet_s: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Send at most so many lines at once, or those that are there when none has come for `quiet_s`."""
        self._send = send
        self._most = most
        self._quiet_s = quiet_s
        self._sleep = sleep
        self._waiting: list[tuple[BatchLine, asyncio.Future[str]]] = []
        self._timer: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def add(self, asked: BatchLine) -> str:
        """The id of the batch that holds the line, once it is created.

        Raises:
            Exception: Whatever the sending raised, for each line of the batch.
        """
        created: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, created))
        # Each new job starts the wait anew; jobs come in a burst while the plan is read.
        if self._timer is not None:
            self._timer.cancel()
        # A full batch goes at once.
        if len(self._waiting) >= self._most:
            self._flush()
        else:
            self._timer = asyncio.create_task(self._flush_when_quiet())
        return await created

    async def close(self) -> None:
        """Send nothing more; what is being sent is waited for."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def _flush_when_quiet(self) -> None:
        await self._sleep(self._quiet_s)
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        # Who was cancelled while it waited is not paid for.
        # Whoever was cancelled has no line: its job would be paid for with nobody to take the image.
        group = [(asked, created) for asked, created in self._waiting if not created.done()]
        self._waiting = []
        if group:
            sending = asyncio.create_task(self._send_group(group))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send_group(self, group: Sequence[tuple[BatchLine, asyncio.Future[str]]]) -> None:
        try:
            batch_id = await self._send([asked for asked, _ in group])
        except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
            for _, created in group:
                if not created.done():
                    created.set_exception(exc)
        else:
            for _, created in group:
                if not created.done():
                    created.set_result(batch_id)
