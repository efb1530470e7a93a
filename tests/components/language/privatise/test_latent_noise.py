import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.errors import InvalidInput
from components.language.privatise.latent_noise import LatentNoise, clipped, gaussian_deviation
from components.privacy.randomness import SecureRandomness, SeededRandomness

DIMENSIONS = 32


def worst_pair(dimensions, bound):
    """Two clipped vectors as far apart in the 1-norm as there are."""
    corner = np.full((1, dimensions), bound / math.sqrt(dimensions))
    return corner, -corner


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3), st.floats(0, 8))
def test_clipped_vectors_stay_in_the_ball_and_keep_their_direction(seed, bound, size):
    vectors = np.random.default_rng(seed).normal(size=(5, 4)) * size
    inside = clipped(vectors, bound)
    assert (np.linalg.norm(inside, axis=1) <= bound * (1 + 1e-12)).all()
    short = np.linalg.norm(vectors, axis=1) <= bound
    np.testing.assert_array_equal(inside[short], vectors[short])
    np.testing.assert_allclose(
        inside * np.linalg.norm(vectors, axis=1, keepdims=True) ** 2,
        vectors * (inside * vectors).sum(axis=1, keepdims=True),
        atol=1e-9,
    )


def test_laplace_noise_covers_the_worst_pair_and_adepts_does_not():
    """The log ratio of densities at the pair itself is |x - y|_1 / b: it must be epsilon, and was sqrt(n) epsilon."""
    noise = LatentNoise(epsilon=4.0, dimensions=DIMENSIONS)
    one, other = worst_pair(DIMENSIONS, noise.bound)
    loss = stats.laplace(one, noise.scale).logpdf(one).sum() - stats.laplace(other, noise.scale).logpdf(one).sum()
    assert loss == pytest.approx(4.0, rel=1e-4)
    assert loss <= 4.0
    as_published = 2 * noise.bound / noise.epsilon
    loss = stats.laplace(one, as_published).logpdf(one).sum() - stats.laplace(other, as_published).logpdf(one).sum()
    assert loss == pytest.approx(4.0 * math.sqrt(DIMENSIONS))
    assert noise.epsilon / noise.claimed_by_adept == pytest.approx(math.sqrt(32))


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (1.0, 1e-5), (8.0, 1e-3), (50.0, 1e-9)])
def test_gaussian_deviation_is_the_least_by_integration(epsilon, delta):
    """delta(epsilon) = integral of max(0, p - e^epsilon q), by quadrature, met with equality."""
    deviation = gaussian_deviation(epsilon, delta)
    places = np.linspace(-12 * deviation, 1 + 12 * deviation, 2_000_001)
    p = stats.norm(1, deviation).pdf(places)
    q = np.exp(stats.norm(0, deviation).logpdf(places) + epsilon)
    found = np.trapezoid(np.maximum(p - q, 0), places)
    assert found == pytest.approx(delta, rel=1e-3)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_noise_has_its_distribution(seed):
    for noise, scipy_name in [
        (LatentNoise(2.0, 16), stats.laplace),
        (LatentNoise(2.0, 16, 1e-5, "gaussian"), stats.norm),
    ]:
        drawn = noise.add(np.zeros((1000, 16)), SeededRandomness(seed)).ravel()
        assert stats.kstest(drawn, scipy_name(0, noise.scale).cdf).pvalue > 1e-5


def test_what_is_released_lies_on_a_grid_whatever_the_vector():
    noise = LatentNoise(5.0, 3)
    released = noise.add(np.random.default_rng(0).normal(size=(20, 3)), SecureRandomness())
    assert np.array_equal(np.rint(released * 2**20), released * 2**20)


def test_secure_noise_never_repeats():
    noise = LatentNoise(5.0, 3)
    one, other = (noise.add(np.zeros((4, 3)), SecureRandomness()) for _ in range(2))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0"),
        ({"dimensions": 0}, "0 dimensions"),
        ({"delta": 1e-5}, "delta is 1e-05 for laplace"),
        ({"kind": "gaussian"}, "delta is 0.0 for gaussian"),
    ],
)
def test_mistakes_are_named(wrong, named):
    with pytest.raises(InvalidInput, match=named):
        LatentNoise(**{"epsilon": 1.0, "dimensions": 4} | wrong)
