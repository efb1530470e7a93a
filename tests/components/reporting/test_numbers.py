"""Figures as people read them."""

import pytest

from components.reporting.numbers import count, interval, is_rate, limit, percent, quantity

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rate", "written"),
    [(0.0, "0.00 %"), (0.00461, "0.46 %"), (0.09994, "9.99 %"), (0.09996, "10.0 %"), (0.25, "25.0 %"), (1, "100.0 %"),
     (-0.0123, "−1.23 %"), (None, "–"), (NAN, "–"), (INF, "∞"), (-INF, "−∞")],
)  # fmt: skip
def test_percent(rate, written):
    assert percent(rate) == written


def test_budgets_keep_the_digits_of_their_author():
    assert [limit(rate) for rate in (0.01, 0.005, 0.0125, 0.5)] == ["1 %", "0.5 %", "1.25 %", "50 %"]


def test_counts_and_quantities():
    assert count(1234567) == "1\u2009234\u2009567"
    assert count(None) == "–"
    assert [quantity(value) for value in (0.69314, -2, NAN, INF)] == ["0.6931", "−2", "–", "∞"]


def test_intervals():
    assert interval(0.0021, 0.0144, rate=True) == "0.21 to 1.44 %"
    assert interval(-INF, 0.01, rate=True) == "−∞ to 1.00 %"
    assert interval(0.01, INF, rate=True) == "1.00 % to ∞"
    assert interval(NAN, NAN, rate=True) == "–"
    assert interval(3, 8, rate=False) == "3 to 8"


def test_what_could_be_a_rate():
    assert is_rate(0.2, -0.4, INF, NAN)
    assert not is_rate(0.2, 500)
