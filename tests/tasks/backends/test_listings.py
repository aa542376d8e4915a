"""docs/backends.md: what it shows can be used as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tasks.backends import EMBEDDED_TYPES, build_backend
from tasks.core.configuration.settings import Settings
from tasks.core.errors import Refused
from tests.support.fakes.backends import make_instance_job, open_backend
from tests.support.fakes.comfyui import WORKFLOW
from tests.support.raw_server import http, raw_server

PAGE = (Path(__file__).parents[3] / "docs/backends.md").read_text()
BLOCKS = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if not block.startswith("- {prompt:")]
"""Of the configuration; those of a manifest begin with a prompt."""


@pytest.mark.parametrize("block", BLOCKS)
def test_every_instance_that_the_page_shows_can_be_built(block: str) -> None:
    """Its settings exist and hold together."""
    text = block if block.startswith("backends:") else f"backends:\n{block}"
    instances = yaml.safe_load(text)["backends"]
    for instance in instances.values():
        # The page names a file of the reader's.
        if instance["type"] == "comfyui":
            instance["workflow"] = WORKFLOW
    settings = Settings.model_validate({"default_backend": next(iter(instances)), "backends": instances})
    for name in instances:
        build_backend(name, settings)


def test_every_type_has_its_section() -> None:
    """And every link of its table leads to one."""
    headings = re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {heading.partition(":")[0] for heading in headings} >= set(EMBEDDED_TYPES)
    assert set(re.findall(r"\(#([a-z-]+)\)", PAGE)) <= anchors


async def test_the_new_service_of_the_page_works_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 20 lines make an image at the stated cost, and tell a refused prompt, against an API of that shape."""
    [block] = [block for block in BLOCKS if "pixelforge" in block]
    assert len(block.splitlines()) <= 21
    monkeypatch.setenv("PIXELFORGE_KEY", "secret-key")
    async with raw_server() as server:
        text = block.replace("https://api.pixelforge.example", server.url).replace("*.pixelforge.example", "127.0.0.1")
        instance = yaml.safe_load(text)["backends"]["pixelforge"] | {"usual_latency_s": 0}
        done = {"id": "a1", "state": "done", "credits": 3, "files": [{"url": f"{server.url}/a1.png"}]}
        answers = [{"id": "a1", "state": "queued"}, {"id": "a1", "state": "drawing"}, done]
        blocked = [{"id": "a2"}, {"state": "blocked", "problem": "not this"}]
        server.answers = [
            *(http("200 OK", json.dumps({"job": job})) for job in answers),
            http("200 OK", "\x01 an image", "image/png"),
            *(http("200 OK", json.dumps({"job": job})) for job in blocked),
        ]
        backend = open_backend(instance)
        job = make_instance_job(instance)
        try:
            ended = await backend.wait(job, await backend.submit(job, attempt=1))
            assert await backend.fetch(job, ended) == b"\x01 an image"
            assert (ended.cost_micros, ended.cost_source) == (30_000, "reported")
            with pytest.raises(Refused, match="not this"):
                await backend.wait(job, await backend.submit(job, attempt=2))
        finally:
            await backend.close()
