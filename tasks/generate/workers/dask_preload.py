"""Loaded by the worker processes of a local Dask cluster when they start.

Ctrl-C in a terminal goes to every process of the run. Workers leave it to the run that sent them, which tells them to
let what is in flight land. (Ray's processes do so by themselves.)

What Dask says of its own connections stays off the user's screen: a cluster that ends breaks them, with tracebacks.
"""

from __future__ import annotations

import logging
import signal


def dask_setup(_worker: object) -> None:
    """Dask's name for what is called in the main thread of a new worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("distributed."):
            logging.getLogger(name).setLevel(logging.CRITICAL)
