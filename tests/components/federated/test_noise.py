"""Noise against the exact distribution, and what it is said to buy against enumeration of every outcome."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import fftconvolve

from components.errors import InvalidInput
from components.federated.noise import add_noise, discrete_gaussian
from components.federated.noise_account import NoisePlan, epsilon_of, plan_noise, rho_of

FALSE_ALARM = 1e-6


def exact(deviation: int, reach: int) -> np.ndarray:
    """P(x) for x from -reach to reach."""
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-(x**2) / (2 * deviation**2))
    return weights / weights.sum()


def exact_delta(probabilities: np.ndarray, shift: int, epsilon: float) -> float:
    """sup over events of P(x) - e^epsilon P(x - shift)."""
    padded = np.pad(probabilities, shift)
    return float(np.maximum(padded - np.exp(epsilon) * np.roll(padded, shift), 0).sum())


@pytest.mark.parametrize("deviation", [1, 2, 3, 8])
def test_small_noise_has_its_distribution(deviation):
    size, reach = 60_000, 4 * deviation
    counts = np.bincount(np.clip(discrete_gaussian(size, deviation), -reach, reach) + reach, minlength=2 * reach + 1)
    expected = exact(deviation, 12 * deviation)
    middle = len(expected) // 2
    grouped = expected[middle - reach : middle + reach + 1].copy()
    grouped[0], grouped[-1] = expected[: middle - reach + 1].sum(), expected[middle + reach :].sum()
    assert stats.chisquare(counts, size * grouped / grouped.sum()).pvalue > FALSE_ALARM


@pytest.mark.parametrize("deviation", [1000, 2**20])
def test_large_noise_is_as_good_as_normal(deviation):
    drawn = discrete_gaussian(40_000, deviation)
    assert stats.kstest(drawn / deviation, "norm").pvalue > FALSE_ALARM
    assert len(np.unique(drawn[:20] % 16)) > 1


def test_noise_is_added_in_the_ring_and_never_twice_the_same():
    vector = np.zeros(1000, dtype=np.uint64)
    one, two = add_noise(vector, 50), add_noise(vector, 50)
    assert np.abs(one.view(np.int64)).max() < 50 * 10
    assert (one != two).mean() > 0.9
    assert not vector.any()


def test_a_secure_sum_of_noisy_vectors_has_the_noise_of_all(trial):
    batch, length, deviation = trial(4).set_up(), 20_000, 30
    vectors = {name: add_noise(np.full(length, 1000, dtype=np.uint64), deviation) for name in batch.names}
    total = batch.sum(vectors).total.view(np.int64)
    assert stats.kstest((total - 4000) / (2 * deviation), "norm").pvalue > FALSE_ALARM


@pytest.mark.parametrize("deviation", [0, -1, 1.5, 2**20 + 1])
def test_noise_that_cannot_be_drawn_exactly_is_refused(deviation):
    with pytest.raises(InvalidInput, match="deviation"):
        discrete_gaussian(3, deviation)


@pytest.mark.parametrize(("deviation", "contributors", "sensitivity"), [(3, 1, 2), (3, 4, 5), (20, 3, 9), (1, 9, 1)])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_the_guarantee_holds_and_is_not_idle_by_enumeration(deviation, contributors, sensitivity, delta):
    plan = NoisePlan(deviation, sensitivity, contributors, length=1, sums=1)
    total = part = exact(deviation, 14 * deviation)
    for _ in range(contributors - 1):
        total = np.convolve(total, part)
    claimed = plan.epsilon(delta)
    assert exact_delta(total, sensitivity, claimed) <= delta
    # Half of what is claimed would be a lie, unless the claim had to allow for the parts being few and small.
    if deviation > 1:
        assert exact_delta(total, sensitivity, claimed / 2) > delta


def test_many_sums_add_up_by_enumeration():
    """Eight sums, each moved by 3 of noise with deviation 12: the loss of all is the sum of eight losses."""
    probabilities = exact(12, 150)
    x = np.arange(-150, 151)
    loss = ((x - 3) ** 2 - x**2) / (2 * 12**2)
    grid = 1e-3
    spread = np.zeros(8001)
    np.add.at(spread, np.rint(loss / grid).astype(int) + 4000, probabilities)
    total = np.ones(1)
    for _ in range(8):
        total = np.maximum(fftconvolve(total, spread), 0)
    losses = (np.arange(len(total)) - len(total) // 2) * grid
    plan = NoisePlan(12, 3, contributors=1, length=1, sums=8)
    for delta in (1e-2, 1e-4):
        epsilon = plan.epsilon(delta)
        # The grid rounds each loss by half a step.
        assert np.sum(total * np.maximum(1 - np.exp(epsilon - losses - 8 * grid / 2), 0)) <= delta
        assert np.sum(total * np.maximum(1 - np.exp(epsilon / 1.5 - losses), 0)) > delta


@pytest.mark.parametrize("rho", [1e-4, 0.01, 0.5, 8])
@pytest.mark.parametrize("delta", [1e-2, 1e-5, 1e-9])
def test_conversion_lies_between_the_gaussian_s_own_and_the_simple_one(rho, delta):
    """A Gaussian of sensitivity sqrt(2 rho) is rho-zCDP; its exact delta is known in closed form."""
    epsilon, mu = epsilon_of(rho, delta), np.sqrt(2 * rho)
    assert epsilon <= rho + 2 * np.sqrt(rho * np.log(1 / delta)) + 1e-9
    gaussian = stats.norm.cdf(mu / 2 - epsilon / mu) - np.exp(epsilon + stats.norm.logcdf(-mu / 2 - epsilon / mu))
    assert gaussian <= delta * (1 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 4, 60])
@pytest.mark.parametrize("delta", [1e-2, 1e-9])
def test_what_may_be_spent_is_what_the_conversion_allows(epsilon, delta):
    rho = rho_of(epsilon, delta)
    assert epsilon_of(rho, delta) <= epsilon < epsilon_of(rho * (1 + 1e-6), delta)


def test_the_least_noise_is_planned():
    shape = {"sensitivity": 40.0, "contributors": 3, "length": 10_000, "sums": 60}
    plan = plan_noise(rho=0.1, **shape)
    assert plan.rho <= 0.1 < NoisePlan(plan.deviation - 1, **shape).rho


@pytest.mark.parametrize("change", [{"sums": 0}, {"contributors": 0}, {"sensitivity": 1e9}, {"rho": 0.0}])
def test_plans_without_sense_or_beyond_reach_are_refused(change):
    good = {"rho": 0.1, "sensitivity": 10, "contributors": 2, "length": 5, "sums": 3}
    with pytest.raises(InvalidInput):
        plan_noise(**good | change)


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 1e-6), (1, 0), (1, 1)])
def test_promises_without_sense_are_refused(epsilon, delta):
    with pytest.raises(InvalidInput, match="epsilon"):
        rho_of(epsilon, delta)
