"""Answers that refuse the prompt, or some of their images: the others are kept, for they are paid for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from tasks.backends.http_api.answer import Answer, list_flags
from tasks.backends.http_api.options import HttpOptions

LEAST_BYTES = 32
"""A shorter list of numbers is no image."""


def is_refused(answer: Answer, options: HttpOptions) -> bool:
    """True if a value of the answer means that the prompt was refused, or every image of it."""
    slots = _list_slots(answer, options)
    flags = [flags for condition in options.refused_when if True in (flags := list_flags(condition, answer))]
    if all(len(one) == len(slots) for one in flags):
        return bool(flags) and not list_images(answer, options)
    # Values that are not as many as the images say nothing of a single one, such as one for each kind of offence.
    return True


def list_images(answer: Answer, options: HttpOptions) -> list[str]:
    """The texts at the place of the images, without those that a value of the same number refuses."""
    slots = _list_slots(answer, options)
    refused: set[int] = set()
    for condition in options.refused_when:
        if len(flags := list_flags(condition, answer)) == len(slots):
            refused |= {number for number, flag in enumerate(flags) if flag}
    return [text for number, value in enumerate(slots) if number not in refused for text in _list_texts(value)]


def count_billed(answer: Answer, options: HttpOptions) -> int:
    """The number of images of the answer that are billed."""
    return len(_list_slots(answer, options) if options.refusals_are_billed else list_images(answer, options))


def _list_slots(answer: Answer, options: HttpOptions) -> Sequence[Any]:
    """Values at the place of the images, null too where one is missing."""
    slots = answer.read_slots(options.output.at)
    return slots[0] if len(slots) == 1 and isinstance(slots[0], list) and not _is_bytes(slots[0]) else slots


def _list_texts(value: Any) -> list[str]:
    # Depth needs no bound here: the JSON reader has refused what is nested too deeply.
    if _is_bytes(value):
        return [base64.b64encode(bytes(number % 256 for number in value)).decode()]
    if isinstance(value, list):
        return [text for item in value for text in _list_texts(item)]
    return [value] if isinstance(value, str) and value else []


def _is_bytes(value: Any) -> bool:
    """True for an image as a list of its bytes, whose values JavaScript and Java write from 0 or from -128 on."""
    return isinstance(value, list) and len(value) >= LEAST_BYTES and all(type(item) is int for item in value)
