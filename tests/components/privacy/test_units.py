"""Poisson sampling of utterances and of users: independent, with the rate asked for, empty batches kept."""

import numpy as np
import pytest
from scipy import stats

from components.errors import InvalidInput
from components.privacy.randomness import SecureRandomness
from components.privacy.units import Users, Utterances

FALSE_ALARM = 1e-6


def test_every_utterance_takes_part_on_its_own():
    units, randomness = Utterances(60), SecureRandomness()
    present = np.zeros((3000, 60), dtype=bool)
    for step in present:
        step[units.sample(0.2, randomness).rows[:, 0]] = True
    counts = present.sum(0)
    assert stats.chisquare(counts, np.full(60, counts.mean())).pvalue > FALSE_ALARM
    sizes = present.sum(1)
    assert stats.binomtest(int(present.sum()), present.size, 0.2).pvalue > FALSE_ALARM
    # Batches of one size, as shuffling makes them, would have no variance.
    assert sizes.var() == pytest.approx(60 * 0.2 * 0.8, rel=0.2)
    pairs = np.corrcoef(present.T)[np.triu_indices(60, 1)]
    assert np.abs(pairs).max() < 6.5 / np.sqrt(3000)


def test_empty_batches_are_kept():
    sizes = [len(Utterances(20).sample(0.01, SecureRandomness())) for _ in range(60)]
    assert 0 in sizes


def test_a_user_s_rows_come_together_and_count_one():
    user = np.array(list("abcabca"))
    rows = Users(user, most=5).sample(1.0, SecureRandomness())
    assert rows.rows.shape == (3, 3)
    np.testing.assert_allclose(rows.shares.sum(axis=1), 1)
    for own, shares, name in zip(rows.rows, rows.shares, "abc", strict=True):
        assert set(own[shares > 0]) == set(np.flatnonzero(user == name))
        assert (user[own] == name).all()


def test_of_a_user_with_many_rows_some_are_drawn_anew_each_time():
    user = np.repeat([0, 1], [40, 2])
    units, randomness = Users(user, most=4), SecureRandomness()
    seen = np.zeros(42)
    for _ in range(400):
        rows = units.sample(1.0, randomness)
        assert len(set(rows.rows[0])) == 4
        np.add.at(seen, rows.rows[0], 1)
    assert stats.chisquare(seen[:40]).pvalue > FALSE_ALARM


def test_users_are_sampled_whatever_they_gave():
    user = np.repeat(np.arange(50), np.arange(1, 51))
    units, randomness = Users(user), SecureRandomness()
    counts = np.zeros(50)
    for _ in range(1000):
        np.add.at(counts, user[units.sample(0.3, randomness).rows[:, 0]], 1)
    assert units.count == 50
    assert stats.chisquare(counts, np.full(50, counts.mean())).pvalue > FALSE_ALARM


def test_parts_hold_every_unit_once_and_no_more_rows_than_asked():
    rows = Users(np.arange(30) % 10, most=3).sample(1.0, SecureRandomness())
    parts = rows.parts(8)
    assert [part.rows.size for part in parts] == [6, 6, 6, 6, 6]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), rows.rows)
    assert all(len(part) == 1 for part in rows.parts(1))


def test_like_lengths_come_together():
    lengths = np.array([5, 1, 9, 3])
    rows = Utterances(4).sample(1.0, SecureRandomness()).sorted_by(lengths)
    assert rows.rows[:, 0].tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    "make", [lambda: Utterances(1), lambda: Users(np.zeros(5)), lambda: Users(np.arange(5), most=0)]
)
def test_nobody_to_hide_among_is_refused(make):
    with pytest.raises(InvalidInput):
        make()
