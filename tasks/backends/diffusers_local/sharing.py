"""One loaded pipeline for each model and device of the process, however many instances and batches use it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tasks.backends.diffusers_local.device import PipelineSpec
from tasks.backends.diffusers_local.pipelines import load_pipeline
from tasks.backends.diffusers_local.worker import PipelineWorker

_lock = threading.Lock()
_shared: dict[PipelineSpec, _Shared] = {}
"""Workers stay when nobody uses them, without their models: they know how much the memory holds."""
_threads: dict[str, ThreadPoolExecutor] = {}
"""By device: two models on one device take turns."""
_FIRST = frozenset({"auto", "cuda", "cuda:0", "mps"})
"""Names of one device, whichever of them this machine has; `auto` where there is no GPU is no worse for it."""


@dataclass(slots=True)
class _Shared:
    worker: PipelineWorker
    users: int = 0


def acquire_worker(spec: PipelineSpec) -> PipelineWorker:
    """The worker for this model on this device; give it back with `return_worker`. Loads nothing yet."""
    with _lock:
        if spec not in _shared:
            device = "first" if spec.device in _FIRST else spec.device
            if device not in _threads:
                _threads[device] = ThreadPoolExecutor(1, thread_name_prefix=f"diffusers-{device}")
            _shared[spec] = _Shared(PipelineWorker(lambda: load_pipeline(spec), _threads[device]))
        shared = _shared[spec]
        shared.users += 1
        return shared.worker


def release_worker(spec: PipelineSpec) -> None:
    """Give a worker back; the last one unloads the model."""
    with _lock:
        shared = _shared[spec]
        # The model goes with the last user, so that an idle process holds no gigabytes.
        shared.users -= 1
        if not shared.users:
            shared.worker.unload()
