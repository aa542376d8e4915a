"""The tiny pipeline behind the backend, and a pipeline that does as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.backends.diffusers_local import sharing
from tasks.backends.diffusers_local.device import PipelineSpec
from tasks.backends.diffusers_local.pipelines import LoadedPipeline, load_pipeline

SMALL = {"default_width": 32, "default_height": 32, "default_steps": 2, "backend_opts": {"max_sequence_length": 16}}


@dataclass
class WatchedPipe:
    """The real pipeline, watched: what it was asked for, and what a test lets go wrong."""

    pipe: Any
    sizes: list[int] = field(default_factory=list)
    """Images of each call."""
    before: Callable[[dict[str, Any]], None] = field(default=lambda _: None)
    """Called with each call's arguments; may raise."""
    flag: Callable[[str], bool] = field(default=lambda _: False)

    def __call__(self, **arguments: Any) -> Any:
        self.sizes.append(len(arguments["prompt"]))
        self.before(arguments)
        made = self.pipe(**arguments)
        return SimpleNamespace(images=made.images, nsfw_content_detected=list(map(self.flag, arguments["prompt"])))


@dataclass
class Loads:
    """The pipelines that the process has loaded."""

    pipes: list[WatchedPipe] = field(default_factory=list)
    prepare: Callable[[WatchedPipe], None] = field(default=lambda _: None)
    """Called with each new one."""

    @property
    def last(self) -> WatchedPipe:
        return self.pipes[-1]

    def load(self, spec: PipelineSpec) -> LoadedPipeline:
        loaded = load_pipeline(spec)
        watched = WatchedPipe(loaded.pipe)
        self.pipes.append(watched)
        self.prepare(watched)
        return replace(loaded, pipe=watched)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loads]:
    """Watches every pipeline that the backend loads; none is left loaded at the end."""
    watching = Loads()
    workers: dict[PipelineSpec, sharing._Shared] = {}
    monkeypatch.setattr(sharing, "load_pipeline", watching.load)
    monkeypatch.setattr(sharing, "_shared", workers)
    yield watching
    assert not any(shared.users for shared in workers.values())


@pytest.fixture
def instance(tiny_flux: Path) -> dict[str, Any]:
    """An instance of the tiny pipeline that makes small images, as `open_batch_with` takes it."""
    return {"type": "diffusers", "model": str(tiny_flux), **SMALL}
