"""Protective randomness and noise: their distributions, and the grid they lie on."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import Parameter

from components.privacy.noise import with_noise
from components.privacy.randomness import SecureRandomness, SeededRandomness, _box_muller

torch.set_num_threads(1)
FALSE_ALARM = 1e-6


@pytest.mark.parametrize("size", [1, 2, 33_001, 100_000])
def test_normal_numbers_are_normal_and_independent(size):
    drawn = SecureRandomness().normal(size)
    assert drawn.shape == (size,)
    if size > 1000:
        assert stats.kstest(drawn, "norm").pvalue > FALSE_ALARM
        for lag in (1, size // 2, 1 << 14):
            assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 6 / math.sqrt(size - lag)
        assert (
            stats.chisquare(
                np.histogram(
                    drawn**2 + np.roll(drawn, 1) ** 2, np.append(stats.chi2(2).ppf(np.arange(20) / 20), np.inf)
                )[0]
            ).pvalue
            > FALSE_ALARM / 100
        )


def test_the_ends_of_the_words_give_finite_numbers():
    out = np.empty(4)
    _box_muller(np.array([0, 2**64 - 1, 0, 2**64 - 1], dtype=np.uint64), out)
    assert np.isfinite(out).all()
    assert np.abs(out).max() == pytest.approx(math.sqrt(2 * 53 * math.log(2)), rel=1e-9)


def test_no_two_sources_draw_the_same():
    assert (SecureRandomness().normal(100) != SecureRandomness().normal(100)).all()


@pytest.mark.parametrize("probability", [0.0, 1e-3, 0.3, 1.0])
def test_events_happen_with_their_probability(probability):
    count = int(SecureRandomness().happens(200_000, probability).sum())
    assert stats.binomtest(count, 200_000, probability).pvalue > FALSE_ALARM


def test_only_the_secure_source_is_private():
    assert SecureRandomness().private
    assert not SeededRandomness(0).private
    np.testing.assert_array_equal(SeededRandomness(1).normal(5), SeededRandomness(1).normal(5))


@pytest.mark.parametrize(("multiplier", "sensitivity"), [(1.0, 1.0), (0.4, 7.0), (20.0, 0.03)])
def test_noise_has_its_deviation_around_the_sum(multiplier, sensitivity):
    used, unused = Parameter(torch.zeros(150, 200)), Parameter(torch.zeros(20_000))
    total = {used: torch.full((150, 200), 3.25)}
    noisy = with_noise(
        total, [used, unused], noise_multiplier=multiplier, sensitivity=sensitivity, randomness=SecureRandomness()
    )
    for parameter, mean in ((used, 3.25), (unused, 0.0)):
        scaled = (noisy[parameter].double().flatten().numpy() - mean) / (multiplier * sensitivity)
        assert noisy[parameter].shape == parameter.shape
        assert stats.kstest(scaled, "norm").pvalue > FALSE_ALARM


def test_what_is_released_lies_on_a_grid_that_the_sum_has_no_part_in():
    parameter = Parameter(torch.zeros(4096, dtype=torch.float64))
    step = 2.0 ** math.floor(math.log2(2.0**-20 / 64))
    for total in (torch.zeros(4096), torch.rand(4096, dtype=torch.float64)):
        noisy = with_noise(
            {parameter: total}, [parameter], noise_multiplier=1.0, sensitivity=1.0, randomness=SecureRandomness()
        )
        multiples = noisy[parameter] / step
        assert (multiples == multiples.round()).all()


def test_without_noise_the_sum_comes_back_up_to_the_grid():
    parameter = Parameter(torch.zeros(7, 3, dtype=torch.float64))
    total = torch.randn(7, 3, dtype=torch.float64)
    noisy = with_noise(
        {parameter: total}, [parameter], noise_multiplier=0.0, sensitivity=1.0, randomness=SeededRandomness(0)
    )
    torch.testing.assert_close(noisy[parameter], total, rtol=0, atol=2e-6)
