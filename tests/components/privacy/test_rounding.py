"""What single precision may cost a norm is added to it: none is below the exact one, and few are much above."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from components.privacy.bookkeeping import rounding
from components.privacy.bookkeeping.affine import Affine
from components.privacy.bookkeeping.rows import Rows
from components.privacy.bookkeeping.shared import squared_norms_of_sum, whole

torch.set_num_threads(1)
SEEDS = st.integers(0, 2**31)
few = settings(max_examples=15, deadline=None)


def cancelling(positions: int, width: int, outputs: int, *, scale: float = 30.0) -> tuple[Affine, torch.Tensor]:
    """A use whose inputs are alike in all positions, where output gradients nearly cancel, and its exact squares."""
    layer = nn.Linear(width, outputs)
    values = scale * torch.randn(4, 1, width) + 1e-3 * torch.randn(4, positions, width)
    gradient = torch.randn(4, positions, outputs)
    gradient -= gradient.mean(1, keepdim=True)
    use = Affine((layer.weight,), (values,), (layer.bias,), gradient)
    return use, _exact(use).square().sum((1, 2)) + gradient.double().sum(1).square().sum(1)


def test_single_precision_alone_would_leave_norms_too_small(monkeypatch):
    """What the bound is for: without it the same sums fail."""
    monkeypatch.setattr(rounding, "_SECOND_ORDER", 0.0)
    torch.manual_seed(0)
    use, exact = cancelling(20, 200, 120)
    assert (use._ghost() < 0.9 * exact).any()


@few
@given(SEEDS, st.sampled_from([1, 3, 20, 60]), st.sampled_from([4, 40, 200]), st.sampled_from([3, 30, 120]))
def test_no_norm_is_below_the_exact_one_where_positions_cancel(seed, positions, width, outputs):
    """Inputs alike in all positions, with output gradients that add up to almost nothing: Gram sums lose all digits."""
    torch.manual_seed(seed)
    use, exact = cancelling(positions, width, outputs)
    for form in (use.squared_norms, use._ghost, use._direct):
        assert (form() >= exact).all()
        assert (form() <= exact + 1e-3 * use.reach().square()).all()


@few
@given(SEEDS, st.integers(2, 30))
def test_no_norm_is_below_the_exact_one_where_uses_cancel(seed, positions):
    torch.manual_seed(seed)
    table, layer = torch.nn.Parameter(torch.zeros(9, 40)), nn.Linear(40, 9, bias=False)
    tokens = torch.randint(0, 9, (3, positions))
    gradient = torch.randn(3, positions, 40)
    once = [Rows(table, tokens, gradient), Rows(table, tokens, -gradient + 1e-6 * torch.randn_like(gradient))]
    output, values = torch.randn(3, positions, 9), 30 * torch.randn(3, positions, 40)
    linear = [Affine((layer.weight,), (values,), (), part) for part in (output, -output + 1e-5)]
    for uses in (once, linear):
        exact = sum(_exact(one) for one in uses)
        assert (squared_norms_of_sum(uses) >= exact.flatten(1).square().sum(1)).all()


def _exact(use: Affine | Rows) -> torch.Tensor:
    if isinstance(use, Rows):
        return whole(Rows(use.parameter, use.tokens, use.gradient.double()))
    return use.gradient.double().transpose(1, 2) @ use.inputs[0].double()


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_a_norm_that_nothing_cancels_in_is_hardly_larger(scale):
    """Twenty positions as an LSTM's gates have them: a thousandth at most."""
    torch.manual_seed(0)
    use = Affine(
        (nn.Parameter(torch.zeros(512, 228)),), (scale * torch.randn(8, 20, 228),), (), torch.randn(8, 20, 512)
    )
    exact = _exact(use).square().sum((1, 2)).sqrt()
    norms = use.squared_norms().sqrt()
    assert (norms >= exact).all()
    assert (norms <= 1.001 * exact).all()
