"""Endpoints for rehearsals only: the truth, and other faults from now on. Not part of Replicate's API, not counted."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import build_json
from tasks.backends.replicate_simulator.faults import FAULTS, Rule, build_rule, parse_rule
from tasks.backends.replicate_simulator.provider import Provider


class Control:
    """`/_simulator/truth` and `/_simulator/faults`."""

    def __init__(self, provider: Provider) -> None:
        """Control `provider`."""
        self._provider = provider

    async def truth(self, _: web.Request) -> web.Response:
        """The account as JSON."""
        return build_json(self._provider.truth().as_dict())

    async def faults(self, request: web.Request) -> web.Response:
        """Put other faults in force: a list of `NAME[:NUMBER]` or of objects with the fields of a `Rule`.

        The answer is the list of faults that there are.
        """
        try:
            self._provider.plan.replace(_parse_item(item) for item in json.loads(await request.read()))
        except (ValueError, TypeError) as exc:
            return build_json({"detail": str(exc)}, status=400)
        return build_json({fault.name: fault.shows for fault in FAULTS.values()})


def _parse_item(item: Any) -> Rule:
    return parse_rule(item) if isinstance(item, str) else build_rule(**item)
