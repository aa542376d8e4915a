"""Every call of the API but the creates: get, list, cancel, models, the account. They cost nothing."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import build_json
from tasks.backends.replicate_simulator.api.create import ACCOUNT
from tasks.backends.replicate_simulator.api.model_pages import build_model_page, build_version_page
from tasks.backends.replicate_simulator.api.problems import Problem, build_internal_error, build_not_found
from tasks.backends.replicate_simulator.models import MODELS, Model
from tasks.backends.replicate_simulator.predictions import NEVER, Prediction, build_full, build_listed
from tasks.backends.replicate_simulator.provider import Provider

PAGE = 100
DEPTH = 100_000


class Reads:
    """The free calls."""

    def __init__(self, provider: Provider) -> None:
        """Read from `provider`."""
        self._provider = provider

    async def get(self, request: web.Request) -> web.Response:
        """`/v1/predictions/{id}`."""
        subject = request.match_info["id"]
        self._perhaps_fail(subject)
        return self._break(subject) or self._full(self._known(request), subject=subject)

    async def cancel(self, request: web.Request) -> web.Response:
        """`POST /v1/predictions/{id}/cancel`."""
        prediction = self._known(request)
        prediction.cancel(self._provider.now_s())
        return self._full(prediction)

    async def list(self, request: web.Request) -> web.Response:
        """`/v1/predictions`: a page, the newest first."""
        self._perhaps_fail("list")
        if broken := self._break("list"):
            return broken
        query = request.query
        self._provider.tally.open_lists += "created_before" not in query
        after_s = _parse_instant_s(query.get("created_after"), -NEVER)
        before_s = _parse_instant_s(query.get("created_before"), NEVER)
        start = _parse_cursor(query["cursor"]) if "cursor" in query else None
        found = list(islice(self._provider.newest_first(start, after_s, before_s), PAGE + 1))
        following = None
        if len(found) > PAGE:
            cut = urlencode({**query, "cursor": _build_cursor(found[PAGE - 1][0])})
            following = f"{self._provider.api_url}{request.path}?{cut}"
        if found and self._provider.plan.strikes("list_loops", "list"):
            following = f"{self._provider.api_url}{request.path_qs}"
        results: list[Any] = [self._listed(prediction) for _, prediction in found[:PAGE]]
        if self._provider.plan.strikes("list_odd_entries", "list"):
            results = [None, 7, {"id": None}, {"id": {"a": 1}}, {"id": "half a \ud800 pair"}, *results]
        return build_json({"next": following, "previous": None, "results": results})

    async def model(self, request: web.Request) -> web.Response:
        """`/v1/models/{owner}/{name}`."""
        return build_json(build_model_page(_find_model(request)))

    async def version(self, request: web.Request) -> web.Response:
        """`/v1/models/{owner}/{name}/versions/{version}`."""
        model = _find_model(request)
        if request.match_info["version"] != model.version:
            raise build_not_found()
        return build_json(build_version_page(model))

    async def account(self, _: web.Request) -> web.Response:
        """`/v1/account`."""
        return build_json(
            {"type": "user", "username": ACCOUNT, "name": "Simulator", "github_url": None, "avatar_url": None}
        )

    def _known(self, request: web.Request) -> Prediction:
        prediction = self._provider.find(request.match_info["id"])
        if prediction is None:
            raise build_not_found()
        return prediction

    def _perhaps_fail(self, subject: str) -> None:
        if self._provider.plan.strikes("poll_429", subject):
            raise self._provider.rates.throttled()
        if self._provider.plan.strikes("poll_500", subject):
            raise build_internal_error()

    def _break(self, subject: str) -> web.Response | None:
        """An answer that no client can read."""
        if self._provider.plan.strikes("poll_deep_json", subject):
            return web.Response(body=b"[" * DEPTH + b"]" * DEPTH, content_type="application/json")
        return None

    def _full(self, prediction: Prediction, *, subject: str | None = None) -> web.Response:
        provider = self._provider
        is_gone = provider.is_gone(prediction)
        body = build_full(prediction, provider.api_url, provider.now_s(), is_gone=is_gone)
        if subject is not None and provider.plan.strikes("poll_odd_status", subject):
            body = {**body, "status": {"is": body["status"]}}
        return build_json(body)

    def _listed(self, prediction: Prediction) -> dict[str, Any]:
        provider = self._provider
        is_gone = provider.is_gone(prediction) or prediction.is_listed_bare
        body = build_listed(prediction, provider.api_url, provider.now_s(), is_gone=is_gone)
        if provider.plan.strikes("poll_odd_status", prediction.request.subject):
            body = {**body, "status": {"is": body["status"]}}
        return body


def _find_model(request: web.Request) -> Model:
    model = MODELS.get("{owner}/{name}".format_map(request.match_info))
    if model is None:
        raise build_not_found()
    return model


def _parse_instant_s(text: str | None, default: float) -> float:
    """Seconds since 1970 UTC of an ISO 8601 instant; a plus sign that was not escaped arrives as a space."""
    if text is None:
        return default
    try:
        return datetime.fromisoformat(text.replace(" ", "+")).timestamp()
    except ValueError:
        raise Problem(400, f"{text!r} is not an instant in ISO 8601.") from None


def _build_cursor(place: int) -> str:
    return urlsafe_b64encode(f"p={place}".encode()).decode()


def _parse_cursor(cursor: str) -> int:
    try:
        return int(urlsafe_b64decode(cursor).removeprefix(b"p="))
    except (NotBase64, ValueError):
        raise Problem(400, "Invalid cursor.") from None
