"""The outcome of a prediction that nobody stops: decided when it is created, by its input and the faults."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.backends.replicate_simulator.faults import FaultPlan
from tasks.backends.replicate_simulator.images import copy_image, make_image
from tasks.backends.replicate_simulator.models import FLUX_SCHNELL, Model
from tasks.backends.replicate_simulator.sizes import get_size

SUCCEEDED, FAILED, ABORTED, CANCELED = "succeeded", "failed", "aborted", "canceled"
DIRECTOR = "Director: unexpected error handling prediction (E9828)"
# Captured and documented errors (logs of other clients; Replicate docs, "Error codes"; read 2026-11).
FAILURES: Mapping[str, str] = {
    "failed_pa": "Prediction interrupted; please retry (code: PA)",
    "failed_director_e9828": DIRECTOR,
    "failed_e005": "The input or output was flagged as sensitive. Please try again with different inputs. (E005) (uIJ6l3ruRD)",
    "failed_nsfw": "All generated images contained NSFW content. Try running it again with a different prompt.",
}
SEVERAL = 4
"""Images of a prediction that makes more than it was asked for."""
FLAGGED_INDEX = 1
"""The image that a partly flagged prediction loses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A create that is let through, and what it takes to decide about it."""

    prediction_id: str
    subject: str
    """Decides its spread and faults: the same after a restart, where its id is another."""
    model: Model
    values: Mapping[str, Any]
    content: str
    """Model and input as one canonical text."""
    delivery_url: str
    picture_kb: int
    shrink: int
    picture_folder: str = ""

    @property
    def prompt(self) -> str:
        """The input's prompt."""
        return str(self.values.get("prompt", ""))

    @property
    def kind(self) -> str:
        """The format of its files: png, jpg or webp."""
        return str(self._taken.get("output_format", self.model.default("output_format")))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that the client asks for, in pixels."""
        return get_size(self._taken)

    @property
    def images(self) -> int:
        """The number of images that the client asks for."""
        return int(self._taken.get("num_outputs", 1))

    @property
    def _taken(self) -> Mapping[str, Any]:
        """Inputs that the model knows; the others change nothing."""
        # Unknown inputs pass here: nobody has established what the real service does with them.
        return {name: value for name, value in self.values.items() if name in self.model.fields}

    def render(self, index: int) -> bytes:
        """The bytes of one of its files."""
        name = f"{self.prediction_id}/{index}"
        if self.picture_folder:
            return copy_image(name, self.kind, self.picture_folder, kb=self.picture_kb)
        width, height = (max(1, side // self.shrink) for side in self.size)
        return make_image(name, self.kind, (width, height), kb=self.picture_kb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a prediction."""

    status: str
    error: str | None = None
    output: Any = None
    logs: str = ""
    files: tuple[str, ...] = ()
    """Names of its files; a missing image's place is empty."""
    starts: bool = True
    ends: bool = True

    @property
    def images(self) -> int:
        """Images delivered."""
        return sum(1 for name in self.files if name)


def decide(request: Request, plan: FaultPlan) -> Outcome:
    """The prediction's end; each fault that could strike is asked until one does."""

    def strikes(name: str) -> bool:
        return plan.strikes(name, request.content, request.prompt) is not None

    # The earliest fault wins: a prediction that never starts cannot fail for its prompt.
    if strikes("stuck_starting"):
        return Outcome(status=ABORTED, starts=False, ends=False)
    if strikes("aborted"):
        return Outcome(status=ABORTED, starts=False)
    # A known bug of flux-schnell there: multi-line prompts fail every time (reported by other clients, 2026).
    if request.model is FLUX_SCHNELL and "\n" in request.prompt and strikes("newline_e9828"):
        return Outcome(status=FAILED, error=DIRECTOR)
    for name, error in FAILURES.items():
        if strikes(name):
            return Outcome(status=FAILED, error=error)
    return _build_success(request, strikes)


def _build_success(request: Request, strikes: Callable[[str], bool]) -> Outcome:
    suffix = request.kind
    if strikes("wrong_suffix"):
        suffix = "webp" if suffix == "png" else "png"
    images = SEVERAL if strikes("several_images") else request.images
    files = [f"out-{index}.{suffix}" for index in range(images)]
    logs = f"Using seed: {request.values.get('seed', 0)}\n"
    if request.images > 1 and strikes("partial_nsfw"):
        # FLUX leaves flagged images out; the others keep their numbers (replicate/cog-flux, predict.py, read 2026-11).
        files[FLAGGED_INDEX] = ""
        logs += f"NSFW content detected in image {FLAGGED_INDEX}\n"
        logs += f"Total safe images: {request.images - 1} out of {request.images}\n"
    return Outcome(status=SUCCEEDED, output=_build_output(request, files, strikes), logs=logs, files=tuple(files))


def _build_output(request: Request, files: list[str], strikes: Callable[[str], bool]) -> Any:
    if strikes("output_null"):
        return None
    if strikes("output_data_uri"):
        # As sync answers had it in October 2024, with this media type (replicate-python issue 377).
        texts = (b64encode(request.render(index)).decode() for index, name in enumerate(files) if name)
        urls = [f"data:application/octet-stream;base64,{text}" for text in texts]
    else:
        urls = [f"{request.delivery_url}/delivery/xezq/{request.prediction_id}/{name}" for name in files if name]
    if strikes("output_dict"):
        return {"image": urls[0]}
    return urls if request.model.answers_list else urls[0]
