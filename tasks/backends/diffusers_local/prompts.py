"""Encoded prompts kept for a while, so that the samples of one row do not go through the text encoders again.

What is kept is a whole call of the pipeline's own `encode_prompt`, by all of its arguments: that holds for every
pipeline, whatever its encoders return, and the pipeline cannot tell the difference.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

# Kept calls; a batch has few prompts at a time, and each of them holds memory of the device.
KEPT_CALLS = 8
KEPT_BYTES = 256 * 2**20
"""Of the device's memory at most, whatever the batch size: a FLUX prompt is 4 MB in bfloat16."""
METHOD = "encode_prompt"


def keep_encoded_prompts(pipe: Any) -> None:
    """Let a pipeline remember its last calls of `encode_prompt`; one without that method stays as it is."""
    if callable(encode := getattr(pipe, METHOD, None)):
        setattr(pipe, METHOD, EncodedPrompts(encode))


class EncodedPrompts:
    """Stands for `encode_prompt` and answers what it was asked before."""

    def __init__(self, encode: Callable[..., Any]) -> None:
        """Stand for this bound method."""
        self._encode = encode
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The method's answer; calls that were given tensors are not remembered."""
        key = _freeze([args, sorted(kwargs.items())])
        if key is None:
            return self._encode(*args, **kwargs)
        if key not in self._kept:
            answer = self._kept[key] = self._encode(*args, **kwargs)
            while self._kept and (len(self._kept) > KEPT_CALLS or _count_bytes(list(self._kept.values())) > KEPT_BYTES):
                self._kept.popitem(last=False)
            return _copy(answer) if key in self._kept else answer
        # Used now, so it is given up last.
        self._kept.move_to_end(key)
        return _copy(self._kept[key])


def _freeze(value: Any) -> Hashable | None:
    """A key that equal arguments share; None when one of them is more than plain data."""
    import torch

    if isinstance(value, list | tuple):
        parts = [_freeze(part) for part in value]
        # A tensor has no value to compare by, so the call is not kept at all.
        return None if None in parts else (type(value).__name__, *parts)
    if value is None or isinstance(value, str | bool | int | float | torch.device | torch.dtype):
        return (type(value).__name__, value)
    return None


def _count_bytes(answer: Any) -> int:
    """Count the bytes in the tensors of an answer."""
    import torch

    if isinstance(answer, torch.Tensor):
        return int(answer.nbytes)
    return sum(_count_bytes(part) for part in answer) if isinstance(answer, list | tuple) else 0


def _copy(answer: Any) -> Any:
    """The answer with tensors of its own: a pipeline may work in place."""
    import torch

    if isinstance(answer, torch.Tensor):
        return answer.clone()
    if type(answer) in {list, tuple}:
        return type(answer)(_copy(part) for part in answer)
    return answer
