"""What steps spend, against closed forms, dp-accounting and figures in the literature; noise for a budget."""

import math

import dp_accounting
import pytest
from scipy import optimize, stats

from components.errors import InvalidInput
from components.privacy.plan import Plan, constant, falling, plan_for
from components.privacy.renyi import renyi_epsilon
from components.privacy.spent import by_loss_distribution, privacy_spent
from components.privacy.steps import Steps, merged, require_delta


def gaussian_epsilon(noise: float, steps: int, delta: float) -> float:
    """Exact epsilon of `steps` Gaussian mechanisms on everybody (Balle and Wang 2018)."""
    mu = math.sqrt(steps) / noise

    def excess(epsilon):
        return (
            stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu) - delta
        )

    return optimize.brentq(excess, 0, 100)


@pytest.mark.parametrize(("noise", "steps"), [(2.0, 1), (2.0, 10), (8.0, 30)])
def test_steps_with_everybody_are_gaussian(noise, steps):
    exact = gaussian_epsilon(noise, steps, 1e-5)
    spent = privacy_spent([Steps(noise, 1.0, steps)], delta=1e-5)
    assert exact - 1e-3 <= spent.epsilon <= exact * 1.006 + 1e-3
    assert exact <= spent.checked <= exact * 1.006 + 1e-3


def test_the_known_figure_of_mnist():
    """Abadi et al. 2016: q = 0.01, sigma = 4, 10 000 steps, delta 1e-5 have epsilon 1.26 by moments; less here."""
    spent = privacy_spent([Steps(4.0, 0.01, 10_000)], delta=1e-5)
    assert 0.9 < spent.epsilon < 1.2


@pytest.mark.parametrize(
    "steps", [[Steps(1.0, 0.02, 400)], [Steps(0.7, 0.02, 40), Steps(1.4, 0.02, 200)], [Steps(30.0, 0.01, 100)]]
)
def test_two_accountants_agree_and_renyi_says_more(steps):
    spent = privacy_spent(steps, delta=1e-5)
    assert spent.accountant == "PRV"
    assert spent.epsilon == pytest.approx(spent.checked, rel=0.01, abs=5e-4)
    if len(steps) == 1 and steps[0].noise < 10:
        assert renyi_epsilon(steps, 1e-5) > spent.epsilon


def test_order_and_division_of_steps_make_no_difference():
    apart = [Steps(1.0, 0.02, 30), Steps(2.0, 0.02, 10), Steps(1.0, 0.02, 70)]
    assert merged(apart) == (Steps(1.0, 0.02, 100), Steps(2.0, 0.02, 10))
    assert privacy_spent([], delta=1e-5).epsilon == 0


def test_what_is_told_is_what_happened_in_a_two_point_world():
    """One Gaussian step is attacked best at a threshold; delta at the told epsilon is reached and not exceeded."""
    noise, delta = 1.0, 1e-3
    epsilon = privacy_spent([Steps(noise, 1.0, 1)], delta=delta).epsilon
    worst = max(
        stats.norm.sf(t, 1, noise) - math.exp(epsilon) * stats.norm.sf(t, 0, noise)
        for t in [k / 100 for k in range(-500, 500)]
    )
    assert 0.9 * delta < worst <= delta


@pytest.mark.parametrize(("epsilon", "batch", "epochs"), [(8.0, 20, 10), (1.0, 20, 10), (0.5, 50, 1), (3.0, 1000, 5)])
def test_the_noise_of_a_plan_keeps_to_its_budget_and_wastes_little(epsilon, batch, epochs):
    plan = plan_for(epsilon=epsilon, delta=1e-5, units=1000, batch=batch, epochs=epochs)
    assert privacy_spent(plan.steps, delta=1e-5).epsilon <= epsilon
    assert by_loss_distribution(plan.steps, 1e-5, interval=1e-3 * epsilon) > 0.97 * epsilon


def test_noise_is_that_of_dp_accounting():
    def event(noise):
        return dp_accounting.SelfComposedDpEvent(
            dp_accounting.PoissonSampledDpEvent(0.05, dp_accounting.GaussianDpEvent(noise)), 40
        )

    theirs = dp_accounting.calibrate_dp_mechanism(
        lambda: dp_accounting.pld.PLDAccountant(value_discretization_interval=1e-3), event, 2.0, 1e-4
    )
    assert plan_for(epsilon=2.0, delta=1e-4, units=400, batch=20, epochs=2).noise[0] == pytest.approx(theirs, rel=0.01)


def test_a_plan_with_falling_noise_spends_its_budget():
    plan = plan_for(epsilon=2.0, delta=1e-4, units=400, batch=20, epochs=2, schedule=falling(0.5))
    assert plan.noise[-1] == pytest.approx(plan.noise[0] / 2)
    assert 1.95 < plan.spent.epsilon <= 2.0
    even = plan_for(epsilon=2.0, delta=1e-4, units=400, batch=20, epochs=2, schedule=constant)
    assert plan.noise[0] > even.noise[0] > plan.noise[-1]


def test_the_first_steps_of_a_plan():
    plan = Plan((3.0, 2.0), rate=0.1, steps_an_epoch=10, delta=1e-4)
    assert plan.first(0) == ()
    assert plan.first(4) == (Steps(3.0, 0.1, 4),)
    assert plan.first(13) == (Steps(2.0, 0.1, 3), Steps(3.0, 0.1, 10))
    assert plan.first(20) == plan.steps


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0},
        {"epsilon": -1.0},
        {"epsilon": float("inf")},
        {"delta": 0},
        {"delta": 1.0},
        {"delta": 1e-3},
        {"batch": 0},
        {"batch": 1001},
        {"epochs": 0},
        {"epsilon": 1e6},
        {"schedule": lambda _: 0.0},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes):
    with pytest.raises(InvalidInput):
        plan_for(**{"epsilon": 3.0, "delta": 1e-4, "units": 1000, "batch": 100, "epochs": 2} | changes)


def test_a_delta_that_gives_a_unit_away_is_named():
    with pytest.raises(InvalidInput, match=r"delta 0\.001 .* 1000 units"):
        require_delta(1e-3, units=1000)


@pytest.mark.parametrize("steps", [(0.0, 0.1, 1), (1.0, 0.0, 1), (1.0, 1.1, 1), (1.0, 0.1, 0), (float("nan"), 0.1, 1)])
def test_steps_that_make_no_sense_are_refused(steps):
    with pytest.raises(InvalidInput):
        Steps(*steps)
