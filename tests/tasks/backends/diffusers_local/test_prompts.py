"""What is kept of encoded prompts, and that nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.diffusers_local import prompts
from tasks.backends.diffusers_local.prompts import KEPT_CALLS, EncodedPrompts


@pytest.mark.usefixtures("tiny_flux")
def test_an_answer_is_given_again_for_the_very_same_question() -> None:
    """Every argument counts; the oldest answers go, and a pipeline that works in place spoils none."""
    import torch

    asked: list[Any] = []

    def encode(prompt: Any, *, scale: float | None = None) -> tuple[Any, None]:
        asked.append((prompt, scale))
        return torch.full((1, 2), float(len(asked))), None

    encoded = EncodedPrompts(encode)
    first, nothing = encoded(prompt=["fox"])
    first.zero_()
    assert encoded(prompt=["fox"])[0].tolist() == [[1.0, 1.0]]
    assert nothing is None
    encoded(prompt=["fox"], scale=1.0)
    encoded(prompt=["fox", "fox"])
    assert asked == [(["fox"], None), (["fox"], 1.0), (["fox", "fox"], None)]
    for number in range(KEPT_CALLS):
        encoded(prompt=[str(number)])
    encoded(prompt=["fox"])
    assert len(asked) == 3 + KEPT_CALLS + 1


@pytest.mark.usefixtures("tiny_flux")
def test_what_is_not_plain_data_is_never_remembered() -> None:
    """A tensor has no cheap and certain identity, so it is encoded every time."""
    import torch

    asked: list[Any] = []
    encoded = EncodedPrompts(asked.append)
    for _ in range(2):
        encoded([torch.zeros(1)])
    assert len(asked) == 2


@pytest.mark.usefixtures("tiny_flux")
def test_what_is_kept_has_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large batch's encoded prompts would fill the device; what is too large alone is not kept at all."""
    import torch

    asked: list[int] = []

    def encode(size: int) -> tuple[Any, None]:
        asked.append(size)
        return torch.zeros(size, dtype=torch.uint8), None

    monkeypatch.setattr(prompts, "KEPT_BYTES", 10)
    encoded = EncodedPrompts(encode)
    for size in (4, 5, 4, 5, 6, 5, 4, 20, 20):
        assert encoded(size)[0].nbytes == size
    assert asked == [4, 5, 6, 5, 4, 20, 20]
