"""Pages that a command serves on this machine until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any


def serve_page(
    serve: Callable[[Callable[[str], None]], Coroutine[Any, Any, None]], *, verb: str, port: int, open_page: bool
) -> None:
    """Serve a page and print its address once it answers.

    Args:
        serve: Serves the page; it calls what it is given with the page's address.
        verb: The act on the page, such as `review it`.
        port: The one that the user asked for.
        open_page: Open it in the browser too.

    Raises:
        InputError: The port cannot be used.
    """
    import asyncio
    import webbrowser
    from contextlib import suppress

    from tasks.core.errors import InputError

    def ready(address: str) -> None:
        # On standard output, so that a script can read the address while the server runs.
        print(f"{verb}: {address} (Ctrl-C ends)", flush=True)
        if open_page:
            webbrowser.open(address)

    try:
        with suppress(KeyboardInterrupt):  # the way to end it
            asyncio.run(serve(ready))
    except BrokenPipeError:
        raise  # whoever reads the address went away, which is no fault of the port
    except OSError as exc:
        raise InputError(f"--port {port}: cannot be used ({exc.strerror or exc}); choose another one") from None
