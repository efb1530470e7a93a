"""Factors bound what a unit adds; the quantile's noisy count has its share of a step's privacy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InvalidInput
from components.privacy.clipping import Automatic, Flat, Quantile, weights_of
from components.privacy.randomness import SeededRandomness

NORMS = st.lists(st.floats(0, 1e12), min_size=1, max_size=20).map(
    lambda norms: torch.tensor(norms, dtype=torch.float64)
)


@given(NORMS, st.sampled_from([Automatic(), Automatic(1e-6), Flat(0.3), Flat(50.0), Quantile(2.0)]))
def test_no_unit_adds_more_than_the_sensitivity(norms, clipping):
    assert float((norms * weights_of(clipping, norms)).max()) <= clipping.sensitivity * (1 + 1e-12)


@given(NORMS)
def test_flat_clipping_leaves_small_gradients_alone_and_automatic_keeps_their_order(norms):
    flat = weights_of(Flat(1.0), norms)
    assert (flat[norms <= 1] == 1).all()
    sizes = norms * weights_of(Automatic(), norms)
    assert (sizes[norms.argsort()].diff() >= -1e-12).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_without_a_bound_stops_the_step(value):
    with pytest.raises(FloatingPointError):
        weights_of(Automatic(), torch.tensor([1.0, value]))


@given(st.floats(0.1, 10), st.floats(6, 100))
def test_sum_and_count_together_have_the_noise_of_the_step(noise, count_noise):
    """Two Gaussian releases compose: 1 / sigma^2 = 1 / sigma_g^2 + (1/2)^2 / sigma_b^2."""
    gradient = Quantile(count_noise=count_noise).gradient_noise(noise)
    assert gradient > noise
    assert 1 / gradient**2 + 0.25 / count_noise**2 == pytest.approx(1 / noise**2)


def test_a_count_that_spends_everything_is_refused():
    with pytest.raises(InvalidInput, match="count_noise"):
        Quantile(count_noise=0.4).gradient_noise(1.0)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_the_bound_finds_the_quantile(quantile):
    rng = np.random.default_rng(0)
    clipping, randomness = Quantile(bound=50.0, quantile=quantile, rate=0.3), SeededRandomness(1)
    for _ in range(150):
        norms = torch.from_numpy(rng.lognormal(size=rng.poisson(400)))
        clipping = clipping.updated(norms, terms=400, scale=1.0, randomness=randomness)
    share = float(np.mean(rng.lognormal(size=100_000) <= clipping.bound))
    assert abs(share - quantile) < 0.12


def test_an_empty_batch_moves_the_bound_by_noise_alone():
    moved = [
        Quantile(count_noise=10).updated(torch.zeros(0), terms=100, scale=1.0, randomness=SeededRandomness(seed)).bound
        for seed in range(300)
    ]
    logs = np.log(moved)
    assert abs(logs.mean() + 0.2 * 0.0) < 4 * 0.2 * 0.1 / math.sqrt(300)
    assert logs.std() == pytest.approx(0.2 * 0.1, rel=0.2)


def test_in_micro_batches_the_count_has_twice_the_noise():
    def spread(scale):
        return np.std(
            [
                np.log(Quantile().updated(torch.zeros(0), terms=10, scale=scale, randomness=SeededRandomness(s)).bound)
                for s in range(300)
            ]
        )

    assert spread(2.0) == pytest.approx(2 * spread(1.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Flat(0.0),
        lambda: Flat(float("nan")),
        lambda: Automatic(-1.0),
        lambda: Quantile(quantile=1.0),
        lambda: Quantile(rate=0),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make):
    with pytest.raises(InvalidInput):
        make()
