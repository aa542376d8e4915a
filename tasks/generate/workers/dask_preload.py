"""Set-up of the worker processes of a local Dask cluster; Dask loads this module by name.

Ctrl-C in a terminal reaches every process of the run. Workers ignore it: the run that sent them tells them to finish.
(Ray's processes do so by themselves.) Dask's own log stays off the screen, because a cluster that ends logs tracebacks.
"""

from __future__ import annotations

import logging
import signal


def dask_setup(_worker: object) -> None:
    """Called by Dask in the main thread of a new worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("distributed."):
            logging.getLogger(name).setLevel(logging.CRITICAL)
