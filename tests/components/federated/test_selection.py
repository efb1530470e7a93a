"""Who is chosen: as many as asked for, each with exactly its chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.federated.selection import Selection, choose, inclusion_probabilities

ACTIVITY = st.lists(st.integers(0, 10_000), min_size=1, max_size=60).map(np.array)
SELECTION = st.builds(
    Selection,
    by=st.sampled_from(["uniform", "activity", "mixture"]),
    owners=st.integers(2, 80),
    uniform_share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)


@given(ACTIVITY, SELECTION, st.integers(0, 1000))
def test_as_many_as_wanted_and_nobody_without_rows(activity, selection, number):
    wanted = min(selection.owners, (activity > 0).sum())
    chances = inclusion_probabilities(activity, selection)
    chosen = choose(activity, selection, number)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert chances.sum() == pytest.approx(wanted)
    assert len(chosen) == len(set(chosen)) == wanted
    assert (activity[chosen] > 0).all()
    np.testing.assert_array_equal(chosen, choose(activity, selection, number))


@pytest.mark.parametrize("by", ["uniform", "activity", "mixture"])
def test_over_many_rounds_each_owner_comes_as_often_as_its_chance_says(by):
    activity = np.array([1, 2, 3, 5, 8, 13, 21, 34, 55, 0])
    selection, rounds = Selection(by=by, owners=4, uniform_share=0.3), 20_000
    chances = inclusion_probabilities(activity, selection)
    counts = np.bincount(np.concatenate([choose(activity, selection, n) for n in range(rounds)]), minlength=10)
    deviations = np.sqrt(rounds * chances * (1 - chances))
    assert (np.abs(counts - rounds * chances) <= 5 * deviations + 1e-9).all()


def test_activity_decides_as_much_as_it_is_asked_to():
    activity = np.array([100, 300] * 50)
    ratio = {}
    for by in ("uniform", "activity", "mixture"):
        chances = inclusion_probabilities(activity, Selection(by=by, owners=10, uniform_share=0.5))
        ratio[by] = chances[1] / chances[0]
    assert ratio["uniform"] == pytest.approx(1)
    assert ratio["activity"] == pytest.approx(3)
    # Half of 1/100 and half of 300/20000 against half of 1/100 and half of 100/20000.
    assert ratio["mixture"] == pytest.approx((0.5 / 100 + 0.5 * 300 / 20_000) / (0.5 / 100 + 0.5 * 100 / 20_000))


def test_an_owner_due_more_than_one_place_always_comes_and_the_rest_share():
    chances = inclusion_probabilities(np.array([1000, 1, 1, 2]), Selection(by="activity", owners=2))
    np.testing.assert_allclose(chances, [1, 0.25, 0.25, 0.5])
