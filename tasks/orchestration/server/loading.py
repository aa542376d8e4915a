"""Loading Prefect: it reads the user's settings when it is imported, and what is wrong with them is one clear error."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr
from importlib import import_module

from pydantic import ValidationError

from tasks.core.errors import ConfigError
from tasks.core.http_environment import name_unusable_variables
from tasks.core.memory import require_address_space
from tasks.core.safe_text import error_text

PLACES = "look at the PREFECT_ variables, .env, prefect.toml, pyproject.toml and Prefect's active profile"


def load_prefect() -> None:
    """Import Prefect, which takes a second; another call does nothing.

    Raises:
        ConfigError: One of Prefect's settings cannot be used. Nothing was spent.
        ImagenError: The process may not have the memory for it. Nothing was spent.
    """
    require_address_space()
    told = io.StringIO()
    try:
        # Prefect prints the same failure on its way to raising it.
        with redirect_stderr(told):
            import_module("prefect.context")
    except ValidationError as exc:
        raise ConfigError(f"a setting of Prefect cannot be used ({find_first_problem(exc)}); {PLACES}") from None
    except (OSError, ValueError) as exc:
        raise ConfigError(f"Prefect cannot be loaded ({error_text(exc)}); {PLACES}") from None
    sys.stderr.write(told.getvalue())


def require_usable_variables() -> None:
    """Pass where Prefect's client can be built.

    It reads the environment's proxies for a server of this machine as well, and would fail with the server started.

    Raises:
        ConfigError: A proxy cannot be used.
    """
    import httpx  # noqa: PLC0415  it comes with Prefect, which only a run loads

    try:
        with name_unusable_variables():
            httpx.Client(verify=False).close()  # noqa: S501  nothing is sent; whom to trust is left to Prefect
    except ValueError as exc:
        raise ConfigError(f"Prefect cannot be reached: {exc}; correct or unset it") from None


def find_first_problem(exc: ValidationError) -> str:
    """Name the setting that Prefect refuses first, and say what it must be."""
    first = exc.errors(include_url=False, include_input=False)[0]
    name = ".".join([exc.title, *map(str, first["loc"])])
    return f"{name}: {error_text(first['msg'])}"
