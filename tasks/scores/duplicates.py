"""Groups of images that look alike, by the distance of their perceptual hashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

MOST_BITS = 6
"""Distance of near duplicates: another format or size changes 0 to 4 of the 64 bits, another image some 30."""
HASH_BITS = 64


def count_different_bits(one: int, other: int) -> int:
    """The Hamming distance."""
    return (one ^ other).bit_count()


def group_near_duplicates(hashes: Mapping[str, int]) -> list[list[str]]:
    """Names whose hashes are near each other, directly or through others; each group in the order given.

    Hashes that differ in at most `MOST_BITS` bits are equal in one of `MOST_BITS + 1` parts. So only those with
    an equal part are compared, instead of each with every other one.
    """
    equal: defaultdict[int, list[str]] = defaultdict(list)
    for name, value in hashes.items():
        equal[value].append(name)
    roots = {value: value for value in equal}
    for bucket in _share_a_part(list(equal)):
        for index, one in enumerate(bucket):
            for other in bucket[index + 1 :]:
                if count_different_bits(one, other) <= MOST_BITS:
                    roots[_find_root(roots, other)] = _find_root(roots, one)
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for name, value in hashes.items():
        groups[_find_root(roots, value)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _share_a_part(values: Sequence[int]) -> list[list[int]]:
    """The values with an equal part, for each part and its contents."""
    edges = [number * HASH_BITS // (MOST_BITS + 1) for number in range(MOST_BITS + 2)]
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for first, end in pairwise(edges):
        mask = (1 << (end - first)) - 1
        for value in values:
            buckets[first, value >> first & mask].append(value)
    return list(buckets.values())


def _find_root(roots: dict[int, int], value: int) -> int:
    while roots[value] != value:
        # Each look shortens the way for the next one.
        roots[value] = roots[roots[value]]
        value = roots[value]
    return value
