import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.compatibility.distillation import DistillationParameters, row_weights, softmax_derivatives
from components.compatibility.networks import focal_pull, interpolate
from components.errors import InvalidInput

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.5, 4), st.booleans(), st.floats(0, 3), st.floats(0, 6))
def test_the_pulls_gradient_is_that_of_boosting(seed, temperature, scaled, strength, beta):
    """The closed form that trees are trained with, less their cross-entropy, is the gradient autograd finds."""
    rng = np.random.default_rng(seed)
    new, old = rng.normal(size=(2, 7, 4))
    labels, right = rng.integers(0, 4, 7), rng.random(7) < 0.5
    parameters = DistillationParameters(
        strength=strength, beta=beta, temperature=temperature, scale_by_temperature_squared=scaled
    )
    logits = torch.tensor(new, requires_grad=True)
    focal_pull(logits, torch.tensor(old), torch.tensor(right), parameters).sum().backward()
    weights = row_weights(right, parameters)
    whole, _ = softmax_derivatives(new, labels, old, weights, parameters)
    plain, _ = softmax_derivatives(new, labels, old, np.zeros(7), parameters)
    np.testing.assert_allclose(logits.grad.numpy(), whole - plain, atol=1e-9)


def test_matching_logits_ignores_what_softmax_ignores():
    old = torch.tensor([[1.0, 2.0, 4.0]])
    parameters = DistillationParameters(kind="logit", strength=2.0, alpha=1.0, beta=3.0)
    right = torch.tensor([True])
    assert focal_pull(old + 5, old, right, parameters).item() == pytest.approx(0)
    apart = focal_pull(old + torch.tensor([1.0, 0.0, -1.0]), old, right, parameters)
    assert apart.item() == pytest.approx(2.0 * (1 + 3) * 0.5 * 2)


def test_distances_are_one_an_example_and_never_negative():
    torch.manual_seed(0)
    new, old = torch.randn(2, 5, 3, 4)
    right = torch.rand(5, 3) < 0.5
    for kind in ("focal", "logit"):
        pull = focal_pull(new, old, right, DistillationParameters(kind=kind))
        assert pull.shape == (5, 3)
        assert (pull >= 0).all()


def test_interpolation_is_the_line_between_two_models():
    old, new = {"a": torch.zeros(2), "b": torch.ones(1)}, {"a": torch.ones(2), "b": torch.ones(1) * 3}
    assert torch.equal(interpolate(old, new, 0.0)["a"], old["a"])
    assert torch.equal(interpolate(old, new, 1.0)["b"], new["b"])
    assert interpolate(old, new, 0.25)["a"].tolist() == [0.25, 0.25]
    assert interpolate(old, new, 0.25)["b"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("new", "share", "named"),
    [
        ({"a": torch.zeros(2)}, 1.5, "share is 1.5"),
        ({"b": torch.zeros(2)}, 0.5, "'a'"),
        ({"a": torch.zeros(3)}, 0.5, r"'a' is \(2,\) .* \(3,\)"),
    ],
)
def test_models_that_are_not_alike(new, share, named):
    with pytest.raises(InvalidInput, match=named):
        interpolate({"a": torch.zeros(2)}, new, share)
