"""Addresses that an answer gives: of further calls, which carry keys, and of images, which are fetched without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch

import httpx

from tasks.backends.client.payloads import is_data_address
from tasks.backends.http_api.options import HttpOptions
from tasks.core.addresses import is_loopback
from tasks.core.errors import JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAddresses:
    """The addresses of one service, as seen from the one that creates."""

    place: httpx.URL
    """Address of `create`, against which relative addresses are resolved."""
    options: HttpOptions
    make_safe: Callable[[object], str]
    """Makes a text fit for a message: without secrets, which an answer may echo in an address."""

    def check(self, address: str, *, base: httpx.URL | None = None) -> str:
        """The whole address of a further call, if it is the service's own: keys go nowhere else.

        Args:
            address: As an answer gives it.
            base: What one without a host is relative to; None: the address of `create`.

        Raises:
            JobError: It is another host's, or would be asked in clear text.
        """
        try:
            url = (base or self.place).join(address)
        except httpx.InvalidURL:
            url = httpx.URL()
        if not self.is_own(url):
            shown = self.make_safe(url.host or address[:60])
            raise JobError(
                f"the answer leads to {shown!r}, which is not among api_hosts", kind="foreign_host", cost_micros=None
            )
        return str(url)

    def is_own(self, url: httpx.URL) -> bool:
        """True where keys may go: to a host of the service, safely."""
        return self._is_safe(url) and any(fnmatch(url.host, pattern) for pattern in self._list_hosts())

    def resolve_redirect(self, answer: httpx.Response) -> tuple[str, bool]:
        """The whole address that an answer leads to, and whether keys may go there.

        Raises:
            httpx.HTTPStatusError: It is no address that we ask, such as a login page on the way; it may pass.
        """
        try:
            url = answer.url.join(answer.headers["location"])
        except httpx.InvalidURL:
            url = httpx.URL()
        is_own = self.is_own(url)
        if is_own or (self._is_safe(url) and any(fnmatch(url.host, host) for host in self.options.delivery_hosts)):
            return str(url), is_own
        shown = self.make_safe(url.host or "no address")
        raise httpx.HTTPStatusError(
            f"the answer leads to {shown}, which is not among api_hosts and delivery_hosts",
            request=answer.request,
            response=answer,
        )

    def resolve_image(self, image: str) -> str:
        """The whole address of an image; one without a host is relative to `output.base`, else to `create`.

        Raises:
            JobError: It cannot be read.
        """
        if is_data_address(image):
            return image
        base = self.place if self.options.output.base is None else httpx.URL(self.options.output.base)
        try:
            return str(base.join(image))
        except httpx.InvalidURL as exc:
            raise JobError(
                f"the image's address cannot be read ({self.make_safe(exc)})", kind="foreign_host", cost_micros=None
            ) from exc

    def _list_hosts(self) -> tuple[str, ...]:
        return (self.place.host, *self.options.api_hosts)

    def _is_safe(self, url: httpx.URL) -> bool:
        # An API that is itself called over http, in a private network, may go on over http.
        return url.scheme == "https" or is_loopback(url.host) or url.scheme == self.place.scheme == "http"
