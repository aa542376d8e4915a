"""Settings of the type `http`, and every mistake in them that can be known before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from tasks.backends.client.options import read_secret
from tasks.backends.http_api.places import Place, stands_in_headers
from tasks.backends.http_api.request.placeholders import (
    OF_A_CREATE,
    OF_A_LOOKUP,
    OF_A_PREDICTION,
    OF_IMAGES,
    OF_THE_JOB,
    check_placeholders,
)
from tasks.backends.http_api.request.pointers import Pointer, can_hold
from tasks.backends.http_api.request.signing import leave_out_authorization
from tasks.backends.http_api.request.template import ENV, TOKEN, fill_address, find_names
from tasks.backends.http_api.sections import (
    Batches,
    Before,
    Call,
    Cost,
    HeaderName,
    Lookup,
    Output,
    QuoteCall,
    Signature,
    States,
    Tokens,
)
from tasks.backends.http_api.verdicts import Verdicts


def _name_cost(value: Any) -> Any:
    """A cost that is written as its place alone."""
    return {"at": value} if isinstance(value, str | list) else value


CostSetting = Annotated[Cost | None, BeforeValidator(_name_cost)]


class HttpOptions(Verdicts):
    """Settings of this type beyond the common keys."""

    mode: Literal["sync", "batch"] = Field("sync", description="batch: half the price, within a day or so")
    batches: Batches | None = Field(None, description="with mode: batch: where the service takes batches")
    create: Call = Field(description="makes a prediction; this is what costs money")
    id: Place | None = Field(None, description="where a prediction's id stands in the answer to create")
    poll: Call | None = Field(None, description="asks how a prediction is; null: create answers with the image")
    state: States | Literal["status"] | None = Field(
        None,
        description="with poll: how its answer says the state; status: 202 and 204 mean that it runs, any other 2xx that it has ended",
    )
    result: Call | None = Field(None, description="gives the image of one that ended, where poll does not")
    output: Output = Field(description="where the image is in the last of these answers")
    cost: CostSetting = Field(
        None, description="where the last answer says the price in dollars, or {at or header, times, in}"
    )
    tokens: Tokens | None = Field(None, description="where the last answer counts tokens; the price table prices them")
    cancel: Call | None = Field(None, description="stops a prediction")
    check: Call | None = Field(None, description="a free call that tells whether the key works, for backends --check")
    quote: QuoteCall | None = Field(None, description="a free call that says what an image costs, for plan --ask")
    find: Lookup | None = Field(None, description="looks for one whose create was not answered")
    before: Before | None = Field(None, description="a call whose answer gives {token}: a session, an OAuth token")
    token_command: list[str] | None = Field(
        None,
        min_length=1,
        description="a program that prints {token}, with its arguments; only from a configuration file",
    )
    token_lasts_s: float = Field(3_000.0, gt=0, description="seconds until that program is asked anew")
    sign: Signature | None = Field(None, description="signs every call for AWS, in place of an Authorization header")
    idempotency_header: HeaderName | None = Field(
        None, description="the service makes one prediction for equal values of this header, however often it is sent"
    )
    idempotency_lasts_s: float | None = Field(
        None, gt=0, description="how long the service remembers such a key; null: relied on within one run only"
    )
    names: dict[Literal["aspect_ratio", "size", "shape", "format"], dict[str, str | int | float]] = Field(
        default_factory=dict,
        description="the service's own names of a placeholder's values: {size: {1024x1024: large}}",
    )
    opts_at: Pointer = Field("", description="object of create.body or create.form into which backend_opts are merged")
    default_width: int | None = Field(None, ge=16, description="where the row gives no size; null: none is sent")
    default_height: int | None = Field(None, ge=16, description="likewise")
    default_steps: int | None = Field(None, ge=1, description="where the row gives none; null: none is sent")
    # Seconds; 300 covers the slowest models at their usual times, and an hour-long one sets its own.
    timeout_s: float = Field(300.0, gt=0, le=86_400, description="for one prediction")
    usual_latency_s: float = Field(10.0, ge=0, le=86_400, description="seconds that one takes")
    requests_per_min: float = Field(600.0, gt=0, description="polls, look-ups and cancels at most")
    api_hosts: list[str] = Field(
        default_factory=list, description="hosts of addresses for calls that an answer gives, besides create's own"
    )
    delivery_hosts: list[str] = Field(
        default_factory=list, description="hosts of images that come as addresses, besides create's own"
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_signed(cls, values: Any) -> Any:
        # A service by name that sends a key can be told to sign instead: its header would need a key that nobody has.
        return leave_out_authorization(values) if isinstance(values, dict) and values.get("sign") else values

    @model_validator(mode="after")
    def _holds_together(self) -> HttpOptions:
        for problem in (*self._problems(), *self._mode_problems()):
            raise ValueError(problem)  # pydantic keeps only the first
        for name, call, allowed in self._calls():
            check_placeholders(name, call, allowed)
        return self

    def _problems(self) -> Iterator[str]:
        content = self.create.content
        if self.create.url is None:
            yield "create: needs a url"
        # A create without the prompt would make the same image for every row, and bill each of them.
        if "prompt" not in find_names([self.create.url, content]):
            yield 'create: {prompt} stands nowhere in it; write body: {prompt: "{prompt}"}'
        if self.poll is not None and (self.id_place is None or self.state is None):
            yield "poll: needs id and state"
        if self.poll is None and (self.state or self.result or self.cancel or self.find):
            yield "poll: is needed for state, result, cancel and find"
        if self.create.method == "GET" and content is not None:
            yield "create.method: a GET has no body; write method: POST"
        if self.poll is not None and self.output.kind == "bytes" and self.result is None and self.state_in_json:
            yield "result: is needed for output.kind: bytes, because poll's answer is JSON with a state"
        if content is not None and not can_hold(content, self.opts_at):
            yield f"opts_at: in create stands no object at {self.opts_at!r}"
        if (self.default_width is None) != (self.default_height is None):
            yield "default_width: needs default_height, and the other way round"
        if self.idempotency_lasts_s is not None and self.idempotency_header is None:
            yield "idempotency_lasts_s: needs idempotency_header"
        yield from self._find_problems()
        yield from self._token_problems()

    def _find_problems(self) -> Iterator[str]:
        for name, call, _ in self._calls():
            # `at` needs an answer before it: these come first, or after a restart.
            if name in {"find", "check", "before", "cancel"} and call.url is None:
                yield f"{name}: needs a url"
        find = self.find
        if find is None:
            return
        if "page" in find_names([find.url, find.headers, find.content]) and find.next is None:
            yield "find: {page} needs next, the place of its value in the page before"
        if find.items is None and (find.next or find.job):
            yield "find: with items: null it is one prediction, without next and job"

    def _mode_problems(self) -> Iterator[str]:
        if self.mode == "batch" and (self.batches is None or self.create.body is None):
            yield "mode: this service has no batches that are known; leave it out"
        if self.quote is not None and self.quote.url in {None, self.create.url}:
            yield "quote.url: needs an address of its own; that of create would make an image and cost money"

    def _token_problems(self) -> Iterator[str]:
        if self.before is not None and self.token_command is not None:
            yield "before: gives {token}, and so does token_command; write one of them"
        calls = [(name, call) for name, call, _ in self._calls() if name != "before"]
        used = [name for name, call in calls if TOKEN in find_names([call.url, call.headers, call.content])]
        if used and not self.has_token:
            yield f"{used[0]}: nothing gives {{token}}; write before or token_command"
        if self.has_token and not used:
            # A token that no call sends is a header that was forgotten, and every call would fail with 401.
            yield 'before, token_command: no call sends {token}; write headers: {Authorization: "Bearer {token}"}'

    @property
    def has_token(self) -> bool:
        """True if calls carry a token that is asked for."""
        return self.before is not None or self.token_command is not None

    @property
    def id_place(self) -> Place | None:
        """The place in the answer to a create of what polls ask by: the prediction's id, or its address."""
        # Polled by an address of the answer, a prediction is known by that alone.
        return self.poll.at if self.poll is not None and self.poll.at is not None else self.id

    @property
    def state_in_json(self) -> bool:
        """True if polls are answered with JSON that holds the state."""
        return isinstance(self.state, States) and not stands_in_headers(self.state.at)

    def _calls(self) -> Iterator[tuple[str, Call, frozenset[str]]]:
        yield "create", self.create, OF_A_CREATE
        for name, call in (("poll", self.poll), ("result", self.result), ("cancel", self.cancel)):
            if call is not None:
                yield name, call, OF_A_PREDICTION
        if self.find is not None:
            yield "find", self.find, OF_A_LOOKUP
        if self.quote is not None:
            yield "quote", self.quote, OF_THE_JOB | {TOKEN}
        if self.check is not None:
            yield "check", self.check, frozenset({"model", TOKEN})
        if self.before is not None:
            yield "before", self.before, frozenset({"model"})

    def finds_by_job(self) -> bool:
        """True where the look-up shows the predictions of one job only."""
        find = self.find
        return find is not None and (
            find.job is not None or "job_id" in find_names([find.url, find.headers, find.content])
        )

    def images(self) -> frozenset[str]:
        """The placeholders of images that stand in the body or the form of `create`."""
        return OF_IMAGES.intersection(find_names(self.create.content))

    def secret_channels(self) -> Iterator[tuple[str, str, str]]:
        """Of every key that a call sends: the setting, the address it goes to, the variable that holds it."""
        for setting, call, _ in self._calls():
            # A variable may also be the host, and then it is no key.
            url = call.url or ""
            path = urlsplit(url)._replace(scheme="", netloc="").geturl()
            # `{env:HOST}` in the host is filled in, because the check of the channel has to see the real host.
            values = {name: read_secret(name.removeprefix(ENV)) for name in find_names(url) if name.startswith(ENV)}
            for name in find_names([path, call.headers, call.content if setting == "before" else None]):
                if name.startswith(ENV):
                    yield f"{setting}.url", fill_address(url, values), name.removeprefix(ENV)
            if self.sign is not None and url:
                yield f"{setting}.url", fill_address(url, values), self.sign.secret_env

    def variables(self) -> list[str]:
        """The environment variables that the calls need, in order."""
        contents = [[call.url, call.headers, call.content] for _, call, _ in self._calls()]
        names = (name for content in contents for name in find_names(content))
        signing = () if self.sign is None else (self.sign.key_id_env, self.sign.secret_env)
        return list(dict.fromkeys([*(name.removeprefix(ENV) for name in names if name.startswith(ENV)), *signing]))
