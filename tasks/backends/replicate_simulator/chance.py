"""Chance that repeats itself: numbers and ids that follow from a seed and a subject, in whatever order they are asked for."""

from __future__ import annotations

from hashlib import blake2b

# Crockford's alphabet without i, l, o and u, as the captured ids have it.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 26
"""As in captured ids: 26 lower-case letters and digits."""
BITS_PER_LETTER = 5
TWO_TO_64 = 2**64


def draw(seed: int, *subject: object) -> float:
    """A number from 0 up to 1, always the same one for the same seed and subject."""
    return int.from_bytes(_hash(seed, subject, 8), "big") / TWO_TO_64


def draw_identifier(seed: int, *subject: object) -> str:
    """An id of a prediction, always the same one for the same seed and subject."""
    number = int.from_bytes(_hash(seed, subject, 17), "big")
    return "".join(ALPHABET[number >> BITS_PER_LETTER * place & 31] for place in range(ID_LENGTH))


# `repr` tells 1 from "1", so two subjects that look alike get numbers of their own.
def _hash(seed: int, subject: tuple[object, ...], size: int) -> bytes:
    return blake2b(repr((seed, subject)).encode(), digest_size=size).digest()
