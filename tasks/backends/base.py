"""The interface between the engine and any image service.

The engine owns states, money, limits and files; a backend only talks to its service, and says by the type
of the error what became of the call (see `tasks.core.errors`). To add one: a class of this shape, registered
under the entry-point group `imagen.backends` (see CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.core.addresses import find_cleartext_problem
from tasks.core.configuration.sections import BackendSettings, OutputSettings, UnitPrices
from tasks.core.configuration.yaml_file import explain_setting
from tasks.core.errors import ConfigError, Rejected
from tasks.core.records import Job, Prediction
from tasks.store.references import get_references

Options = TypeVar("Options", bound=BaseModel)
Shared = TypeVar("Shared")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendContext:
    """Everything that a backend is built from."""

    name: str
    """The instance's name in the configuration."""
    settings: BackendSettings
    output: OutputSettings
    prices: Mapping[str, UnitPrices]
    """Prices from the configuration, by model."""
    file: str
    """The place of the settings, for messages."""
    share: float = 1.0
    """Of what the account allows besides creates: less than 1 where several processes ask at the same time."""
    batch: str = ""
    """Identity of the batch, which no other one has: names that go to the service begin with it."""
    shared: MutableMapping[str, Any] = field(default_factory=dict)
    """Whatever the instances of a batch share in one process, such as the limits of an account; by names of their own."""

    def get_shared(self, name: str, build: Callable[[], Shared]) -> Shared:
        """The thing of this name in `shared`; the first instance that asks builds it."""
        if name not in self.shared:
            self.shared[name] = build()
        found: Shared = self.shared[name]
        return found

    @property
    def place(self) -> str:
        """Beginning of a message about one of this instance's settings."""
        return f"{self.file}: backends.{self.name}"


def read_options(context: BackendContext, options: type[Options]) -> Options:
    """The settings of an instance that belong to its type.

    Raises:
        ConfigError: Settings cannot be used; names all of them, with the file and the instance.
    """
    try:
        return options.model_validate(context.settings.options)  # types are strict: a text is not taken for a number
    except ValidationError as exc:
        # All mistakes at once: a user who corrects one at a time starts the command once for each.
        raise ConfigError("\n".join(explain_setting(error, context.place) for error in exc.errors())) from None


def check_channel(context: BackendContext, setting: str, url: str, secret_name: str | None) -> None:
    """Pass where a key may travel to this address: over https, or on this machine.

    Args:
        context: Of the instance.
        setting: The name of the setting that holds the address.
        url: The address.
        secret_name: The variable that holds the key; None where none is sent.

    Raises:
        ConfigError: The key would be sent in clear text.
    """
    if secret_name is not None and (problem := find_cleartext_problem(url, secret_name)):
        raise ConfigError(f"{context.place}.{setting}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Expected time and cost of one attempt."""

    cost_micros: int | None
    """Millionths of a dollar; None when no price is known."""
    latency_s: float
    """Seconds from submit to image, when nothing queues."""
    most_micros: int | None
    """The most that it can cost, which a budget sets aside; None when that is not known."""
    priced_on: date | None = None
    """When the price was read; None where it is the user's own, or there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The number of creates that the service allows."""

    account: str
    """Instances of one account share its allowance; never shown."""
    creates_per_min: float | None
    """None: no limit is known."""
    service: str | None = None
    """Address of a service that gives no id twice, whatever the key; None: an id is the account's."""

    @property
    def registry(self) -> str:
        """The name under which predictions are claimed: two keys of one service share none, and a key may be changed."""
        return self.service or self.account


async def close_opened(backend: object, *names: str) -> None:
    """Close those of a backend's cached properties that were ever asked for."""
    opened = vars(backend)
    for name in names:
        # A cached property that nobody asked for would be built only to be closed: connections, a loaded model.
        if name in opened:
            await opened[name].close()


def supported_inputs(backend: Backend) -> Collection[str]:
    """The images that can go into a job of this backend, of `image` and `mask`. A backend that does not say takes none."""
    # Backends of other packages may be older than this attribute; they take no images.
    inputs: Collection[str] = getattr(backend, "takes", ())
    return inputs


def check_inputs_supported(backend: Backend, job: Job) -> None:
    """Pass where the backend takes all of the job's images; it would drop the others silently.

    Raises:
        Rejected: It does not, since its settings have changed after the plan. Nothing was sent.
    """
    for name in get_references(job):
        if name not in supported_inputs(backend):
            raise Rejected(f"backend {job.backend!r} takes no {name}, as it is configured now", kind="input_image")


async def find_taken(known: Collection[str], ids: Collection[str]) -> frozenset[str]:
    """Those of the ids that belong to another attempt: of this batch, or of another one on the same account.

    Args:
        known: As `Backend.find` got it. The engine's asks the ledger and other batches; any other collection is a list.
        ids: Ids that the service lists.
    """
    # Duck-typed, so that a backend's own tests may pass a plain list of ids.
    ask = getattr(known, "find_taken", None)
    return frozenset(set(ids).intersection(known)) if ask is None else frozenset(await ask(ids))


async def find_sent(known: Collection[str], ids: Collection[str]) -> frozenset[str]:
    """Those of the ids that are in this batch's ledger as attempts of the same model."""
    ask = getattr(known, "find_sent", None)
    return frozenset() if ask is None else frozenset(await ask(ids))


async def read_service_time_us(backend: Backend) -> int | None:
    """The time at the service, in microseconds since 1970 UTC; None where the backend does not tell it."""
    read = getattr(backend, "read_service_time_us", None)
    return None if read is None else await read()


def keeps_list(backend: Backend) -> bool:
    """True where lost predictions are found in a list that other batches of the account share."""
    return bool(getattr(backend, "keeps_list", False))


class Backend(Protocol):
    """One configured image service. Built by `cls(context)`, which raises `ConfigError` on bad settings.

    One into whose images others can go has an attribute `takes` beside these methods, with `image` or also `mask` in
    it, and finds them in the job (see `tasks.store.references`). One whose service states prices has
    `states_prices = True` and `async def quote(self, job)` (see `tasks.backends.quotes`).

    One that finds lost predictions in a list of the account has `keeps_list = True`: each id then belongs to one
    attempt, over all batches of the account. It may have `async def read_service_time_us(self) -> int | None`.
    """

    def ready(self) -> str | None:
        """None when jobs can be sent, else what is missing, as `set REPLICATE_API_TOKEN`. No network."""

    def learn(self) -> None:
        """Ask the service, once and before anything is sent, what it accepts. Blocks; free.

        Raises:
            ConfigError: The service refuses the settings.
        """

    def problems(self, job: Job) -> list[str]:
        """List the inputs that the service would refuse, as far as `learn` knows; each `input: reason`."""

    def estimate(self, job: Job) -> Estimate:
        """Price and time of one attempt. Pure: no network."""

    def allowance(self) -> Allowance:
        """The rate of creates that holds for the instance's account."""

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Create one prediction; this may cost money, so it is called once for each attempt.

        Raises:
            Throttled, NotCreated, Rejected, Refused: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Nobody's job can be created now (token, credit).
        """

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look for the prediction of a submit whose answer was lost.

        Args:
            job: The job.
            since: When it was sent, by the service's clock where the backend tells it, else by this machine's.
            known: Ids that belong to other attempts; ask `find_taken` about those that the service lists.

        Returns:
            The one prediction that is this job's, or None when it is certain that there is none.

        Raises:
            Ambiguous: It cannot be told; the job will be held, never paid again by itself.
        """

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Wait until the prediction ended well; also after a restart, from its id alone.

        Raises:
            Transient, Refused, Rejected, OutputGone: It ended without an image.
        """

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The image's bytes as the service made them. Free, and may be repeated.

        Raises:
            Unfetched: The bytes did not come, or not whole; fetching again may help.
            BadImage: They came, but damaged; fetching again may help.
            OutputGone: They can no longer be had.
        """

    async def cancel(self, prediction: Prediction) -> None:
        """Stop a prediction that nobody waits for any more; an ended one is left alone."""

    async def close(self) -> None:
        """Give back connections and models."""
