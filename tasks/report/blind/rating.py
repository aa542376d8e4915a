"""Strength of models from comparisons: win rates with Wilson's interval, ratings of Bradley and Terry on Elo's scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Z = 1.959963984540054
"""Of a two-sided interval of 95 %."""
MEAN_RATING = 1000.0
POINTS = 400 / math.log(10)
"""Elo points of one unit on the logistic scale: 400 points are odds of 10 to 1."""
PRIOR_SD = 400 / POINTS
# A step is cut to this, so that Newton's method cannot leave the region where it converges.
MOST_STEP = 1.0
MOST_STEPS = 200
CLOSE = 1e-10

Interval = tuple[float, float, float]
"""Estimate, and the lower and upper end of its 95 % interval."""


def estimate_win_rate(won: float, comparisons: int) -> Interval | None:
    """The share of comparisons won, with Wilson's interval; None without any.

    Args:
        won: A tie is half a win.
        comparisons: Ties among them.
    """
    if not comparisons:
        return None
    rate, weight = won / comparisons, Z * Z / comparisons
    centre = (rate + weight / 2) / (1 + weight)
    half = Z * math.sqrt(rate * (1 - rate) / comparisons + weight / (4 * comparisons)) / (1 + weight)
    return rate, max(0.0, centre - half), min(1.0, centre + half)


def rate_models(scores: Mapping[tuple[int, int], float], count: int) -> list[Interval]:
    """Rating of each of `count` models by the model of Bradley and Terry; their mean is 1000.

    A weak prior (a standard deviation of 400 points) keeps the rating finite of a model that won or lost everything.

    Args:
        scores: Wins of the first over the second, by their numbers; a tie is half a win for both.
        count: Number of models.
    """
    strengths = [0.0] * count
    for _ in range(MOST_STEPS):
        slope, curvature = _differentiate(scores, strengths)
        covariance = _invert(curvature)
        steps = [sum(part * value for part, value in zip(row, slope, strict=True)) for row in covariance]
        largest = max(map(abs, steps))
        factor = min(1.0, MOST_STEP / largest) if largest else 0.0
        strengths = [strength + factor * step for strength, step in zip(strengths, steps, strict=True)]
        if largest < CLOSE:
            break
    covariance = _invert(_differentiate(scores, strengths)[1])
    # Only differences between models mean anything, so the variance of what all share is taken out.
    means = [sum(row) / count for row in covariance]
    overall = sum(means) / count
    errors = [math.sqrt(max(0.0, covariance[number][number] - 2 * means[number] + overall)) for number in range(count)]
    return [_scale(strength, error) for strength, error in zip(strengths, errors, strict=True)]


def _scale(strength: float, error: float) -> Interval:
    rating, half = MEAN_RATING + POINTS * strength, Z * POINTS * error
    return rating, rating - half, rating + half


def _differentiate(
    scores: Mapping[tuple[int, int], float], strengths: Sequence[float]
) -> tuple[list[float], list[list[float]]]:
    """Slope and negative curvature of the logarithm of the posterior."""
    count, prior = len(strengths), 1 / PRIOR_SD**2
    slope = [-prior * strength for strength in strengths]
    curvature = [[prior * (row == column) for column in range(count)] for row in range(count)]
    for (winner, loser), won in scores.items():
        surprise = 1 / (1 + math.exp(strengths[winner] - strengths[loser]))
        slope[winner] += won * surprise
        slope[loser] -= won * surprise
        weight = won * surprise * (1 - surprise)
        for one, other in ((winner, loser), (loser, winner)):
            curvature[one][one] += weight
            curvature[one][other] -= weight
    return slope, curvature


def _invert(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """The inverse of a symmetric positive definite matrix, which needs no exchange of rows."""
    size = len(matrix)
    rows = [[*row, *(float(number == column) for column in range(size))] for number, row in enumerate(matrix)]
    for pivot in range(size):
        scale = rows[pivot][pivot]
        rows[pivot] = [value / scale for value in rows[pivot]]
        for number in range(size):
            if number != pivot and (factor := rows[number][pivot]):
                rows[number] = [value - factor * part for value, part in zip(rows[number], rows[pivot], strict=True)]
    return [row[size:] for row in rows]
