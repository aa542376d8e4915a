"""The schema of one model, fetched for a plan or, where no plan of this process did, for a look-up or an ended job."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.replicate.input_schema import fetch_schema
from tasks.backends.replicate.likeness import Comparison
from tasks.backends.replicate.options import ReplicateOptions
from tasks.core.errors import ConfigError


class ModelSchema:
    """Fills in the schema of the comparison that the account's instances of one model share."""

    def __init__(self, comparison: Comparison, options: ReplicateOptions) -> None:
        """Nothing is fetched yet."""
        self._comparison = comparison
        self._options = options
        self._asked = False

    def learn(self) -> None:
        """Fetch the schema unless it is known, not wanted or, without a token, cannot be asked for.

        Raises:
            ConfigError: The token is not accepted, there is no such model or version, or the model needs a version.
        """
        token_env = self._options.api_token_env
        # A missing token is no error here: plans are free of secrets, and `ready` of the backend says what a run lacks.
        can_ask = self._options.check_inputs and find_secret_problem(token_env) is None
        if can_ask and self._comparison.schema is None:
            self._comparison.schema = fetch_schema(
                self._comparison.model,
                base=self._options.api_base,
                token=read_secret(token_env),
                token_env=token_env,
            )

    async def load(self) -> None:
        """Learn it where no plan of this process did: it tells defaults and frames apart."""
        if self._comparison.schema is None and not self._asked:
            # Asked for once: a schema that cannot be had now must not be asked for by every job.
            self._asked = True
            with suppress(ConfigError):
                await asyncio.to_thread(self.learn)
