"""Lower bounds of epsilon: below the truth for correct mechanisms, above the claim for every planted bug."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from components.errors import InvalidInput
from components.privacy.audit import gaussian_bound, one_run_bound, poisson_p_value, two_world_bound
from components.privacy.audit.lower_bound import gaussian_epsilon
from components.privacy.clipping import Flat
from components.privacy.engines import BookKeeping, MicroBatches
from components.privacy.noise import with_noise
from components.privacy.plan import Plan
from components.privacy.randomness import SecureRandomness
from components.privacy.spent import privacy_spent
from components.privacy.steps import Steps
from components.privacy.training import PrivateTraining
from components.privacy.units import Rows, Utterances

torch.set_num_threads(1)
DELTA, NOISE = 1e-5, 1.0
CLAIM = privacy_spent([Steps(NOISE, 1.0, 1)], delta=DELTA).epsilon
"""One step with everybody at noise multiplier 1: epsilon 4.38."""
SURE = 1 - 1e-6
"""Confidence of bounds whose noise cannot be seeded, so that a sound mechanism does not fail by chance."""
VALUES = torch.tensor([[-1.0], [30.0]])
WITH, WITHOUT = (Rows(np.arange(size)[:, None], np.ones((size, 1))) for size in (2, 1))


def released(engine, rows: Rows, count: int, *, sensitivity: float, noise: float = NOISE, times: int = 1) -> np.ndarray:
    """What `count` runs of `times` steps each release of a canary whose gradient is opposite to another's."""
    model = nn.Linear(1, 1, bias=False)
    randomness = SecureRandomness()
    total = engine.clipped_sum(model, lambda model, rows: model(VALUES[rows])[:, 0], rows, Flat(1.0), randomness).total
    # The sum is the same in every run; the noise is not.
    wide = torch.nn.Parameter(torch.zeros(count))
    spread = {wide: total[model.weight].flatten().expand(count)}
    runs = [
        with_noise(spread, [wide], noise_multiplier=noise, sensitivity=sensitivity, randomness=randomness)[wide]
        for _ in range(times)
    ]
    return sum(runs).detach().numpy()


def bounds(count: int = 20_000, **mechanism) -> tuple[float, float]:
    """Both two-world bounds for a mechanism."""
    with_it, without = (released(rows=rows, count=count, **mechanism) for rows in (WITH, WITHOUT))
    return tuple(bound(with_it, without, delta=DELTA, confidence=SURE) for bound in (two_world_bound, gaussian_bound))


@pytest.mark.parametrize(
    "mechanism",
    [
        {"engine": BookKeeping(), "sensitivity": BookKeeping.sensitivity},
        {"engine": MicroBatches(1), "sensitivity": MicroBatches.sensitivity},
    ],
)
def test_correct_mechanisms_pass_and_are_nearly_reached(mechanism):
    plain, gaussian = bounds(**mechanism)
    assert 1.0 < plain <= CLAIM
    assert 0.75 * CLAIM < gaussian <= CLAIM


@pytest.mark.parametrize(
    "mechanism",
    [
        pytest.param({"engine": MicroBatches(1), "sensitivity": 1.0}, id="2C forgotten"),
        pytest.param({"engine": BookKeeping(), "sensitivity": 1.0, "noise": NOISE / 2}, id="noise halved"),
        pytest.param({"engine": BookKeeping(), "sensitivity": 1.0, "times": 4}, id="budget counted once"),
    ],
)
def test_planted_bugs_are_caught(mechanism):
    assert bounds(**mechanism)[1] > CLAIM


def counts(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (steps, units): how many were in each step, and how often each unit was."""
    return present.sum(axis=1), present.sum(axis=0)


@pytest.mark.parametrize("shuffled", [False, True])
def test_shuffled_batches_are_caught_and_poisson_samples_pass(shuffled):
    steps, units, batch = 200, 400, 40
    present = np.zeros((steps, units), dtype=bool)
    rng, randomness = np.random.default_rng(0), SecureRandomness()
    for step in range(steps):
        if shuffled:
            if step % (units // batch) == 0:
                order = rng.permutation(units)
            place = step % (units // batch) * batch
            present[step, order[place : place + batch]] = True
        else:
            present[step, Utterances(units).sample(batch / units, randomness).rows[:, 0]] = True
    assert (poisson_p_value(*counts(present), batch / units) < 1e-6) == shuffled


def test_samples_of_few_are_not_taken_for_faults():
    """Units that take part once on average have counts whose squares spread more than chi-square's."""
    rng = np.random.default_rng(1)
    found = [poisson_p_value(*counts(rng.random((100, 3000)) < 0.01), 0.01) for _ in range(200)]
    assert np.mean(np.array(found) < 0.05) < 0.1
    assert np.mean(np.array(found) < 0.01) < 0.03


def test_batches_of_fixed_size_or_another_rate_are_caught():
    rng = np.random.default_rng(0)
    fixed = np.zeros((200, 400), dtype=bool)
    for step in fixed:
        step[rng.choice(400, 40, replace=False)] = True
    assert poisson_p_value(*counts(fixed), 0.1) < 1e-6
    assert poisson_p_value(*counts(rng.random((200, 400)) < 0.11), 0.1) < 1e-6


@pytest.mark.parametrize(
    ("in_step", "of_unit", "named"), [([3, 4], [1, 2], "7 and units 3"), ([3], [1, 1, 1], "1 steps of 3 units")]
)
def test_counts_that_cannot_be_judged_are_refused(in_step, of_unit, named):
    with pytest.raises(InvalidInput, match=named):
        poisson_p_value(in_step, of_unit, 0.1)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_the_plain_bound_holds_for_randomised_response(epsilon):
    """The mechanism in which the inequality is an equality: it is nearly reached, and hardly ever passed."""
    rng = np.random.default_rng(1)
    accuracy = 1 / (1 + math.exp(-epsilon))
    found = [
        two_world_bound(
            (rng.random(3000) < accuracy).astype(float), (rng.random(3000) > accuracy).astype(float), delta=0.0
        )
        for _ in range(40)
    ]
    assert sum(bound > epsilon for bound in found) <= 8
    assert np.median(found) > 0.75 * epsilon - 0.01


@pytest.mark.parametrize(("shift", "delta"), [(0.3, 1e-3), (1.0, 1e-5), (4.0, 1e-6)])
def test_epsilon_of_a_shift_is_the_exact_one(shift, delta):
    epsilon = gaussian_epsilon(shift, delta)
    exact = stats.norm.cdf(shift / 2 - epsilon / shift) - math.exp(epsilon) * stats.norm.cdf(
        -shift / 2 - epsilon / shift
    )
    assert exact == pytest.approx(delta, rel=1e-6)
    assert gaussian_epsilon(0.0, delta) == gaussian_epsilon(-1.0, delta) == 0


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_one_run_holds_for_randomised_response_on_every_canary(epsilon):
    rng = np.random.default_rng(2)
    accuracy = 1 / (1 + math.exp(-epsilon))
    found = [
        one_run_bound(canaries=1000, guesses=1000, right=int(rng.binomial(1000, accuracy)), delta=0.0)
        for _ in range(30)
    ]
    assert sum(bound > epsilon for bound in found) <= 6
    assert np.median(found) > 0.7 * epsilon - 0.05


def test_one_run_by_enumeration_without_delta():
    """P[Binomial(10, q) >= 9] = 0.05 at the bound."""
    epsilon = one_run_bound(canaries=10, guesses=10, right=9, delta=0.0)
    assert stats.binom.sf(8, 10, 1 / (1 + math.exp(-epsilon))) == pytest.approx(0.05)
    assert one_run_bound(canaries=10, guesses=10, right=9, delta=1e-3) < epsilon
    assert one_run_bound(canaries=100, guesses=10, right=5, delta=0.0) == 0


def test_one_run_catches_noise_that_was_halved():
    """Many canaries with gradients at right angles in one step: each coordinate of the sum is a guess."""
    rng, count = np.random.default_rng(3), 2000
    put_in = rng.random(count) < 0.5
    weight = torch.nn.Parameter(torch.zeros(count))

    def bound(noise: float) -> float:
        total = {weight: torch.from_numpy(put_in).float()}
        seen = with_noise(total, [weight], noise_multiplier=noise, sensitivity=1.0, randomness=SecureRandomness())[
            weight
        ].numpy()
        sure = np.argsort(-np.abs(seen - 0.5))[:300]
        right = int(((seen[sure] > 0.5) == put_in[sure]).sum())
        return one_run_bound(canaries=count, guesses=300, right=right, delta=DELTA, confidence=0.999)

    claim = privacy_spent([Steps(2.0, 1.0, 1)], delta=DELTA).epsilon
    assert bound(2.0) <= claim
    assert bound(0.4) > claim


@pytest.mark.parametrize("honest", [True, False])
def test_a_whole_training_is_audited_in_one_run(honest):
    """Canaries at right angles, half of them put in; their weights after four steps are the auditor's guesses."""
    canaries = 1000
    put_in = np.random.default_rng(5).permutation(canaries) < canaries // 2
    present = torch.from_numpy(np.flatnonzero(put_in))
    model = nn.Linear(canaries, 1, bias=False)
    nn.init.zeros_(model.weight)

    def losses(model, rows):
        return -model(functional.one_hot(present[rows], canaries).float())[:, 0]

    claimed = Plan((2.0,), rate=0.5, steps_an_epoch=4, delta=DELTA)
    plan = claimed if honest else Plan((0.1,), rate=0.5, steps_an_epoch=4, delta=DELTA)
    private = PrivateTraining(
        model, torch.optim.SGD(model.parameters(), 1.0), losses, units=Utterances(len(present)), plan=plan
    )
    for rows in private.epoch():
        private.step(rows)
    weight = model.weight.detach().numpy()[0]
    middle = np.median(weight)
    sure = np.argsort(-np.abs(weight - middle))[:300]
    right = int(((weight[sure] > middle) == put_in[sure]).sum())
    bound = one_run_bound(canaries=canaries, guesses=300, right=right, delta=DELTA, confidence=0.999)
    assert (bound <= claimed.spent.epsilon) == honest
    assert bound > 0


def test_too_few_scores_are_refused():
    for bound in (two_world_bound, gaussian_bound):
        with pytest.raises(InvalidInput, match="3 and 9"):
            bound(np.zeros(3), np.zeros(9), delta=0.0)


@pytest.mark.parametrize("counts", [(10, 5, 6), (10, 11, 5), (0, 0, 0), (10, 5, -1)])
def test_guesses_that_make_no_sense_are_refused(counts):
    canaries, guesses, right = counts
    with pytest.raises(InvalidInput):
        one_run_bound(canaries=canaries, guesses=guesses, right=right, delta=0.0)
