"""The schema of one model, fetched for a plan or, where no plan of this process did, for a look-up or an ended job."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.replicate.input_schema import InputSchema, fetch_schema
from tasks.backends.replicate.likeness import Comparison
from tasks.backends.replicate.options import ReplicateOptions
from tasks.core.errors import ConfigError


class ModelSchema:
    """Fills in the schema of the comparison that the account's instances of one model share."""

    def __init__(self, comparison: Comparison, options: ReplicateOptions, *, place: str) -> None:
        """Nothing is fetched yet."""
        self._comparison = comparison
        self._options = options
        self._place = place
        self._asked = False

    def learn(self) -> None:
        """Fetch the schema unless it is known, not wanted or, without a token, cannot be asked for.

        Raises:
            ConfigError: The token is not accepted, there is no such model or version, or the model needs a version.
        """
        # A missing token is no error here: plans are free of secrets, and `ready` of the backend says what a run lacks.
        can_ask = self._options.check_inputs and find_secret_problem(self._options.api_token_env) is None
        if can_ask and self._comparison.schema is None:
            self._comparison.schema = self._fetch()

    def check(self) -> None:
        """Pass if the service accepts the token and has the model.

        Raises:
            ConfigError: As `learn`, or the service cannot be reached.
        """
        if self._fetch() is None:
            base, model = self._options.api_base, self._comparison.model
            raise ConfigError(f"{self._place}: {base} did not tell about {model}; try again later")

    async def load(self) -> None:
        """Learn it where no plan of this process did: it tells defaults and frames apart."""
        if self._comparison.schema is None and not self._asked:
            # Asked for once: a schema that cannot be had now must not be asked for by every job.
            self._asked = True
            with suppress(ConfigError):
                await asyncio.to_thread(self.learn)

    def _fetch(self) -> InputSchema | None:
        base, token_env = self._options.api_base, self._options.api_token_env
        try:
            return fetch_schema(self._comparison.model, base=base, token=read_secret(token_env), token_env=token_env)
        except ConfigError as exc:
            raise ConfigError(f"{self._place}: {exc}") from None
