"""The surroundings of every test: folders of its own, and none of the developer's settings, pane or identity."""

from __future__ import annotations

import atexit
import gc
import os
import warnings
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.support.surroundings import NO_TELEMETRY, PERSONAL_PREFIXES

if "PYTEST_XDIST_WORKER" in os.environ:
    # Registered first and so called last: its results are told. Python would free a million objects one by one, for a second.
    atexit.register(os._exit, 0)
os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"  # the only one would load trio, and look through all objects of the process

SHARE_WHILE_A_SERVER_STARTS = 10
"""One in so many of the short tests of a process comes before its long ones."""

pytest_plugins = [
    "tests.support.memory",
    "tests.support.services.browser",
    "tests.support.services.keeper",
    "tests.support.services.object_storage",
    "tests.support.services.postgresql",
    "tests.support.services.prefect_service",
    "tests.support.services.supabase",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what stays: half a million objects, a quarter of the CPU of collecting the tests in each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.unfreeze()  # into the oldest generation, which is rarely looked through
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Show the garbage collector what a flow in this process froze, once: pytest itself then looks twice at what is new only."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries complain of what is left when Python ends


@pytest.hookimpl(trylast=True)  # after `-m`: shares are counted in the tests that run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin in every process with its share of the long tests, so that none of them is the last to be begun.

    A process of pytest-xdist first gets the next so many of the tests, and takes those of others when it has none left.
    The first one gets all tests of local models: loading torch takes seconds of CPU and half a gigabyte in each process.
    It also starts the server that long tests share; the others have short ones to do meanwhile. The second one gets all
    tests of a server with a scheduler, which would else be started in each process, and is at work while nobody asks it.
    """
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    if processes == 1:
        return
    long: list[pytest.Item] = []
    kept: dict[str, list[pytest.Item]] = {"tiny_flux": [], "prefect_service": []}
    others: list[pytest.Item] = []
    for item in items:
        fixture = next((name for name in kept if name in getattr(item, "fixturenames", ())), None)
        by_length = long if item.get_closest_marker("server") else others
        (by_length if fixture is None else kept[fixture]).append(item)
    # What is long by itself comes first, and what an idle process may take over comes last.
    own = [[*long[0::processes], *kept["tiny_flux"]], [*kept["prefect_service"], *long[1::processes]]]
    own += [long[number::processes] for number in range(2, processes)]
    ordered: list[pytest.Item] = []
    for number in range(processes):
        size = (len(items) - len(ordered)) // (processes - number)
        share = own[number]
        rest = max(0, size - len(share))
        before = 0 if number < 2 else rest // SHARE_WHILE_A_SERVER_STARTS
        ordered += [*others[:before], *share, *others[before:rest]]
        others = others[rest:]
    items[:] = ordered


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apart from the tests' folders: each of these looks through all of its neighbours for the highest number."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def _private_environment(_homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PERSONAL_PREFIXES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", mkdtemp(dir=_homes))
    for name, value in NO_TELEMETRY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that exists and is empty."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real FLUX pipeline with random weights; skips where the extra `local` is not installed."""
    if find_spec("torch") is None or find_spec("diffusers") is None:
        pytest.skip("NOT RUN: the extra `local` is not installed (`make local` does it where it can)")
    with warnings.catch_warnings():
        # What torch and transformers say about their own modules while they are imported.
        warnings.simplefilter("ignore")
        import diffusers.pipelines.auto_pipeline  # noqa: F401, PLC0415  seconds, for the tests that need it
        import torch  # noqa: PLC0415  likewise

        from tests.support.tiny_pipeline import save_tiny_flux  # noqa: PLC0415  likewise
    torch.set_num_threads(1)
    return save_tiny_flux(tmp_path_factory.mktemp("tiny-flux"))
