"""Batches of waiting jobs through one loaded pipeline, in one thread: the device is never shared and seldom idle.

What jobs wait for at the same time and is alike goes through in one call. While the event loop's other threads encode
and store its images, the next call runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tasks.backends.diffusers_local.calls import Call
from tasks.backends.diffusers_local.device import free_memory, is_device_lost, is_out_of_memory
from tasks.backends.diffusers_local.model import shorten_error
from tasks.backends.diffusers_local.pipelines import Abandoned, LoadedPipeline, MadeImage
from tasks.core.errors import BatchStopped, JobError, Rejected

GATHER_S = 0.02
"""The time that a call that is not full waits for more jobs: a few per cent of the quickest image on the quickest GPU."""


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """A call that somebody waits for."""

    call: Call
    group: str
    """That of the call."""
    most: int
    """Images in one call at most, as the asker's configuration says."""
    image: Future[MadeImage] = field(default_factory=Future)
    spent_s: float = 0.0
    """Its share of the device's time so far."""

    def end(self, outcome: MadeImage | Exception) -> None:
        """Tell who waits, unless nobody does any more."""
        # A job that was cancelled has nobody to tell.
        if self.image.set_running_or_notify_cancel():
            if isinstance(outcome, MadeImage):
                self.image.set_result(outcome)
            else:
                self.image.set_exception(outcome)


class PipelineWorker:
    """One pipeline, loaded at the first request; usable from every thread and event loop."""

    def __init__(self, load: Callable[[], LoadedPipeline], thread: ThreadPoolExecutor) -> None:
        """Make calls in `thread`, which is an executor of one thread: that of the device."""
        self._load = load
        self._thread = thread
        self._pipeline: LoadedPipeline | None = None
        self._waiting: list[Request] = []
        self._arrived = threading.Condition()
        self._limits: dict[tuple[int, int], int] = {}
        """Images in one call at most, by their size, as memory has shown."""

    @property
    def version(self) -> str | None:
        """The loaded model's version."""
        return self._pipeline.version if self._pipeline else None

    def ask(self, call: Call, *, most: int) -> Request:
        """Queue a call; calls alike that wait together are made together, `most` at a time."""
        request = Request(call=call, group=call.group, most=most)
        with self._arrived:
            self._waiting.append(request)
            self._arrived.notify()
        # One turn for each request: a turn that finds its request made already does nothing.
        self._thread.submit(self._turn)
        return request

    def unload(self) -> None:
        """Give the memory back, when the call that runs has ended; the next request loads the model again."""
        self._thread.submit(self._unload)

    def _turn(self) -> None:
        # An earlier turn may have made it already.
        if not self._anyone_waits():
            return
        batch: list[Request] = []
        try:
            # First the model, which takes long: meanwhile more jobs come.
            # Loading takes minutes, and meanwhile more jobs gather into one call.
            if self._pipeline is None:
                self._pipeline = self._load()
            batch = self._next_batch()
            self._make(self._pipeline, self._acceptable(self._pipeline, batch))
        except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
            # A failure that was no sign of it may have spoiled the device: the next thing that touches it says so.
            error = _build_device_lost(exc) if is_device_lost(exc) else exc
            concerns_all = not batch or isinstance(error, BatchStopped)
            self._end([*batch, *(self._all_waiting() if concerns_all else [])], error)

    def _anyone_waits(self) -> bool:
        with self._arrived:
            self._waiting = [request for request in self._waiting if not request.image.cancelled()]
            return bool(self._waiting)

    def _next_batch(self) -> list[Request]:
        """The oldest request and those like it, taken out of the queue."""
        with self._arrived:
            size = self._most(self._waiting[0])
            self._arrived.wait_for(lambda: len(self._alike()) >= size, timeout=GATHER_S)
            batch = self._alike()[:size]
            self._waiting = [request for request in self._waiting if request not in batch]
        return batch

    def _alike(self) -> list[Request]:
        group = self._waiting[0].group
        return [request for request in self._waiting if request.group == group]

    def _all_waiting(self) -> list[Request]:
        with self._arrived:
            waiting, self._waiting = self._waiting, []
        return waiting

    def _most(self, request: Request) -> int:
        return min(request.most, self._limits.get((request.call.width, request.call.height), request.most))

    def _acceptable(self, pipeline: LoadedPipeline, batch: list[Request]) -> list[Request]:
        """Those that the pipeline takes; the others are told why not."""
        accepted = []
        # Refused here, because the pipeline would ignore it and the image would be another one.
        for request in batch:
            if problems := pipeline.problems(request.call):
                request.end(Rejected("; ".join(problems)))
            else:
                accepted.append(request)
        return accepted

    def _make(self, pipeline: LoadedPipeline, batch: list[Request]) -> None:
        """One call for all of them; where that fails, smaller ones.

        Raises:
            BatchStopped: The device is lost.
        """
        left = batch
        while left := [request for request in left if not request.image.cancelled()]:
            # Halved after each failure: memory is found out by asking for it.
            part = left[: self._most(left[0])]
            failure = self._failure(pipeline, part)
            if failure is None:
                left = left[len(part) :]
            elif isinstance(failure.error, BatchStopped):
                raise failure.error
            elif failure.out_of_memory and len(part) > 1:
                # Only here, outside of its handler, has the exception let go of the call's tensors.
                free_memory()
                # Kept for this size: the next call of it begins with what fitted.
                self._limits[part[0].call.width, part[0].call.height] = len(part) // 2
            else:
                left = left[len(part) :]
                # One of them caused it; the others are made again, one at a time.
                self._one_by_one(pipeline, part, failure.error)

    def _one_by_one(self, pipeline: LoadedPipeline, failed: list[Request], error: JobError) -> None:
        """Put the failure of a call down to the request that causes it."""
        if len(failed) == 1:
            # One image alone: nothing is left to try.
            free_memory()
            self._end(failed, error)
            return
        for request in failed:
            self._make(pipeline, [request])

    def _failure(self, pipeline: LoadedPipeline, batch: list[Request]) -> _Failure | None:
        """Make one call and hand out its images; None when that went well."""
        began_s = time.perf_counter()
        try:
            images = pipeline.make(
                [request.call for request in batch],
                abandoned=lambda: all(request.image.cancelled() for request in batch),
            )
        except Abandoned:
            return None
        except Exception as exc:  # noqa: BLE001  a pipeline may raise anything
            return _Failure.of(exc)
        finally:
            share_s = (time.perf_counter() - began_s) / len(batch)
            # The device's time is shared evenly: one call cannot say what each image took.
            for request in batch:
                request.spent_s += share_s
        for request, image in zip(batch, images, strict=True):
            request.end(image)
        return None

    def _end(self, requests: list[Request], error: Exception) -> None:
        for request in requests:
            if not request.image.done():
                request.end(error)

    def _unload(self) -> None:
        if self._pipeline is not None:
            self._pipeline = None
            free_memory()


@dataclass(frozen=True, slots=True)
class _Failure:
    """The meaning of a pipeline's exception; holds nothing of the exception itself."""

    error: JobError | BatchStopped
    out_of_memory: bool = False

    @classmethod
    def of(cls, exc: Exception) -> _Failure:
        if is_out_of_memory(exc):
            error = JobError(
                f"one image alone does not fit into the device's memory ({shorten_error(exc)})", kind="out_of_memory"
            )
            return cls(error, out_of_memory=True)
        if is_device_lost(exc):
            return cls(_build_device_lost(exc))
        return cls(
            Rejected(_format_error(exc)) if isinstance(exc, TypeError | ValueError) else JobError(_format_error(exc))
        )


def _build_device_lost(exc: Exception) -> BatchStopped:
    return BatchStopped("device", f"the device failed ({_format_error(exc)}); resume: it needs a new process")


def _format_error(exc: Exception) -> str:
    return f"{type(exc).__name__}: {shorten_error(exc)}"
