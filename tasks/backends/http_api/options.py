"""Settings of the type `http`, and every mistake in them that can be known before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tasks.backends.client.options import Address, read_secret
from tasks.backends.http_api.pointers import Pointer, can_hold
from tasks.backends.http_api.template import ENV, check, fill_address, find_names
from tasks.store.references import INPUTS

OF_THE_JOB = frozenset(
    {
        "prompt",
        "negative_prompt",
        "seed",
        "width",
        "height",
        "size",
        "aspect_ratio",
        "steps",
        "format",
        "model",
        "job_id",
        "batch",
    }
)
BASE64 = "_base64"
OF_PICTURES = frozenset(name + form for name in INPUTS for form in ("", BASE64))
"""Of the pictures that a job starts from; they are large, so they stand in the body only."""
OF_A_CREATE = OF_THE_JOB | {"attempt"}
OF_A_PREDICTION = frozenset({"id", "model"})
OF_A_LOOKUP = OF_THE_JOB | {"since"}
OF_A_HEADER = frozenset({"job_id", "batch", "attempt", "model", "id"})

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _check_header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a header")
    return value


HeaderName = Annotated[str, AfterValidator(_check_header_name)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Call(_Section):
    """One request."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="how it is asked")
    url: Address = Field(description="where; with placeholders")
    headers: dict[HeaderName, str] = Field(
        default_factory=dict, description="keys belong here, as Bearer {env:MY_API_KEY}"
    )
    body: dict[str, Any] | None = Field(None, description="sent as JSON; with placeholders; null: none")


class Lookup(Call):
    """How a prediction is looked for whose create was not answered."""

    items: Pointer = Field("", description="where the list stands in the answer")
    id: Pointer = Field("/id", description="where the id stands in an item")
    patience_s: float = Field(20.0, ge=0, le=600, description="how long one may take to show up there")


class States(_Section):
    """How an answer says whether a prediction has ended."""

    at: Pointer = Field(description="where the state stands")
    succeeded: list[str] = Field(min_length=1, description="names of the state of one that ended well")
    failed: list[str] = Field(min_length=1, description="names of the states of those that ended otherwise")


class Output(_Section):
    """Where the picture is."""

    kind: Literal["url", "base64", "bytes"] = Field("url", description="bytes: the answer itself is the picture")
    at: Pointer | None = Field(None, description="where it stands; null for bytes")

    @model_validator(mode="after")
    def _has_a_place(self) -> Output:
        if (self.kind == "bytes") != (self.at is None):
            raise ValueError("at: say where the picture stands, as /images/0/url; only for kind: bytes there is none")
        return self


class HttpOptions(_Section):
    """What the type understands beyond the common keys."""

    create: Call = Field(description="makes a prediction; this is what costs money")
    id: Pointer | None = Field(None, description="where a prediction's id stands in the answer to create")
    poll: Call | None = Field(None, description="asks how a prediction is; null: create answers with the picture")
    state: States | None = Field(None, description="with poll: how its answer says the state")
    result: Call | None = Field(None, description="gives the picture of one that ended, where poll does not")
    output: Output = Field(description="where the picture is in the last of these answers")
    error: Pointer | None = Field(None, description="where an answer says what went wrong")
    moderation: list[str] = Field(default_factory=list, description="parts of such words that mean a refused prompt")
    passing: list[str] = Field(default_factory=list, description="parts of such words that mean a passing failure")
    failures_are_free: bool = Field(False, description="one that failed is not billed, so it may be tried again")
    cost: Pointer | None = Field(None, description="where the last answer says the price in dollars")
    cancel: Call | None = Field(None, description="stops a prediction")
    find: Lookup | None = Field(None, description="looks for one whose create was not answered")
    idempotency_header: HeaderName | None = Field(
        None, description="the service makes one prediction for equal values of this header, however often it is sent"
    )
    opts_at: Pointer = Field("", description="object of create.body into which backend_opts are merged")
    default_width: int | None = Field(None, ge=16, description="where the row gives no size; null: none is sent")
    default_height: int | None = Field(None, ge=16, description="likewise")
    timeout_s: float = Field(300.0, gt=0, le=86_400, description="for one prediction")
    usual_latency_s: float = Field(10.0, ge=0, le=86_400, description="seconds that one takes")
    requests_per_min: float = Field(600.0, gt=0, description="polls, look-ups and cancels at most")
    delivery_hosts: list[str] = Field(
        default_factory=list, description="hosts of pictures that come as addresses, besides create's own"
    )

    @model_validator(mode="after")
    def _holds_together(self) -> HttpOptions:
        for problem in self._problems():
            raise ValueError(problem)
        for name, call, allowed in self._calls():
            _check_call(name, call, allowed)
        return self

    def _problems(self) -> Iterator[str]:
        if "prompt" not in find_names([self.create.url, self.create.body]):
            yield 'create: {prompt} stands nowhere in it; write body: {prompt: "{prompt}"}'
        if self.poll is not None and (self.id is None or self.state is None):
            yield "poll: needs id and state"
        if self.poll is None and (self.state or self.result or self.cancel or self.find):
            yield "poll: is needed for state, result, cancel and find"
        if self.create.method == "GET" and self.create.body is not None:
            yield "create.method: a GET has no body; write method: POST"
        if self.poll is not None and self.output.kind == "bytes" and self.result is None:
            yield "result: is needed for output.kind: bytes"
        if self.create.body is not None and not can_hold(self.create.body, self.opts_at):
            yield f"opts_at: in create.body stands no object at {self.opts_at!r}"
        if (self.default_width is None) != (self.default_height is None):
            yield "default_width: needs default_height, and the other way round"

    def _calls(self) -> Iterator[tuple[str, Call, frozenset[str]]]:
        yield "create", self.create, OF_A_CREATE
        for name, call in (("poll", self.poll), ("result", self.result), ("cancel", self.cancel)):
            if call is not None:
                yield name, call, OF_A_PREDICTION
        if self.find is not None:
            yield "find", self.find, OF_A_LOOKUP

    def pictures(self) -> frozenset[str]:
        """The placeholders of pictures that stand in the body of `create`."""
        return OF_PICTURES.intersection(find_names(self.create.body))

    def secret_channels(self) -> Iterator[tuple[str, str, str]]:
        """Of every key that a call sends: the setting, the address it goes to, the variable that holds it."""
        for setting, call, _ in self._calls():
            # A variable may also be the host, and then it is no key.
            path = urlsplit(call.url)._replace(scheme="", netloc="").geturl()
            values = {
                name: read_secret(name.removeprefix(ENV)) for name in find_names(call.url) if name.startswith(ENV)
            }
            for name in find_names([path, call.headers]):
                if name.startswith(ENV):
                    yield f"{setting}.url", fill_address(call.url, values), name.removeprefix(ENV)

    def finds_by_job(self) -> bool:
        """True where `find` asks for the predictions of one job."""
        return self.find is not None and "job_id" in find_names([self.find.url, self.find.headers, self.find.body])

    def variables(self) -> list[str]:
        """The environment variables that the calls need, in order."""
        calls = [call for _, call, _ in self._calls()]
        names = (name for call in calls for name in find_names([call.url, call.headers]))
        return list(dict.fromkeys(name.removeprefix(ENV) for name in names if name.startswith(ENV)))


def _check_call(name: str, call: Call, allowed: frozenset[str]) -> None:
    parts = (("url", call.url, allowed, True), ("headers", call.headers, allowed & OF_A_HEADER, True))
    of_body = allowed | (OF_PICTURES if name == "create" else frozenset())
    for part, tree, names, env in (*parts, ("body", call.body, of_body, False)):
        try:
            check(tree, names, env=env)
        except ValueError as exc:
            raise ValueError(f"{name}.{part}: {exc}") from None
