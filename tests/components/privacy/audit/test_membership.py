"""Membership scores on models whose members are known, and what an ROC says of them, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from components.errors import InvalidInput
from components.privacy.audit import by_likelihood_ratio, by_loss, by_population, log_odds, roc

COUNT, REFERENCES = 2000, 4


@pytest.fixture(scope="module")
def world():
    """Log odds by difficulty, to which training adds 1.5: of a target, who is in it, of references, who is in those."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 3, COUNT + 500)

    def model(members):
        return difficulty + 1.5 * members + rng.normal(0, 0.7, len(difficulty))

    member = np.append(rng.random(COUNT) < 0.5, np.zeros(500, dtype=bool))
    trained_on = np.zeros((REFERENCES, COUNT + 500), dtype=bool)
    for example in range(COUNT):
        trained_on[rng.permutation(REFERENCES)[: REFERENCES // 2], example] = True
    return model(member), member, np.array([model(chosen) for chosen in trained_on]), trained_on


def area(scores, member) -> float:
    return roc(scores, member).area().value


def test_references_find_more_than_the_loss(world):
    target, member, references, trained_on = (part[..., :COUNT] for part in world)
    loss = area(by_loss(np.log1p(np.exp(-target))), member)
    ratio = by_likelihood_ratio(target, references, trained_on)
    sigmoid = lambda values: 1 / (1 + np.exp(-values))  # noqa: E731
    population = by_population(
        sigmoid(target), sigmoid(references), trained_on, sigmoid(world[0][COUNT:]), sigmoid(world[2][:, COUNT:])
    )
    assert 0.52 < loss < 0.7
    assert area(ratio, member) > 0.8
    assert area(population, member) > loss + 0.05
    at_few_alarms = roc(ratio, member).true_positive_at(0.01)
    assert at_few_alarms.lower > 0.05 > roc(-target * 0 + by_loss(-target), member).true_positive_at(0.01).value


def test_nobody_is_found_where_nothing_was_learnt(world):
    rng = np.random.default_rng(1)
    _, member, references, trained_on = (part[..., :COUNT] for part in world)
    noise = rng.normal(size=COUNT)
    found = roc(by_likelihood_ratio(noise, rng.normal(size=references.shape), trained_on), member)
    assert found.area(confidence=0.9999).lower < 0.5 < found.area(confidence=0.9999).upper
    assert found.true_positive_at(0.01, confidence=0.9999).lower < 0.01


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_an_roc_is_scikit_learn_s(pairs):
    scores, member = (np.array(column) for column in zip(*pairs, strict=True))
    if member.all() or not member.any():
        with pytest.raises(InvalidInput):
            roc(scores, member)
        return
    ours = roc(scores, member)
    alarms, hits, _ = roc_curve(member, scores, drop_intermediate=False)
    np.testing.assert_allclose(ours.false_positive, alarms)
    np.testing.assert_allclose(ours.true_positive, hits)
    assert ours.area().value == pytest.approx(roc_auc_score(member, scores))
    for rate in (0.0, 0.1, 0.5, 1.0):
        assert ours.true_positive_at(rate).value == pytest.approx(hits[alarms <= rate].max())


def test_intervals_hold_the_truth():
    """Normal scores a distance 1 apart have area Phi(1 / sqrt 2) = 0.7602."""
    rng = np.random.default_rng(2)
    member = np.arange(600) < 300
    intervals = [roc(rng.normal(member), member).area() for _ in range(200)]
    assert 0.9 < np.mean([one.lower <= 0.7602 <= one.upper for one in intervals]) <= 1
    assert 0.02 < intervals[0].upper - intervals[0].value < 0.06


@pytest.mark.parametrize("each", [1, 5])
def test_intervals_of_rates_hold_the_truth_where_users_say_several_things(each):
    """Scores of a user are alike; an attack that finds 8 % of members at 1 % false alarms."""
    rng, count, shift = np.random.default_rng(3), 1000, 0.9213
    users = np.repeat(np.arange(2 * count // each), each)
    member = np.arange(2 * count) < count
    truth = stats.norm.sf(stats.norm.ppf(0.99) - shift)
    held, widths = 0, []
    for _ in range(120):
        scores = 0.8**0.5 * rng.normal(size=len(users))[users] + 0.2**0.5 * rng.normal(size=2 * count)
        rate = roc(scores + shift * member, member, users=users).true_positive_at(0.01)
        held += rate.lower <= truth <= rate.upper
        widths.append(rate.upper - rate.lower)
    assert truth == pytest.approx(0.08, abs=0.001)
    assert held >= 112
    assert (0.05 < np.mean(widths) < 0.15) if each == 1 else (0.08 < np.mean(widths) < 0.3)


def test_an_attack_that_knows_nothing_is_not_held_by_the_policy_s_least_pool_nor_failed_by_a_small_one():
    """As the gate decides: three attacks, 5 % of members at 1 % false alarms."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(150):
        found = [roc(rng.normal(size=2000), np.arange(2000) < 1000).true_positive_at(0.01) for _ in range(3)]
        held += any(one.upper > 0.05 for one in found)
    assert held <= 0.05 * 150
    small = [roc(rng.normal(size=120), np.arange(120) < 60).true_positive_at(0.01) for _ in range(150)]
    assert not any(one.lower > 0.05 for one in small)


def test_few_strangers_leave_a_rate_open():
    member = np.arange(60) < 40
    rate = roc(np.where(member, 2.0, -1.0) + np.linspace(0, 1, 60), member).true_positive_at(0.01)
    assert (rate.value, rate.lower, rate.upper) == (1.0, 0.0, 1.0)


def test_log_odds_are_finite_at_the_ends():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    np.testing.assert_allclose(log_odds(np.array([0.2])), np.log(0.25))


def test_references_that_cannot_judge_are_refused():
    everyone = np.ones((2, 3), dtype=bool)
    with pytest.raises(InvalidInput, match="without"):
        by_likelihood_ratio(np.zeros(3), np.zeros((2, 3)), everyone)
    with pytest.raises(InvalidInput, match="not trained on it"):
        by_population(np.ones(3), np.ones((2, 3)), everyone, np.ones(2), np.ones((2, 2)))
