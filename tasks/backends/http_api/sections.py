"""Parts of the settings of the type `http`: calls, places, conditions, costs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks.backends.client.options import Address, BaseAddress
from tasks.backends.http_api.places import Place
from tasks.backends.quotes import Unit
from tasks.core.configuration.sections import VariableName

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _check_header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a header")
    return value


HeaderName = Annotated[str, AfterValidator(_check_header_name)]
Scalar = str | int | float | bool | None
# `is: false` and `is: [false, BLOCKED]` both read well in YAML.
Scalars = Annotated[list[Scalar], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]
"""One value, or a list of them."""


def _parse_factor(value: Any) -> Any:
    """YAML takes 1e-10 for a text, for it has no point."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class Section(BaseModel):
    """A part of the settings: nothing unknown in it, nothing converted."""

    # Strict: YAML 1.1 reads `no` as false and `1e3` as text, and a silent conversion would hide the mistake.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Call(Section):
    """One request."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="how it is asked")
    url: Address | None = Field(None, description="where; with placeholders")
    at: Place | None = Field(None, description="where the last answer gives the address, in place of url")
    headers: dict[HeaderName, str] = Field(
        default_factory=dict, description="keys belong here, as Bearer {env:MY_API_KEY}"
    )
    body: dict[str, Any] | None = Field(None, description="sent as JSON; with placeholders; null: none")
    form: dict[str, Any] | None = Field(
        None, description="sent as a multipart form in place of body; {image} is a file"
    )
    fields: dict[str, Any] | None = Field(
        None, description="sent as application/x-www-form-urlencoded in place of body, as OAuth logins are"
    )

    @model_validator(mode="after")
    def _has_one_address(self) -> Call:
        if (self.url is None) == (self.at is None):
            raise ValueError("url: write the address, or at: where the last answer gives it")
        if sum(part is not None for part in (self.body, self.form, self.fields)) > 1:
            raise ValueError("form: is sent in place of body, and so is fields; write one of them")
        return self

    @property
    def content(self) -> dict[str, Any] | None:
        """The template of what it sends, in whatever form."""
        return next((part for part in (self.body, self.form, self.fields) if part is not None), None)


class Lookup(Call):
    """The look-up of a prediction whose create was not answered."""

    items: Place | None = Field(
        "", description="where the list stands; null: the answer is the prediction itself, or 404"
    )
    id: Place = Field("/id", description="where the id stands in an item")
    job: Place | None = Field(
        None, description="where an item names the {job_id} that was sent, if the list shows other jobs too"
    )
    next: Place | None = Field(
        None, description="where a page gives the next one's address, or what {page} stands for in this call"
    )
    # Seconds; lists of large services lag by a few seconds, rarely by more than ten.
    patience_s: float = Field(20.0, ge=0, le=600, description="how long one may take to show up there")


class States(Section):
    """The states by which an answer says that a prediction has ended."""

    at: Place = Field(description="where the state stands")
    succeeded: list[str] = Field(min_length=1, description="names of the state of one that ended well")
    failed: list[str] = Field(min_length=1, description="names of the states of those that ended otherwise")
    unknown: list[str] = Field(
        default_factory=list,
        description="names of the state of one that the service does not know, or not yet: as a 404",
    )


class Output(Section):
    """The place of the image."""

    kind: Literal["url", "base64", "bytes"] = Field("url", description="bytes: the answer itself is the image")
    at: Place | None = Field(None, description="where it stands; null for bytes")
    base: Address | None = Field(None, description="of addresses without a host; null: that of create")

    @model_validator(mode="after")
    def _has_a_place(self) -> Output:
        if (self.kind == "bytes") != (self.at is None):
            raise ValueError("at: say where the image stands, as /images/0/url; only for kind: bytes there is none")
        return self


class Condition(Section):
    """Something that an answer says by a value: at a place of its JSON, or in a header."""

    at: Place | None = Field(None, description="a place in the answer")
    header: HeaderName | None = Field(None, description="or the name of a header")
    equals: Scalars = Field(default_factory=list, alias="is", description="one of these values: false, BLOCKED, 7, ...")
    differs: Scalars = Field(default_factory=list, alias="is_not", description="or anything but these: 0, success")
    contains: list[str] = Field(default_factory=list, description="or a text with one of these parts, in any case")
    is_empty: bool = Field(False, description="or an empty list, object or text")

    @model_validator(mode="after")
    def _asks_something(self) -> Condition:
        if (self.at is None) == (self.header is None):
            raise ValueError("at: name a place in the answer, or a header")
        if not (self.equals or self.differs or self.contains or self.is_empty):
            raise ValueError("is: say which values count, is_not: which do not, or contains: which parts of a text")
        return self


class Before(Call):
    """A call whose answer gives a session or a token, for all others."""

    value: Place = Field(description="where the answer gives it")
    renew_when: list[Condition] = Field(
        default_factory=list, description="values of an answer that mean that it has ended, beside a 401"
    )
    lasts_s: float = Field(3_000.0, gt=0, description="seconds until it is asked for anew")


class Cost(Section):
    """The place and unit of a cost in an answer."""

    at: Place | None = Field(None, description="where the price stands")
    header: HeaderName | None = Field(None, description="or the header that holds it")
    # xAI counts in ticks of 10^-10 dollars (recorded 2026), hence such small factors.
    times: Annotated[float, BeforeValidator(_parse_factor)] = Field(
        1.0, gt=0, le=1e6, allow_inf_nan=False, description="dollars of one unit of it: 0.001"
    )
    where: Literal["create", "last"] = Field("last", alias="in", description="in which answer")

    @model_validator(mode="after")
    def _has_a_place(self) -> Cost:
        if (self.at is None) == (self.header is None):
            raise ValueError("at: name a place in the answer, or a header")
        return self


class QuoteCall(Call):
    """A free call whose answer says what an image costs."""

    units: dict[Unit, Place] = Field(min_length=1, description="by unit: where its price stands; they add up")
    times: Annotated[float, BeforeValidator(_parse_factor)] = Field(
        1.0, gt=0, le=1e6, allow_inf_nan=False, description="dollars of one unit of it: 0.001"
    )


class Signature(Section):
    """A signature of each request, in place of a key that is sent."""

    aws: str = Field(pattern=r"^[a-z0-9-]+$", description="AWS's name of the service: bedrock")
    region: str = Field(pattern=r"^[a-z0-9-]+$", description="AWS's region: us-west-2")
    key_id_env: VariableName = Field("AWS_ACCESS_KEY_ID", description="variable with the id of the key")
    secret_env: VariableName = Field("AWS_SECRET_ACCESS_KEY", description="variable with the secret key")
    session_token_env: VariableName = Field(
        "AWS_SESSION_TOKEN", description="variable with the token of a role's keys, where they have one"
    )


class Batches(Section):
    """Google's batch API for the same requests, by files of lines."""

    base: BaseAddress = Field(description="address of the API, without a version")
    jobs: int = Field(200, ge=1, le=10_000, description="of one batch at most; it is downloaded whole")
    quiet_s: float = Field(5.0, gt=0, description="seconds without a new job after which a batch is sent")
    poll_s: float = Field(60.0, gt=0, description="seconds between two looks at a batch")
    latency_s: float = Field(3_600.0, gt=0, description="seconds that a batch takes, for plans")
    price_share: float = Field(0.5, gt=0, le=1, description="of the price of a single call")


class Tokens(Section):
    """The places where an answer counts tokens; the price table prices them."""

    input: Place | None = Field(None, description="of the prompt")
    output: Place | None = Field(None, description="of the image")
    output_text: list[Place] = Field(default_factory=list, description="of thoughts and text beside it, added up")
    usual_output: int | None = Field(None, gt=0, description="tokens of an image as a rule, for estimates")
    most_output: int | None = Field(None, gt=0, description="tokens of an image at most, which a budget sets aside")
    most_output_text: int = Field(0, ge=0, description="likewise of the text")

    @model_validator(mode="after")
    def _is_ordered(self) -> Tokens:
        if self.usual_output and self.most_output and self.usual_output > self.most_output:
            raise ValueError("usual_output: is more than most_output")
        return self
