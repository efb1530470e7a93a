"""How numbers are written for people: rates in percent with the digits they deserve, a dash for what nobody measured.

One place, so that the plot, the table and the verdict show the same figure in the same way.
"""

from math import isfinite, isnan

from components.gates import reasons
from components.gates.reasons import limit

__all__ = ["ABSENT", "count", "interval", "is_rate", "limit", "measured", "percent", "quantity"]

ABSENT = "–"


def percent(rate: float | None) -> str:
    """A rate in percent, as the verdict's reasons give it; a dash where there is none."""
    if rate is None or isnan(rate):
        return ABSENT
    if not isfinite(rate):
        return "∞" if rate > 0 else "−∞"
    return reasons.percent(rate).replace("-", "−")


def count(rows: int | None) -> str:
    """A whole number with thin spaces between thousands."""
    return ABSENT if rows is None else f"{rows:,}".replace(",", "\u2009").replace("-", "−")


def quantity(value: float | None) -> str:
    """A number that is no rate, to four digits."""
    if value is None or isnan(value):
        return ABSENT
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")


def is_rate(*values: float | None) -> bool:
    """Whether every finite one of `values` could be a rate or a difference of rates."""
    return all(abs(value) <= 1 for value in values if value is not None and isfinite(value))


def measured(value: float | None, *, rate: bool) -> str:
    """`percent` or `quantity`."""
    return percent(value) if rate else quantity(value)


def interval(lower: float | None, upper: float | None, *, rate: bool) -> str:
    """'0.21 to 1.44 %'; a dash when neither end is known."""
    low, high = measured(lower, rate=rate), measured(upper, rate=rate)
    if low == high == ABSENT:
        return ABSENT
    return f"{low.removesuffix(' %') if high.endswith(' %') else low} to {high}"
