"""Writers into a batch's output that are no run: nothing has to be resumed, the work is done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.core.errors import BatchStopped, OutputError
from tasks.store.output.base import Output


@contextmanager
def explain_write_errors(what: str, out: Output) -> Iterator[None]:
    """Run the block, which writes `what` into the output.

    Raises:
        OutputError: It could not be written. Nothing was spent; the same command may be given again.
    """
    try:
        yield
    except BatchStopped as exc:
        raise OutputError(f"{out}: {what} cannot be written: {exc.why}") from exc
    except OSError as exc:
        raise OutputError(f"{out}: {what} cannot be written ({exc.strerror or exc})") from exc
