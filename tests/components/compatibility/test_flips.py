"""Flip counts, and the rates that follow from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.compatibility.flips import FlipCounts, churn, count_flips

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


def test_each_row_is_counted_as_what_it_is():
    old = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    new = np.array([1, 0, 0, 1, 1, 0], dtype=bool)
    assert count_flips(old, new) == FlipCounts(both_right=1, negative=2, positive=2, both_wrong=1)


@given(PAIRS)
def test_rates_are_those_of_the_rows(pairs):
    old, new = np.array(pairs, dtype=bool).T
    flips = count_flips(old, new)
    assert flips.rows == len(pairs)
    assert flips.negative_flip_rate == pytest.approx(np.mean(old & ~new))
    assert flips.positive_flip_rate == pytest.approx(np.mean(~old & new))
    assert flips.error_old == pytest.approx(np.mean(~old))
    assert flips.error_new == pytest.approx(np.mean(~new))


@given(PAIRS)
def test_error_changes_by_negative_minus_positive_flips(pairs):
    flips = count_flips(*np.array(pairs, dtype=bool).T)
    assert flips.error_new - flips.error_old == pytest.approx(flips.negative_flip_rate - flips.positive_flip_rate)


def test_independent_models_have_a_relative_nfr_of_one():
    old, new = np.repeat([True, False], [80, 20]), np.tile([True] * 9 + [False], 10)
    assert count_flips(old, new).relative_nfr == pytest.approx(1)


def test_rates_without_rows_are_no_numbers():
    nothing = count_flips(np.array([], dtype=bool), np.array([], dtype=bool))
    assert np.isnan([nothing.negative_flip_rate, nothing.error_new, nothing.relative_nfr]).all()
    assert np.isnan(churn(np.array([]), np.array([])))


def test_churn_counts_changes_between_wrong_answers_too():
    assert churn(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 0])) == 0.5


def test_churn_of_numbers_has_a_tolerance():
    old, new = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.1, 2.0, 3.9, 9.0])
    assert churn(old, new, tolerance=0.5) == 0.5
    assert churn(old, new) == 0.75
