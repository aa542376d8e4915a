"""Variables of the environment from which httpx builds every client: proxies and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def name_unusable_variables() -> Iterator[None]:
    """Build a client in the block.

    Raises:
        ValueError: The environment holds what no client can be built from; the text names the variables.
    """
    import httpx  # noqa: PLC0415  most commands send nothing

    try:
        yield
    except ImportError:
        # httpx asks for another package where the environment names such a proxy.
        raise ValueError("the environment names a SOCKS proxy, which is not supported") from None
    except OSError as exc:  # ssl.SSLError is one
        raise ValueError(f"SSL_CERT_FILE or SSL_CERT_DIR holds no certificates that can be read ({exc})") from None
    except (httpx.InvalidURL, ValueError):
        # Without its words, which may hold a part of a proxy's password.
        named = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY"
        raise ValueError(f"{named} holds no address (http://host:port)") from None
