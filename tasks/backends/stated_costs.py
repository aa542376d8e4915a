"""Costs that a service states in its answers, held against the price that is known of the same run.

A cost is outside data: its unit may be another one than it is read in, and a price list grows old. Whatever differs is told,
once for each instance, so that neither is taken for the other in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backends.prices import MOST_RUN_USD
from tasks.core.display import current_display
from tasks.core.money import MICROS_PER_USD, format_micros

MOST_TIMES = 30
"""Times the expected cost, or its part, from where on a stated one is in another unit. Cents are 100 times as many as
dollars, and either price may be off by a factor of three; the dearest of a model's qualities costs some 15 times the cheapest."""
SILENT_SHARE = 0.1
"""Of the expected cost: discounts and roundings below it are not worth a word."""
DEAR_MICROS = MICROS_PER_USD
"""An image for more is told where no price is known to hold it against."""
_REMEDY = (
    "Correct the unit (`times` of the backend's `cost`) or the price (`price_usd`, or `prices`) in the configuration"
)


@dataclass(slots=True)
class StatedCosts:
    """The stated costs of one backend instance."""

    backend: str
    _has_told: bool = False

    def judge(self, stated_micros: int | None, expected_micros: int | None) -> int | None:
        """The stated cost where it can be one; None where it is in another unit, so that nobody knows the cost.

        Args:
            stated_micros: As the service states it, in millionths of a dollar; None where it states none.
            expected_micros: The price of the same run; None where none is known.
        """
        if stated_micros is None or not 0 <= stated_micros < MOST_RUN_USD * MICROS_PER_USD:
            return None
        stated = f"backend {self.backend!r} states a cost of {format_micros(stated_micros)}"
        if expected_micros is None:
            if stated_micros > DEAR_MICROS:
                self._tell(f"{stated} for an image, and no price is known to hold it against; it counts. {_REMEDY}")
            return stated_micros
        differs = f"{stated} where its price is {format_micros(expected_micros)}"
        if expected_micros and not _is_near(stated_micros, expected_micros):
            self._tell(f"{differs}: that is another unit, so it is not believed. {_REMEDY}")
            return None
        # One that is higher is told where it is more than was set aside, by `tasks.generate.accounts.attempt_money`.
        if stated_micros < expected_micros * (1 - SILENT_SHARE):
            self._tell(f"{differs}. It counts as stated, in budget and caps too. {_REMEDY}")
        return stated_micros

    def tell_free(self, stated_micros: int | None) -> None:
        """Tell of a cost that does not count, because the user has called the backend free."""
        if stated_micros:
            self._tell(
                f"backend {self.backend!r} states a cost of {format_micros(stated_micros)}, which counts as nothing "
                "because its `price_usd` is 0; take that out of the configuration if you pay for it"
            )

    def _tell(self, text: str) -> None:
        if not self._has_told:
            self._has_told = True
            current_display.get().alert(text)


def _is_near(stated_micros: int, expected_micros: int) -> bool:
    """True for nothing too: an image that a service gives away has no unit."""
    return not stated_micros or expected_micros / MOST_TIMES < stated_micros < expected_micros * MOST_TIMES
