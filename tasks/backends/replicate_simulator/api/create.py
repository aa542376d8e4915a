"""`POST .../predictions`: the one call that costs money, and everything that can become of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import (
    BAD_GATEWAY_PAGE,
    GATEWAY_TIMEOUT_PAGE,
    build_json,
    build_page,
    drop_connection,
)
from tasks.backends.replicate_simulator.api.input_check import check_input, parse_body
from tasks.backends.replicate_simulator.api.problems import (
    InvalidField,
    Problem,
    build_insufficient_credit,
    build_internal_error,
    build_invalid_input,
    build_invalid_version,
    build_not_found,
)
from tasks.backends.replicate_simulator.models import MODELS, Model, find_by_reference
from tasks.backends.replicate_simulator.predictions import NEVER, Prediction, build_created, build_synchronous
from tasks.backends.replicate_simulator.provider import Provider, describe_content

ACCOUNT = "simulator"
"""Owner of the deployments: one for each model, by its name."""
LONGEST_WAIT_S = 60
LOOK_S = 0.1
_PREFER_WAIT = re.compile(r"wait(?:=([1-9]|[1-5][0-9]|60))?")
_CANCEL_AFTER = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
SHORTEST_DEADLINE_S, LONGEST_DEADLINE_S = 5, 86_400
"""Replicate's HTTP reference, `Cancel-After`, read 2026-11."""


class Creates:
    """The three ways to create a prediction."""

    def __init__(self, provider: Provider) -> None:
        """Create at `provider`."""
        self._provider = provider
        self.closing = asyncio.Event()
        """Set when the server stops: calls that are never answered end."""

    async def by_model(self, request: web.Request) -> web.StreamResponse:
        """`/v1/models/{owner}/{name}/predictions`."""
        body = parse_body(await request.read(), needs_version=False)
        model = MODELS.get("{owner}/{name}".format_map(request.match_info))
        return await self._create(request, body, model, build_not_found)

    async def by_version(self, request: web.Request) -> web.StreamResponse:
        """`/v1/predictions`."""
        body = parse_body(await request.read(), needs_version=True)
        return await self._create(request, body, find_by_reference(str(body["version"])), build_invalid_version)

    async def by_deployment(self, request: web.Request) -> web.StreamResponse:
        """`/v1/deployments/{owner}/{name}/predictions`."""
        body = parse_body(await request.read(), needs_version=False)
        owner, name = request.match_info["owner"], request.match_info["name"]
        models = {model.name: model for model in MODELS.values()} if owner == ACCOUNT else {}
        return await self._create(request, body, models.get(name), build_not_found, deployment=f"{owner}/{name}")

    async def _create(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        model: Model | None,
        unknown: Callable[[], Problem],
        *,
        deployment: str | None = None,
    ) -> web.StreamResponse:
        if model is None:
            raise unknown()
        # The order of the checks is the service's: the rate first, then the input, then credit.
        values = body["input"]
        subject, prompt = describe_content(model, values), str(values.get("prompt", ""))
        # Faults follow from the content, not from the order of calls: concurrent runs meet the same ones.
        low_credit = self._strikes("low_credit", subject, prompt)
        headers = self._provider.rates.pass_create(low_credit=low_credit)
        check_input(model, values)
        deadline_after_s = _parse_deadline_s(request.headers.get("Cancel-After"))
        refusal = self._refusal(request, subject, prompt)
        if refusal is not None:
            return refusal
        # From here on it exists, whatever becomes of the answer.
        prediction = self._provider.create(model, values, deadline_after_s=deadline_after_s, deployment=deployment)
        lost = await self._lost_answer(request, prediction)
        return lost or await self._answer(request, prediction, headers)

    def _strikes(self, name: str, subject: str, prompt: str) -> bool:
        return self._provider.plan.strikes(name, subject, prompt) is not None

    def _refusal(self, request: web.Request, subject: str, prompt: str) -> web.Response | None:
        """The answer of the first fault that keeps the prediction from being created."""
        problems: Mapping[str, Callable[[], Problem]] = {
            "not_found": build_not_found,
            "invalid_input": _build_invalid_input,
            "throttled": self._provider.rates.throttled,
            "server_error_500": build_internal_error,
            "insufficient_credit": build_insufficient_credit,
        }
        if self._strikes("bad_gateway_html_502", subject, prompt):
            return build_page(BAD_GATEWAY_PAGE, 502)
        if self._strikes("drop_before_create", subject, prompt):
            return drop_connection(request)
        for name, problem in problems.items():
            if self._strikes(name, subject, prompt):
                raise problem()
        return None

    async def _lost_answer(self, request: web.Request, prediction: Prediction) -> web.Response | None:
        """The answer of the first fault that keeps the client from learning of the prediction."""
        subject, prompt = prediction.request.content, prediction.request.prompt
        if self._strikes("timeout_504_after_create", subject, prompt):
            return build_page(GATEWAY_TIMEOUT_PAGE, 504)
        if self._strikes("drop_after_create", subject, prompt):
            return drop_connection(request)
        if self._strikes("hang_after_create", subject, prompt):
            await self.closing.wait()
            return drop_connection(request)
        if self._strikes("unreadable_2xx_after_create", subject, prompt):
            text = json.dumps(build_created(prediction, self._provider.api_url))
            return web.Response(text=text[: len(text) // 2], status=201, content_type="application/json")
        return None

    async def _answer(
        self, request: web.Request, prediction: Prediction, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        api_url = self._provider.api_url
        location = {**headers, "Location": f"{api_url}/v1/predictions/{prediction.prediction_id}"}
        prefer = _PREFER_WAIT.fullmatch(request.headers.get("Prefer", ""))
        if prefer is None:
            return build_json(build_created(prediction, api_url), status=201, headers=location)
        has_ended = await self._wait(prediction, float(prefer[1] or LONGEST_WAIT_S))
        return build_json(
            build_synchronous(prediction, api_url, self._provider.now_s()),
            # Captured: 201 for a finished one; 202 for "does not yet have all outputs" is in the OpenAPI file.
            status=201 if has_ended else 202,
            headers={**location, "preference-applied": prefer[0]},
        )

    async def _wait(self, prediction: Prediction, patience_s: float) -> bool:
        """True if the prediction ended in time; a cancel by another call ends it too."""
        until_s = self._provider.now_s() + patience_s
        while not prediction.has_ended(now_s := self._provider.now_s()):
            if now_s >= until_s:
                return False
            ends_in_s = min(prediction.ended_s, until_s) - now_s
            # In short looks, because a cancel by another call ends the wait.
            await self._provider.clock.sleep(min(ends_in_s, LOOK_S * self._provider.settings.speed))
        return True


def _parse_deadline_s(header: str | None) -> float:
    """Seconds until a prediction is to be stopped.

    Raises:
        Problem: 422 for what is no duration between five seconds and a day.
    """
    if header is None:
        return NEVER
    match = _CANCEL_AFTER.fullmatch(header.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    after_s = hours * 3_600 + minutes * 60 + seconds
    if not SHORTEST_DEADLINE_S <= after_s <= LONGEST_DEADLINE_S:
        raise Problem(422, "Cancel-After is no duration between 5s and 24h.")
    return after_s


def _build_invalid_input() -> Problem:
    allowed = '"webp", "jpg", "png"'
    description = f"output_format must be one of the following: {allowed}"
    return build_invalid_input([InvalidField("enum", "input.output_format", description)])
