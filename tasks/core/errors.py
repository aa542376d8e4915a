"""Our exception hierarchy: what may be retried, and what a failure costs, is decided by the type.

ImagenError                 everything we raise; `exit_code` is what the command line returns
├── InputError              exit 2: nothing was written, nothing was spent
│   ├── ManifestError       rows that cannot be used, all of them
│   ├── ConfigError         a setting that cannot be used
│   ├── OutputError         the output folder or bucket cannot be used
│   │   └── UnreadableFile  one of its files cannot be read
│   └── BatchLocked         another run is writing to the same folder
├── ServerError             Prefect's server cannot be used (defined in `tasks.orchestration.server`)
├── BatchStopped            exit 3: stopped on purpose, resumable
├── LeaseLost               another worker has the job now; nothing may be sent or written for it
├── Interrupted             exit 130: a second signal stopped the run at once
├── UsageError              usage rows cannot be kept or read; those not pushed stay pending
│   ├── UsageAway           the sink cannot be reached, or asks to come later: trying again may help
│   └── UsageRefused        the sink does not take it; `reason` says what to correct
└── JobError                one job could not be done; `kind` groups it for people
    ├── Throttled           nothing was created, it came too soon: wait and send again
    ├── NotCreated          proof that the provider made nothing: sending again is safe
    ├── Ambiguous           the provider may have made (and billed) it: look before paying again
    ├── Transient           the attempt ended without an image; another attempt may succeed
    │   └── NoRoom          the provider took the attempt and gave it back; counts as no attempt
    ├── Refused             moderation: the same prompt is never sent again by itself
    ├── Rejected            the request is wrong: retrying will not help
    ├── OutputGone          it was made and paid for, and can no longer be fetched
    ├── StatusUnreadable    the look at a known prediction broke: it says nothing, look again
    ├── UnreadableAnswer    it was answered and perhaps billed, and no image can be read from the answer
    ├── Unfetched           the image's host gave no whole answer: asking again is free
    └── BadImage            bytes came, but they are not a whole image
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any, ClassVar

from tasks.core.records import Problem

INTERRUPTED_STATUS = 130
"""Of a process that Ctrl-C ended, as shells say it: 128 and the number of SIGINT."""


class PortableError(Exception):
    """Base of exceptions that survive pickling with their fields, whatever their constructor takes."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling as it is: workers of a cluster send what they raise, and subclasses take other arguments."""
        # Made without `__init__`, which wants the arguments that built the text, not the text.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]  # pickle's own, which typeshed lacks


class ImagenError(PortableError):
    """Base of everything we raise on purpose; its text is fit for a user's screen."""

    exit_code: ClassVar[int] = 3
    """Of the process. 1 is for batches that finished with failed or held jobs."""


class InputError(ImagenError):
    """Raised when what the user gave cannot be used. Nothing was written and nothing was spent."""

    exit_code = 2


class ManifestError(InputError):
    """Raised when a manifest has problems; carries them all, up to a limit, and their number."""

    def __init__(self, problems: Sequence[Problem], total: int, notes: Sequence[str] = ()) -> None:
        """Keep `problems` (the first ones), `total` (how many there are in all), and `notes` on how the file was read."""
        self.problems = tuple(problems)
        self.total = total
        self.notes = tuple(notes)
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        lines = [str(problem) for problem in self.problems]
        # A manifest of the wrong format has a problem in each of its rows.
        hidden = self.total - len(self.problems)
        more = [f"... and {hidden} more problems"] if hidden else []
        return [*lines, *more, *(f"note: {note}" for note in self.notes)]


class ConfigError(InputError):
    """Raised when a setting cannot be used; the text names the file or variable and the setting."""


class OutputError(InputError):
    """Raised when the output folder or bucket cannot be made, read or written before anything was spent."""


class UnreadableFile(OutputError):
    """Raised when one file of an output is there and cannot be read; the others may be."""


class BatchLocked(InputError):
    """Raised when another living run holds the output folder."""


class BatchStopped(ImagenError):
    """Raised when a batch stops on purpose and can be resumed: budget, credit, token, access, error rate, disk, storage, signing, ledger, model."""

    def __init__(self, reason: str, message: str, *, why: str = "", frees_at_us: int | None = None) -> None:
        """Keep `reason`, one word for programs, and `why`, the message's first half for commands that run no batch."""
        self.reason = reason
        self.frees_at_us = frees_at_us
        """Microseconds since 1970 UTC at which the reason ends by itself; None where it does not."""
        self.why = why or message
        super().__init__(message)


class LeaseLost(ImagenError):
    """Raised when a worker's lease on a job is gone or ends too soon. Nothing was written; the job goes on elsewhere."""


class Interrupted(ImagenError):
    """Raised when a second signal stopped the run at once. What was in flight is found again by a resume."""

    exit_code = INTERRUPTED_STATUS


class UsageError(ImagenError):
    """Raised when usage rows could not be kept or read. Those not pushed stay pending; pushing again is safe and free."""


class UsageAway(UsageError):
    """Raised when the sink cannot be reached, or asks to come later. Trying again may help."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """Keep how long the sink asks to wait; None where it does not say."""
        self.retry_after_s = retry_after_s
        super().__init__(message)


class UsageRefused(UsageError):
    """Raised when the sink answers no. Trying again helps only after the setting that `reason` names is corrected."""

    exit_code = 2

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason` (`setting`, `key`, `expired`, `schema`, `permission`, `data`, `other`) beside the text."""
        self.reason = reason
        super().__init__(message)


class JobError(ImagenError):
    """Base of everything that ends one attempt without an image."""

    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, *, kind: str | None = None, cost_micros: int | None = 0) -> None:
        """Keep the text, the kind, and what the attempt cost (None: it may have cost something)."""
        self.error_kind = kind or type(self).kind
        self.cost_micros = cost_micros
        super().__init__(message)


class Throttled(JobError):
    """Raised when the provider created nothing because it came too soon. No money was spent; wait and send again."""

    kind = "throttled"

    def __init__(self, message: str, *, retry_after_s: float | None, creates_per_min: float | None = None) -> None:
        """Keep how long to wait, and the lower rate where the provider states one."""
        self.retry_after_s = retry_after_s
        self.creates_per_min = creates_per_min
        super().__init__(message)


class NotCreated(JobError):
    """Raised when it is proved that the provider created nothing. Retrying is safe; no money was spent."""

    kind = "unreachable"


class Ambiguous(JobError):
    """Raised when a submit ended without an answer. Money may have been spent; look the job up first."""

    kind = "ambiguous"


class StatusUnreadable(JobError):
    """Raised when an answer about a known prediction cannot be understood. It is no end of the prediction: look again."""

    kind = "status_unreadable"


class Transient(JobError):
    """Raised when an attempt ended without an image for a passing reason. A new attempt may succeed."""

    kind = "transient"


class NoRoom(Transient):
    """Raised when the provider took an attempt and gave it back because its queue is full. No money was spent."""

    kind = "throttled"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep how long to wait."""
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Refused(JobError):
    """Raised when the provider refused the prompt or the image. Retrying the same input will not help."""

    kind = "moderation"


class Rejected(JobError):
    """Raised when the provider calls the request invalid. Retrying will not help; no money was spent."""

    kind = "invalid"


class OutputGone(JobError):
    """Raised when a finished image can no longer be fetched. It was paid for; only a new attempt helps."""

    kind = "output_gone"


class Unfetched(JobError):
    """Raised when the host of a finished image gave no whole answer. It was paid for; fetching again is free."""

    kind = "unfetched"


class BadImage(JobError):
    """Raised when the bytes are not a whole image. Fetching again may help and costs nothing."""

    kind = "bad_image"


class UnreadableAnswer(JobError):
    """Raised when a paid call was answered and no image can be read from the answer.

    It may have been billed. Another attempt would end the same way until the configuration is right, so the answer is
    worth keeping: the backend's `reread` takes an image out of it later, without another call.
    """

    kind = "unreadable_answer"

    def __init__(
        self, message: str, *, raw: bytes, media_type: str = "", kind: str | None = None, cost_micros: int | None
    ) -> None:
        """Keep the answer's body as it came, decoded from its transfer, with the media type that its header states."""
        self.raw = raw
        self.media_type = media_type
        super().__init__(message, kind=kind, cost_micros=cost_micros)
