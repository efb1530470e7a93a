"""Gradients against central differences of the loss as the paper writes it, and against the soft-label identity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import expit, log_expit, log_softmax, softmax

from components.compatibility.distillation import (
    DistillationParameters,
    binary_derivatives,
    row_weights,
    soft_labels,
    softmax_derivatives,
)

margin = st.floats(-8, 8)
parameters = st.builds(
    DistillationParameters,
    strength=st.floats(0, 5),
    alpha=st.floats(0, 2),
    beta=st.floats(0, 6),
    temperature=st.floats(0.3, 100),
    scale_by_temperature_squared=st.booleans(),
    kind=st.sampled_from(["focal", "logit"]),
)


def scale(options):
    return options.temperature**2 if options.scale_by_temperature_squared else 1


def binary_loss(z, y, old, weight, options):
    loss = -(y * log_expit(z) + (1 - y) * log_expit(-z))
    if options.kind == "logit":
        return loss + weight * (z - old) ** 2 / 2
    t, q = options.temperature, expit(old / options.temperature)
    divergence = q * (log_expit(old / t) - log_expit(z / t)) + (1 - q) * (log_expit(-old / t) - log_expit(-z / t))
    return loss + weight * scale(options) * divergence


def softmax_loss(z, y, old, weight, options):
    loss = -log_softmax(z)[y]
    if options.kind == "logit":
        return loss + weight * ((z - old) ** 2).sum() / 2
    t, q = options.temperature, softmax(old / options.temperature)
    divergence = (q * (log_softmax(old / t) - log_softmax(z / t))).sum()
    return loss + weight * scale(options) * divergence


def one_row(*values):
    return [np.array([value]) for value in values]


@given(z=margin, y=st.integers(0, 1), old=margin, right=st.booleans(), options=parameters)
@settings(deadline=None)
def test_binary_derivatives(z, y, old, right, options):
    (weight,) = row_weights(np.array([right]), options)
    gradient, hessian = binary_derivatives(*one_row(z, y, old, weight), options)
    step = 1e-4
    ahead, behind = (binary_loss(z + d, y, old, weight, options) for d in (step, -step))
    tolerance = 1e-4 * (1 + weight * scale(options))
    assert gradient[0] == pytest.approx((ahead - behind) / (2 * step), abs=tolerance)
    slopes = [binary_derivatives(*one_row(z + d, y, old, weight), options)[0][0] for d in (step, -step)]
    assert hessian[0] == pytest.approx((slopes[0] - slopes[1]) / (2 * step), abs=tolerance)


@given(
    z=st.lists(margin, min_size=3, max_size=3),
    old=st.lists(margin, min_size=3, max_size=3),
    y=st.integers(0, 2),
    right=st.booleans(),
    options=parameters,
)
@settings(deadline=None)
def test_softmax_derivatives(z, old, y, right, options):
    z, old = np.array(z), np.array(old)
    weight = row_weights(np.array([right]), options)
    gradient, hessian = softmax_derivatives(z[None], np.array([y]), old[None], weight, options)
    step, tolerance = 1e-4, 1e-4 * (1 + weight[0] * scale(options))
    for k, unit in enumerate(np.eye(3)):
        ahead, behind = (softmax_loss(z + d * unit, y, old, weight[0], options) for d in (step, -step))
        assert gradient[0, k] == pytest.approx((ahead - behind) / (2 * step), abs=tolerance)
        slopes = [
            softmax_derivatives((z + d * unit)[None], np.array([y]), old[None], weight, options)[0][0, k]
            for d in (step, -step)
        ]
        diagonal = (slopes[0] - slopes[1]) / (2 * step)
        distance = weight[0] if options.kind == "logit" else 0  # a quadratic distance is not doubled
        assert hessian[0, k] == pytest.approx(2 * (diagonal - distance) + distance, abs=2 * tolerance)


@given(z=margin, y=st.integers(0, 1), old=margin, right=st.booleans(), strength=st.floats(0, 5))
def test_at_temperature_one_soft_labels_are_the_same_loss(z, y, old, right, strength):
    options = DistillationParameters(strength=strength)
    weights = row_weights(np.array([right]), options)
    labels, counts = soft_labels(np.array([y]), expit(np.array([old])), weights)
    gradient, hessian = binary_derivatives(*one_row(z, y, old), weights, options)
    np.testing.assert_allclose(counts * (expit(z) - labels), gradient, atol=1e-9)
    np.testing.assert_allclose(counts * expit(z) * (1 - expit(z)), hessian, atol=1e-9)


@given(z=margin, y=margin, old=margin, weight=st.floats(0, 10))
def test_soft_labels_are_squared_loss_with_a_pull(z, y, old, weight):
    labels, counts = soft_labels(*one_row(y, old, weight))
    np.testing.assert_allclose(counts * (z - labels), (z - y) + weight * (z - old), atol=1e-9)


def test_weights_focus_where_the_old_model_was_right():
    options = DistillationParameters(strength=0.5, alpha=1, beta=5)
    np.testing.assert_allclose(row_weights(np.array([True, False]), options), [3.0, 0.5])


@pytest.mark.parametrize("key", ["lambda", "T"])
def test_parameters_take_no_other_key(key):
    with pytest.raises(ValidationError, match=key):
        DistillationParameters(**{key: 1})
