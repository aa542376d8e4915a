"""The price of an image as a described service states it beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.sections import QuoteCall
from tasks.backends.prices import Used
from tasks.backends.quotes import NoQuote, Quote, build_quote
from tasks.core.errors import BatchStopped, JobError
from tasks.core.records import Job


async def ask_quote(call: QuoteCall | None, api: DescribedApi, job: Job, used: Used) -> Quote:
    """Ask the configured call, once. It is free.

    Raises:
        NoQuote: The service says no, gives no price, or cannot be asked.
    """
    if call is None:
        raise NoQuote(f"{api.service} states no prices")
    parts = urlsplit(call.url or "")
    # As the configuration spells it, without a query: a key may be in the query, and no value stands in a template.
    source = parts._replace(query="", fragment="").geturl().replace("{model}", job.model)
    try:
        answer = await api.ask_price(call, job)
    except (JobError, BatchStopped) as exc:
        raise NoQuote(str(exc)) from exc
    except httpx.HTTPError as exc:
        raise NoQuote(f"{api.service} cannot be asked ({api.calls.describe_error(exc)})") from exc
    except (TypeError, ValueError, httpx.InvalidURL) as exc:
        raise NoQuote(f"the question cannot be sent ({api.calls.describe_error(exc)})") from exc
    amounts: dict[str, Iterator[Any]] = {unit: answer.read_all(place) for unit, place in call.units.items()}
    return build_quote(amounts, used, times=call.times, source=source)
