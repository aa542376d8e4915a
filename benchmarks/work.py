"""The work that every contender does, and the two steps that all of them do alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL = "black-forest-labs/flux-schnell"
TOKEN = "simulated"  # noqa: S105  any word is a token at the simulator
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
CREATE_HEADERS = {**AUTHORIZATION, "Prefer": "wait"}
"""The quickest way for a plain program: the service holds the create open until the picture is ready, up to a minute."""
POLL_S = 0.5
"""Seconds between the looks of a plain program at a prediction: those of Replicate's own client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A number of images, some of them in flight at once, from a service into a folder."""

    jobs: int
    in_flight: int
    api_url: str
    """Address of the service, without /v1."""
    kind: str = "webp"
    """Format of the images as the service calls it: webp, png or jpg."""
    folder: str
    """Exists and is empty; pictures go into it or below it."""

    @classmethod
    def parse(cls, text: str) -> Work:
        """The work that `as_text` has written."""
        return cls(**json.loads(text))

    def as_text(self) -> str:
        """On the way to another process."""
        return json.dumps(asdict(self))

    @property
    def creates_url(self) -> str:
        """The address at which predictions are created."""
        return f"{self.api_url}/v1/models/{MODEL}/predictions"

    def input(self, number: int) -> Mapping[str, Any]:
        """The input sent for one image; imagen sends the same names for a row with a prompt."""
        return {
            "prompt": build_prompt(number),
            "aspect_ratio": "1:1",
            "num_outputs": 1,
            "output_format": self.kind,
            "seed": number,
        }

    def keep(self, number: int, data: bytes, *, length: int | None) -> None:
        """Write the file, as a plain program does: nothing is checked but that all bytes came.

        Args:
            number: Of the image.
            data: What came.
            length: What the service announced; None where the client compares it itself.

        Raises:
            ValueError: Not all bytes came.
            OSError: They could not be written.
        """
        if length is not None and length != len(data):
            raise ValueError(f"{len(data)} bytes of {length} came")
        Path(self.folder, f"{number}.{self.kind}").write_bytes(data)


def build_prompt(number: int) -> str:
    """Of some sixty characters, like people's."""
    return f"a lighthouse in a storm, oil on canvas, number {number:09d}, evening light"
