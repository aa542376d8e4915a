"""A model's own page at an images API: the one free call that tells whether a key works."""

from __future__ import annotations

from urllib.parse import quote

import httpx

from tasks.backends.base import BackendContext
from tasks.backends.client.options import build_authorization
from tasks.backends.client.pages import NO_PAGE, fetch_page
from tasks.backends.openai.options import OpenAIOptions
from tasks.core.errors import ConfigError


def check_model_page(context: BackendContext, options: OpenAIOptions, *, key: str) -> str | None:
    """Tell people what the page says; None where the server has no such page, as many small ones.

    Raises:
        ConfigError: The key is not accepted, the model is not there, or nobody answers.
    """
    model = context.settings.model
    try:
        status, page = fetch_page(f"{options.api_base}/models/{quote(model, safe='')}", build_authorization(key))
    except NO_PAGE as exc:
        raise ConfigError(
            f"{context.place}: {options.api_base} cannot be asked ({type(exc).__name__}: {exc})"
        ) from None
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise ConfigError(f"{context.place}: the service does not accept the key in {options.api_key_env}")
    # A 404 may mean the model or the page, so only a page that names the model proves something.
    if isinstance(page, dict) and page.get("id") == model:
        return f"{context.name} works: the key is accepted, and {model} is there. Nothing was made"
    return None
