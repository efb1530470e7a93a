"""Norms and clipped sums of one backward pass, against autograd on each unit alone, for every layer and way of use."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from components.errors import InvalidInput
from components.privacy.bookkeeping import affine, bookkeeping, gram

torch.set_num_threads(1)
SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**31)
few = settings(max_examples=15, deadline=None)


class Of(nn.Module):
    """A module whose forward pass is a function of its layers."""

    def __init__(self, call, **layers):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.call = call

    def forward(self, *given):
        return self.call(self.layers, *given)


def nonlinear(values: torch.Tensor) -> torch.Tensor:
    """(B, …) to (B,) losses in which every number counts differently."""
    flat = values.flatten(1)
    return (flat.sin() * torch.linspace(0.5, 2, flat.shape[1], dtype=flat.dtype)).sum(1) + flat.pow(2).mean(1)


def assert_exact(model: nn.Module, losses, examples: int, *, unit: int = 1, tolerance: float = 1e-9) -> None:
    """`losses(indices)` gives (len(indices),) losses of `model`; units are `unit` consecutive examples."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    alone = []
    for start in range(0, examples, unit):
        total = losses(torch.arange(start, start + unit)).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        alone.append([torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)])
    with bookkeeping(model, examples, unit=unit) as tape:
        losses(torch.arange(examples)).sum().backward()
    norms = torch.stack([sum(g.square().sum() for g in gradients).sqrt() for gradients in alone]).double()
    torch.testing.assert_close(tape.norms(), norms, rtol=tolerance, atol=tolerance)
    weights = torch.linspace(0.3, 1.7, len(alone), dtype=torch.float64)
    found = tape.weighted_sum(weights)
    for number, parameter in enumerate(parameters):
        expected = sum(w * gradients[number].double() for w, gradients in zip(weights, alone, strict=True))
        summed = found.get(parameter, torch.zeros_like(parameter)).double()
        torch.testing.assert_close(summed, expected, rtol=tolerance, atol=tolerance * (1 + float(expected.abs().max())))
    assert all(parameter.grad is None for parameter in parameters)
    # What a pass leaves behind is gone with its tape: circles through autograd would stay for ever.
    gone = weakref.ref(tape)
    del tape
    assert gone() is None


@few
@given(SEEDS, SIZES, st.lists(st.integers(1, 4), max_size=2), SIZES, SIZES, st.booleans(), st.booleans())
def test_linear(seed, examples, between, width, outputs, bias, frozen):
    torch.manual_seed(seed)
    model = nn.Linear(width, outputs, bias=bias).double()
    if frozen and bias:
        model.weight.requires_grad_(False)
    given_values = torch.randn(examples, *between, width, dtype=torch.float64)
    assert_exact(model, lambda rows: nonlinear(model(given_values[rows])), examples)


@few
@given(SEEDS, SIZES, st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_both_forms_of_a_linear_layer_s_norm_are_the_same(seed, examples, positions, width, outputs, time_first):
    """Whichever is cheaper, and however the values lie in memory."""
    torch.manual_seed(seed)
    layer = nn.Linear(width, outputs).double()
    shapes = [(examples, positions, size) for size in (width, outputs)]
    values, gradient = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    if time_first:
        values, gradient = (part.transpose(0, 1).contiguous().transpose(0, 1) for part in (values, gradient))
    use = affine.Affine((layer.weight,), (values,), (layer.bias,), gradient)
    expected = torch.einsum("nsp,nsd->npd", gradient, values).square().sum((1, 2)) + gradient.sum(1).square().sum(1)
    for norms in (use._ghost(), use._direct()):
        torch.testing.assert_close(norms.detach(), expected)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads", [1, 64])
@pytest.mark.parametrize("shape", [(3, 1, 1), (2, 7, 5), (4, 20, 33)])
def test_gram_matrices_by_kernel_and_by_batched_product(kind, threads, shape, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(0)
    values = torch.randn(shape, dtype=kind)
    for lying in (
        values,
        values.transpose(0, 1).contiguous().transpose(0, 1),
        values.flip(2).transpose(1, 2).contiguous().transpose(1, 2),
    ):
        torch.testing.assert_close(gram.lower_gram(lying), torch.tril(lying @ lying.transpose(1, 2)))


@few
@given(SEEDS, SIZES, st.integers(0, 6), SIZES, st.sampled_from([None, 0, 2]))
def test_embedding_with_repeated_tokens_and_padding(seed, examples, positions, width, padding):
    torch.manual_seed(seed)
    model = nn.Embedding(4, width, padding_idx=padding).double()
    tokens = torch.randint(0, 4, (examples, positions) if positions else (examples,))
    assert_exact(model, lambda rows: nonlinear(model(tokens[rows])), examples)


def test_positions_given_once_for_all_examples():
    torch.manual_seed(0)
    model = Of(
        lambda layers, tokens: layers["t"](tokens) + layers["p"](torch.arange(tokens.shape[1])[None]),
        t=nn.Embedding(9, 3),
        p=nn.Embedding(8, 3),
    ).double()
    tokens = torch.randint(0, 9, (4, 6))
    assert_exact(model, lambda rows: nonlinear(model(tokens[rows])), 4)


@few
@given(
    SEEDS,
    SIZES,
    st.lists(st.integers(1, 4), max_size=2),
    st.lists(st.integers(2, 4), min_size=1, max_size=2),
    st.booleans(),
)
def test_layer_norm(seed, examples, between, shape, bias):
    torch.manual_seed(seed)
    norm = nn.LayerNorm(shape, bias=bias)
    nn.init.normal_(norm.weight)
    model = Of(lambda layers, x: layers["n"](layers["l"](x)), l=nn.Linear(shape[-1], shape[-1]), n=norm).double()
    values = torch.randn(examples, *between, *shape, dtype=torch.float64)
    assert_exact(model, lambda rows: nonlinear(model(values[rows])), examples)


@few
@given(
    SEEDS,
    SIZES,
    st.integers(1, 6),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["all", "outputs", "hidden", "cells"]),
)
def test_lstm(seed, examples, steps, layers, two_ways, bias, batch_first, packed, used):
    torch.manual_seed(seed)
    lstm = nn.LSTM(3, 2, layers, bidirectional=two_ways, bias=bias, batch_first=batch_first).double()
    model = Of(lambda layers, x: layers["r"](layers["l"](x)), l=nn.Linear(3, 3).double(), r=lstm)
    values = torch.randn(examples, steps, 3, dtype=torch.float64)
    lengths = torch.randint(1, steps + 1, (examples,))

    def losses(rows):
        projected = model.layers["l"](values[rows])
        if not batch_first:
            projected = projected.transpose(0, 1)
        if packed:
            projected = pack_padded_sequence(projected, lengths[rows], batch_first, enforce_sorted=False)
        outputs, (hidden, cells) = model.layers["r"](projected)
        if packed:
            outputs, _ = pad_packed_sequence(outputs, batch_first, total_length=steps)
        outputs = outputs if batch_first else outputs.transpose(0, 1)
        losses = {
            "outputs": nonlinear(outputs),
            "hidden": nonlinear(hidden.transpose(0, 1)),
            "cells": nonlinear(cells.transpose(0, 1)),
        }
        return sum(losses.values()) if used == "all" else losses[used]

    assert_exact(model, losses, examples)


def test_an_lstm_gives_what_it_gives_unrecorded_in_single_precision():
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 4, 2, bidirectional=True, batch_first=True)
    packed = pack_padded_sequence(torch.randn(3, 7, 5), torch.tensor([4, 7, 1]), True, enforce_sorted=False)
    plain, (hidden, cells) = lstm(packed)
    with bookkeeping(lstm, 3):
        recorded, (hidden_again, cells_again) = lstm(packed)
    torch.testing.assert_close(pad_packed_sequence(recorded)[0], pad_packed_sequence(plain)[0])
    torch.testing.assert_close(hidden_again, hidden)
    torch.testing.assert_close(cells_again, cells)


@few
@given(
    SEEDS,
    SIZES,
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "bool", "float", "heads"]),
    st.booleans(),
    st.booleans(),
)
def test_attention(seed, examples, positions, bias, padded, mask, need_weights, crossed):
    torch.manual_seed(seed)
    model = nn.MultiheadAttention(4, 2, bias=bias, batch_first=True).double()
    query, other = (torch.randn(examples, positions, 4, dtype=torch.float64) for _ in range(2))
    padding = torch.arange(positions) >= torch.randint(1, positions + 1, (examples, 1)) if padded else None
    causal = torch.ones(positions, positions, dtype=torch.bool).triu(1)
    masks = {
        None: None,
        "bool": causal,
        "float": torch.randn(positions, positions, dtype=torch.float64),
        "heads": torch.randn(examples, 2, positions, positions, dtype=torch.float64),
    }

    def losses(rows):
        keys = other[rows] if crossed else None
        asked = query[rows]
        given_mask = masks[mask][rows].flatten(0, 1) if mask == "heads" else masks[mask]
        if padding is not None and given_mask is not None and given_mask.dtype != torch.bool:
            hidden = torch.zeros_like(padding[rows], dtype=torch.float64).masked_fill_(padding[rows], float("-inf"))
        else:
            hidden = None if padding is None else padding[rows]
        keys, values = (keys, keys) if crossed else (asked, asked)
        mixed, shares = model(
            asked, keys, values, key_padding_mask=hidden, attn_mask=given_mask, need_weights=need_weights
        )
        return nonlinear(mixed) + (nonlinear(shares) if need_weights else 0)

    assert_exact(model, losses, examples)


def test_pytorch_s_transformer_layer():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
    ).double()
    values, hidden = torch.randn(4, 5, 8, dtype=torch.float64), torch.arange(5) >= torch.tensor([[5], [2], [3], [1]])
    assert_exact(model, lambda rows: nonlinear(model(values[rows], src_key_padding_mask=hidden[rows])), 4)


@few
@given(SEEDS, SIZES, st.integers(1, 6), st.sampled_from([None, 1]))
def test_output_layer_tied_to_the_embedding(seed, examples, positions, padding):
    torch.manual_seed(seed)
    table, output = nn.Embedding(5, 3, padding_idx=padding), nn.Linear(3, 5)
    output.weight = table.weight
    model = Of(lambda layers, x: layers["o"](torch.tanh(layers["e"](x))), e=table, o=output).double()
    tokens = torch.randint(0, 5, (examples, positions))
    assert_exact(model, lambda rows: nonlinear(model(tokens[rows])), examples)


@few
@given(SEEDS, SIZES, st.integers(1, 4))
def test_layers_that_run_twice(seed, examples, positions):
    torch.manual_seed(seed)

    def twice(layers, tokens):
        embedded = layers["e"](tokens) + layers["e"](tokens.flip(1))
        return layers["n"](layers["l"](layers["n"](layers["l"](embedded))))

    model = Of(twice, e=nn.Embedding(4, 3), l=nn.Linear(3, 3), n=nn.LayerNorm(3)).double()
    tokens = torch.randint(0, 4, (examples, positions))
    assert_exact(model, lambda rows: nonlinear(model(tokens[rows])), examples)


@few
@given(SEEDS, st.integers(1, 3), st.integers(1, 4))
def test_units_of_several_examples(seed, units, size):
    torch.manual_seed(seed)

    def call(layers, tokens):
        outputs, _ = layers["r"](layers["e"](tokens))
        return layers["l"](layers["n"](outputs))

    model = Of(
        call, e=nn.Embedding(5, 3), r=nn.LSTM(3, 2, batch_first=True), n=nn.LayerNorm(2), l=nn.Linear(2, 2)
    ).double()
    tokens = torch.randint(0, 5, (units * size, 3))
    assert_exact(model, lambda rows: nonlinear(model(tokens[rows])), units * size, unit=size)


def test_single_precision_is_close_and_directly_summed_where_positions_are_many():
    torch.manual_seed(0)
    model = Of(
        lambda layers, x: layers["b"](torch.tanh(layers["a"](layers["e"](x)))),
        e=nn.Embedding(30, 6),
        a=nn.Linear(6, 7),
        b=nn.Linear(7, 4),
    )
    tokens = torch.randint(0, 30, (5, 200))
    assert_exact(model, lambda rows: nonlinear(model(tokens[rows])), 5, tolerance=2e-4)


def test_direct_norms_in_chunks(monkeypatch):
    monkeypatch.setattr(affine, "DIRECT_NUMBERS", 30)
    torch.manual_seed(0)
    model = nn.Linear(3, 4).double()
    values = torch.randn(5, 40, 3, dtype=torch.float64)
    assert_exact(model, lambda rows: nonlinear(model(values[rows])), 5)


def test_a_frozen_encoder_is_left_alone():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv1d(3, 3, 1), nn.Flatten())
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    model = Of(lambda layers, x: layers["h"](layers["e"](x)), e=encoder, h=nn.Linear(6, 2)).double()
    values = torch.randn(4, 3, 2, dtype=torch.float64)
    assert_exact(model, lambda rows: nonlinear(model(values[rows])), 4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(2, 2, 1),
        nn.GRU(2, 2),
        nn.Bilinear(2, 2, 2),
        nn.BatchNorm1d(2),
        nn.BatchNorm1d(2, affine=False),
        nn.PReLU(),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(layer):
    model = nn.ModuleDict({"known": nn.Linear(2, 2), "strange": layer})
    with pytest.raises(InvalidInput, match=rf"'strange' \({type(layer).__name__}\)"), bookkeeping(model, 2):
        pass


def test_a_layer_with_a_forward_pass_of_its_own_is_refused():
    class Scaled(nn.Linear):
        def forward(self, values):
            return super().forward(values) * values.mean()

    with pytest.raises(InvalidInput, match="Scaled"), bookkeeping(nn.Sequential(Scaled(2, 2)), 2):
        pass


def test_a_parameter_of_the_model_s_own_is_refused():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = nn.Parameter(torch.zeros(2))

    with pytest.raises(InvalidInput, match="the model itself"), bookkeeping(Own(), 2):
        pass


def test_a_weight_used_past_its_layer_is_refused():
    model = nn.Linear(3, 3)
    values = torch.randn(2, 3)
    with pytest.raises(InvalidInput, match="'weight' is used outside"), bookkeeping(model, 2):
        (model(values) + values @ model.weight).sum().backward()
    assert model.weight.grad is None


@pytest.mark.parametrize(
    ("layer", "values"),
    [
        (nn.Linear(3, 3), torch.randn(5, 2, 3)),
        (nn.LayerNorm(3), torch.randn(5, 2, 3)),
        (nn.Embedding(4, 3), torch.arange(4)),
        (nn.LSTM(3, 3), torch.randn(2, 5, 3)),
    ],
)
def test_examples_elsewhere_than_on_the_first_axis_are_refused(layer, values):
    with pytest.raises(InvalidInput, match="'0'"), bookkeeping(nn.Sequential(layer), 2):
        nn.Sequential(layer)(values)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Embedding(3, 2, max_norm=1.0),
        nn.Embedding(3, 2, scale_grad_by_freq=True),
        nn.LSTM(2, 2, proj_size=1),
        nn.MultiheadAttention(2, 1),
        nn.MultiheadAttention(2, 1, kdim=3, batch_first=True),
    ],
)
def test_options_without_a_rule_are_refused_by_name(layer):
    with pytest.raises(InvalidInput, match="'0'"), bookkeeping(nn.Sequential(layer), 2):
        pass


def test_the_model_is_itself_again_after_a_fault():
    model = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), bookkeeping(model, 2):
        raise ZeroDivisionError
    model(torch.ones(5, 2)).sum().backward()
    np.testing.assert_allclose(model.weight.grad, 5)
