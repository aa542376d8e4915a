"""docs/backends.md: what it shows can be used as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tasks.backends import EMBEDDED_TYPES, build_backend
from tasks.core.settings import Settings
from tests.support.fakes.comfyui import WORKFLOW

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
