"""Membership scores on models whose members are known, and what an ROC says of them, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


def test_log_odds_are_finite_at_the_ends():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    np.testing.assert_allclose(log_odds(np.array([0.2])), np.log(0.25))


def test_references_that_cannot_judge_are_refused():
    everyone = np.ones((2, 3), dtype=bool)
    with pytest.raises(InvalidInput, match="without"):
        by_likelihood_ratio(np.zeros(3), np.zeros((2, 3)), everyone)
    with pytest.raises(InvalidInput, match="not trained on it"):
        by_population(np.ones(3), np.ones((2, 3)), everyone, np.ones(2), np.ones((2, 2)))
