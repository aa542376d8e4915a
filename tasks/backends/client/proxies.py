"""The proxy of a request: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case, as curl reads them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.request import getproxies_environment

import httpx

from tasks.core.errors import PortableError

DEFAULT_PORTS = {"http": 80, "https": 443}
"""By the scheme of an address, and of a proxy. What a SOCKS proxy would need is not installed."""

NAMES = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"


class UnusableProxy(PortableError):
    """Raised when the environment names a proxy that cannot be used. The request never left."""


class ProxyRefused(UnusableProxy):
    """Raised when a proxy wants another login, or one at all. The request got no further than to it."""

    def __init__(self, proxy: httpx.Proxy) -> None:
        """Name the proxy, without its login."""
        super().__init__(f"the proxy {proxy.url} does not accept the login (407); correct {NAMES}, then resume")


def find_proxy(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy for an address; None where the request goes there directly.

    Raises:
        UnusableProxy: The variable holds no address of an HTTP proxy.
    """
    # The standard library's reader knows the rules of case (HTTP_PROXY is ignored in a CGI process).
    proxies = getproxies_environment()
    # ALL_PROXY is the fallback of curl, and of most command-line programs.
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or url.scheme not in DEFAULT_PORTS or _is_exempt(url, proxies.get("no", "")):
        return None
    try:
        # A proxy is often written without its scheme.
        proxy = httpx.URL(address if "://" in address else f"http://{address}")
        usable = proxy.scheme in DEFAULT_PORTS and bool(proxy.host)
    except (httpx.InvalidURL, UnicodeError):
        usable = False
    if not usable:
        # The address may hold a password, so it is not shown.
        named = f"{url.scheme.upper()}_PROXY" if proxies.get(url.scheme) else "ALL_PROXY"
        raise UnusableProxy(f"{named} is not the address of an HTTP proxy (http://host:port); SOCKS is not supported")
    return httpx.Proxy(proxy)


def _is_exempt(url: httpx.URL, no_proxy: str) -> bool:
    """True if NO_PROXY names the host: as a name, with its port, as the end of a name, or as a network of addresses."""
    port = url.port or DEFAULT_PORTS[url.scheme]
    # curl takes blanks for commas.
    parts = no_proxy.lower().replace(",", " ").split()
    # A bare `*` switches proxies off altogether.
    return any(part == "*" or _names(part, url.host.lower(), port) for part in parts)


def _names(part: str, host: str, port: int) -> bool:
    if "/" in part:
        return _is_inside(host, part)
    name, _, digits = part.rpartition(":")
    # Colons of an IPv6 address are no port's; one with a port stands in brackets.
    if name and digits.isdecimal() and (":" not in name or (name[0], name[-1]) == ("[", "]")):
        if int(digits) != port:
            return False
        part = name
    # `.example.com` and `*.example.com` both mean the domain and what is below it, as in curl.
    part = part.removeprefix("*").strip("[]").removeprefix(".").rstrip(".")
    host = host.rstrip(".")  # the full form of the same name, as curl has it
    return host == part or host.endswith(f".{part}")


def _is_inside(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
