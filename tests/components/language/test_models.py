import numpy as np
import pytest
import torch
from torch import nn

from components.errors import InvalidInput
from components.language.adapters import LowRank
from components.language.bilstm import reversed_within
from components.language.encode import encode
from components.language.heads import Heads, with_neighbours
from components.language.loss import joint_losses
from components.language.model import BiLSTMParameters, FrozenParameters, TransformerParameters, new_model

RULED = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.LSTM)


def test_logits_have_the_shape_of_the_labels(small_model, corpus, labels):
    batch = encode(corpus, small_model.vocabulary, labels).batch(np.arange(5))
    intents, slots = small_model.network(batch.inputs, batch.mask)
    assert intents.shape == (5, 3)
    assert slots.shape == (*batch.mask.shape, len(labels.tags)) == (*batch.mask.shape, 5)


def test_padding_and_neighbours_in_a_batch_change_nothing(small_model, corpus, labels):
    encoded = encode(corpus, small_model.vocabulary, labels)
    together = encoded.batch(np.array([2, 0, 1]))
    assert not together.mask[0].all()
    intents, slots = small_model.network(together.inputs, together.mask)
    alone = encoded.batch(np.array([2]))
    intent, slot = small_model.network(alone.inputs, alone.mask)
    torch.testing.assert_close(intents[:1], intent)
    torch.testing.assert_close(slots[:1, : slot.shape[1]], slot)


def test_what_is_under_padding_changes_nothing(small_model, corpus, labels):
    batch = encode(corpus, small_model.vocabulary, labels).batch(np.array([2, 0]))
    other = torch.where(batch.mask, batch.inputs, 7)
    for one, another in zip(
        small_model.network(batch.inputs, batch.mask), small_model.network(other, batch.mask), strict=True
    ):
        where = batch.mask if one.dim() == 3 else slice(None)
        torch.testing.assert_close(one[where], another[where])


def test_every_weight_is_of_a_layer_that_has_a_clipping_rule(small_model):
    ruled = {
        id(weight)
        for layer in small_model.network.modules()
        if isinstance(layer, RULED)
        for weight in layer.parameters(recurse=False)
    }
    assert {id(weight) for weight in small_model.network.parameters()} == ruled


def test_an_empty_batch_has_answers_and_gradients_of_nothing(small_model, corpus, labels):
    """Poisson samples may be empty, and private training keeps them."""
    batch = encode(corpus, small_model.vocabulary, labels).batch(np.array([], dtype=int))
    outputs = small_model.network(batch.inputs, batch.mask)
    assert outputs[0].shape == (0, 3)
    assert joint_losses(outputs, batch).shape == (0,)


def test_an_utterances_loss_is_its_own(small_model, corpus, labels):
    encoded = encode(corpus, small_model.vocabulary, labels)
    together = encoded.batch(np.array([0, 1, 2]))
    losses = joint_losses(small_model.network(together.inputs, together.mask), together)
    for row in range(3):
        alone = encoded.batch(np.array([row]))
        loss = joint_losses(small_model.network(alone.inputs, alone.mask), alone)
        torch.testing.assert_close(losses[row : row + 1], loss)


def test_the_loss_is_cross_entropy_by_hand(corpus, labels, vocabulary):
    batch = encode(corpus, vocabulary, labels).batch(np.array([0]))
    intents = torch.tensor([[1.0, 2.0, 3.0]])
    slots = torch.zeros(1, batch.mask.shape[1], 5)
    expected = np.log(np.exp([1, 2, 3]).sum()) - 1 + np.log(5)
    assert joint_losses((intents, slots), batch).item() == pytest.approx(expected, rel=1e-6)


def test_the_seed_decides_and_leaves_torchs_own_alone(labels, vocabulary):
    parameters = BiLSTMParameters(embedding=4, hidden=4)
    before = torch.get_rng_state()
    one, same, other = (new_model(parameters, labels, seed=seed, vocabulary=vocabulary) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one.trainable[name], same.trainable[name]) for name in one.trainable)
    assert not torch.equal(one.network.embedding.weight, other.network.embedding.weight)


def test_reversal_is_within_the_utterance_and_undoes_itself():
    features = torch.arange(8.0).view(2, 4, 1)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    turned = reversed_within(features, mask)
    assert turned.flatten().tolist() == [2, 1, 0, 3, 7, 6, 5, 4]
    assert torch.equal(reversed_within(turned, mask), features)


def test_neighbours_are_one_linear_layer_over_the_window():
    """Against the plain form: the features of k - 2, …, k + 2 side by side, times one matrix."""
    torch.manual_seed(0)
    heads = Heads(3, 2, 4, neighbours=2)
    features = torch.randn(2, 6, 3)
    mask = torch.ones(2, 6, dtype=torch.bool)
    weight = heads.slot.weight.view(5, 4, 3)
    _, slots = heads(features, mask)
    for place in range(6):
        expected = torch.zeros(2, 4)
        for shift in range(-2, 3):
            if 0 <= place + shift < 6:
                bias = heads.slot.bias.view(5, 4)[shift + 2]
                expected = expected + features[:, place + shift] @ weight[shift + 2].T + bias
        torch.testing.assert_close(slots[:, place], expected)


def test_padding_is_no_neighbour():
    projected = torch.ones(1, 3, 3)
    mask = torch.tensor([[True, True, False]])
    assert with_neighbours(projected, mask, 1).flatten().tolist() == [2, 2, 1]


def test_hidden_heads_have_the_same_interface():
    heads = Heads(3, 2, 4, neighbours=1, hidden=8)
    intents, slots = heads(torch.randn(2, 6, 3), torch.ones(2, 6, dtype=torch.bool))
    assert intents.shape == (2, 2)
    assert slots.shape == (2, 6, 4)


def test_the_context_counts_for_every_tag_and_for_no_intent():
    torch.manual_seed(0)
    features, mask = torch.randn(2, 6, 3), torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    for hidden in (0, 8):
        heads = Heads(3, 2, 4, neighbours=1, hidden=hidden, context=True)
        intents, slots = heads(features, mask)
        context = torch.stack([features[row][mask[row]].mean(dim=0) for row in range(2)]) @ heads.context.weight.T
        heads.context = None
        bare_intents, bare_slots = heads(features, mask)
        torch.testing.assert_close(slots - bare_slots, context[:, None, :].expand_as(slots))
        torch.testing.assert_close(intents, bare_intents)


def test_an_adapter_adds_a_matrix_of_its_rank():
    torch.manual_seed(0)
    frozen = nn.Linear(10, 7)
    adapter = LowRank(frozen, rank=2, alpha=4.0)
    values = torch.randn(5, 10)
    torch.testing.assert_close(adapter(values), frozen(values))
    nn.init.normal_(adapter.up.weight)
    whole = frozen.weight + 2.0 * adapter.up.weight @ adapter.down.weight
    torch.testing.assert_close(adapter(values), values @ whole.T + frozen.bias)
    assert torch.linalg.matrix_rank(whole - frozen.weight, tol=1e-4) == 2


@pytest.mark.parametrize(
    ("parameters", "named"),
    [(TransformerParameters(width=10, heads=4), "width 10"), (FrozenParameters(), "encoder's pieces")],
)
def test_parameters_that_do_not_fit(parameters, named, labels, vocabulary):
    with pytest.raises(InvalidInput, match=named):
        new_model(parameters, labels, seed=1, vocabulary=vocabulary)
