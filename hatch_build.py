"""Build hook: copies files of the checkout that the documentation promises into the wheel.

Hatchling's own `force-include` would copy them into site-packages for an editable install too, as a second `tasks` folder.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedFiles(BuildHookInterface):
    """Adds the files that `pyproject.toml` lists under `copies`, to standard wheels only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the copies to the build, unless it is an editable one."""
        if version != "editable":
            build_data["force_include"].update(self.config["copies"])
