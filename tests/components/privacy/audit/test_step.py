"""The noise a step really has: correct steps pass and are nearly reached, every planted fault is measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from components.errors import InvalidInput
from components.privacy import Automatic, BookKeeping, Flat, MicroBatches, OneByOne, PrivateTraining, Quantile, plan_for
from components.privacy.audit import Watched, audit_step, poisson_p_value
from components.privacy.noise import with_noise
from components.privacy.plan import Plan
from components.privacy.randomness import SecureRandomness
from components.privacy.units import Rows, Users, Utterances

torch.set_num_threads(1)
FEATURES = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
TRUTH = torch.arange(20) % 3
PLAN = plan_for(epsilon=2.0, delta=1e-5, units=1000, batch=100, epochs=3)
STEPS = 3 * PLAN.steps_an_epoch
SURE = 1 - 1e-8
"""Confidence of an audit: its noise cannot be seeded, and a correct step should not fail by chance."""


def losses(model, rows):
    return functional.cross_entropy(model(FEATURES[rows]), TRUTH[rows], reduction="none")


def audited(engine=None, clipping=None, *, count: int = 600, training=PrivateTraining, plan=PLAN):
    torch.manual_seed(1)
    return audit_step(
        nn.Linear(6, 3),
        losses,
        [4],
        plan=plan,
        clipping=clipping or Flat(0.5),
        engine=engine or BookKeeping(),
        count=count,
        confidence=SURE,
        training=training,
    )


@pytest.mark.parametrize("engine", [BookKeeping(), OneByOne(), MicroBatches(4)], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("clipping", [Flat(0.1), Flat(100.0), Automatic(), Quantile(10.0)], ids=str)
def test_a_correct_step_has_the_noise_it_claims(engine, clipping):
    found = audited(engine, clipping)
    assert found.measured.lower <= found.claimed * 1.02
    assert found.claimed <= found.measured.upper
    assert 0.5 * PLAN.spent.epsilon < found.epsilon(PLAN, steps=STEPS) <= PLAN.spent.epsilon


class HalfTheNoise(PrivateTraining):
    """Takes half of the plan's noise in every step."""

    def step(self, rows):
        whole, half = self.plan, tuple(noise / 2 for noise in self.plan.noise)
        self.plan = type(whole)(half, whole.rate, whole.steps_an_epoch, whole.delta, whole.unit)
        super().step(rows)
        self.plan = whole


class Forgotten(MicroBatches):
    """Micro-batches with the sensitivity of one clipped gradient, as published code has it."""

    sensitivity = 1.0


def test_halved_noise_is_caught():
    found = audited(training=HalfTheNoise)
    assert found.measured.upper < found.claimed
    assert found.epsilon(PLAN, steps=STEPS) > PLAN.spent.epsilon


def test_the_forgotten_factor_of_two_of_micro_batches_is_caught():
    found = audited(Forgotten(4), Automatic())
    assert found.measured.upper < found.claimed
    assert found.epsilon(PLAN, steps=STEPS) > PLAN.spent.epsilon


def refuted(found) -> bool:
    """Less noise than was claimed, at most, is more epsilon, at least: accountants need not be asked each time."""
    return found.measured.upper < found.claimed


@pytest.mark.parametrize("clipping", [Flat(10.0), Flat(100.0), Quantile(10.0)], ids=str)
def test_halved_noise_is_caught_where_gradients_are_shorter_than_the_bound(clipping):
    assert refuted(audited(clipping=clipping, training=HalfTheNoise))


class CountedBare(Quantile):
    """Moves its bound by a count with hardly any noise."""

    def updated(self, norms, *, randomness, **options):
        bare = super(CountedBare, replace(self, count_noise=LITTLE))
        return replace(bare.updated(norms, randomness=randomness, **options), count_noise=self.count_noise)


LITTLE = 1e-3


@pytest.mark.parametrize("engine", [BookKeeping(), MicroBatches(4)], ids=lambda one: type(one).__name__)
def test_a_count_of_norms_without_its_noise_is_caught(engine):
    found = audited(engine, CountedBare(10.0))
    assert found.where == "the count of norms"
    assert refuted(found)


def leaving_bare(monkeypatch, bare) -> None:
    """`bare` takes the noise off the parameters after the sum without noise is known."""

    def patched(total, parameters, **options):
        noisy = with_noise(total, parameters, **options)
        bare(noisy, total)
        return noisy

    monkeypatch.setattr("components.privacy.training.with_noise", patched)


def test_a_tensor_without_noise_is_caught_and_named(monkeypatch):
    def bare(noisy, total):
        for weight in noisy:
            if weight.ndim == 1:
                noisy[weight] = total[weight].clone()

    leaving_bare(monkeypatch, bare)
    found = audited()
    assert "bias" in found.where
    assert found.epsilon(PLAN, steps=STEPS) == 1000


def test_a_single_number_without_noise_is_caught(monkeypatch):
    def bare(noisy, total):
        for weight in noisy:
            if weight.ndim == 2:
                noisy[weight][1, 2] = total[weight][1, 2]

    leaving_bare(monkeypatch, bare)
    found = audited()
    assert "single number of weight" in found.where
    assert refuted(found)


def test_noise_that_is_drawn_once_for_all_steps_is_caught(monkeypatch):
    kept = {}

    def bare(noisy, total):
        for weight in noisy:
            noisy[weight] = kept.setdefault(weight, noisy[weight] - total[weight]) + total[weight]

    leaving_bare(monkeypatch, bare)
    assert refuted(audited())


def test_noise_that_is_one_number_for_a_whole_tensor_is_caught(monkeypatch):
    """Every number by itself has the noise it should have; along other directions there is none."""

    def bare(noisy, total):
        for weight in noisy:
            first = (noisy[weight] - total[weight]).flatten()[0]
            noisy[weight] = total[weight] + first

    leaving_bare(monkeypatch, bare)
    found = audited()
    assert "single" not in found.where
    assert refuted(found)


class LateNoiseMissing(PrivateTraining):
    """Halves the noise of all epochs but the first."""

    def step(self, rows):
        whole = self.plan
        self.plan = replace(whole, noise=(whole.noise[0], *(noise / 2 for noise in whole.noise[1:])))
        super().step(rows)
        self.plan = whole


def test_the_noise_of_later_epochs_is_measured_where_it_falls():
    plan = Plan((1.5, 1.2, 1.0), PLAN.rate, PLAN.steps_an_epoch, PLAN.delta)
    assert not refuted(audited(plan=plan, count=200))
    found = audited(plan=plan, count=200, training=LateNoiseMissing)
    assert found.claimed < 1.5
    assert refuted(found)


class RowsClippedApart(BookKeeping):
    """Clips each utterance of a user by itself, as if it were a unit."""

    def clipped_sum(self, model, losses, rows, clipping, randomness):
        apart = Rows(rows.rows.reshape(-1, 1), np.ones((rows.rows.size, 1)))
        return super().clipped_sum(model, losses, apart, clipping, randomness)


@pytest.mark.parametrize("fault", [False, True])
def test_users_are_audited_with_several_utterances(fault, monkeypatch):
    monkeypatch.setattr("components.privacy.training.verify_engine", lambda *_: None)
    plan = replace(PLAN, unit="user")
    torch.manual_seed(1)
    options = {"plan": plan, "clipping": Flat(0.5), "engine": RowsClippedApart() if fault else BookKeeping()}
    options["confidence"] = SURE
    assert refuted(audit_step(nn.Linear(6, 3), losses, [4, 7, 10, 13], count=300, **options)) == fault


def test_a_unit_without_a_gradient_is_refused():
    with pytest.raises(InvalidInput, match="no gradient"):
        audit_step(
            nn.Linear(6, 3),
            lambda model, rows: 0 * losses(model, rows),
            [0],
            plan=PLAN,
            clipping=Flat(1.0),
            engine=BookKeeping(),
        )


def test_where_everybody_takes_part_nothing_is_left_to_chance():
    assert poisson_p_value([9], np.ones(9), 1.0) == 1
    assert poisson_p_value([8], np.arange(9) > 0, 1.0) == 0


def test_the_model_is_left_as_it_was():
    torch.manual_seed(1)
    model = nn.Linear(6, 3).train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    audit_step(model, losses, [0], plan=PLAN, clipping=Flat(1.0), engine=BookKeeping(), count=50)
    assert model.training
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("unit", ["utterance", "user"])
def test_watched_units_know_who_took_part(unit):
    users = np.random.default_rng(0).permutation(np.repeat(np.arange(150), 4))
    units = users if unit == "user" else np.arange(600)
    watched = Watched(Users(users, most=2) if unit == "user" else Utterances(600), units)
    present = np.zeros((200, watched.count), dtype=int)
    for step in range(200):
        rows = watched.sample(0.1, SecureRandomness())
        present[step, units[rows.rows].max(axis=1)] = 1
        assert (units[rows.rows] == units[rows.rows[:, :1]]).all()
    assert list(watched.in_step) == list(present.sum(axis=1))
    assert list(watched.of_unit) == list(present.sum(axis=0))
    assert poisson_p_value(watched.in_step, watched.of_unit, 0.1) > 1e-6
