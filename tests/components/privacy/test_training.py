"""Private training end to end: every engine the same step, guarantees kept by the wrapper, what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from components.errors import InvalidInput
from components.privacy.clipping import Automatic, Flat, Quantile
from components.privacy.engines import BookKeeping, MicroBatches, OneByOne
from components.privacy.opacus_engine import OpacusGradients
from components.privacy.plan import Plan
from components.privacy.randomness import SecureRandomness, SeededRandomness
from components.privacy.spent import privacy_spent
from components.privacy.training import PrivateTraining
from components.privacy.units import Rows, Users, Utterances
from components.privacy.verify import verify_engine

torch.set_num_threads(1)
COUNT, LENGTH, WORDS = 120, 6, 9
PLAN = Plan((1.5, 1.0), rate=0.2, steps_an_epoch=5, delta=1e-3)


class Tagger(nn.Module):
    """An LSTM over words, with dropout, that says which word comes first."""

    def __init__(self):
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(WORDS, 8), nn.Dropout(0.2)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.norm, self.output = nn.LayerNorm(12), nn.Linear(12, WORDS)

    def forward(self, tokens):
        outputs, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return self.output(self.norm(outputs).mean(1))


TOKENS = torch.from_numpy(np.random.default_rng(0).integers(0, WORDS, (COUNT, LENGTH)))


def losses(model, rows):
    return nn.functional.cross_entropy(model(TOKENS[rows]), TOKENS[rows, 0], reduction="none")


def tagger() -> Tagger:
    torch.manual_seed(0)
    return Tagger()


def training(model=None, **options) -> PrivateTraining:
    model = model or tagger()
    options = {"units": Utterances(COUNT), "plan": PLAN, "randomness": SeededRandomness(1)} | options
    return PrivateTraining(model, torch.optim.Adam(model.parameters(), 0.05), options.pop("losses", losses), **options)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def sample(count: int = 9) -> Rows:
    return Utterances(COUNT).sample(1.0, SeededRandomness(0)).chosen(slice(0, count))


@pytest.mark.filterwarnings("ignore:In CPU autocast")
@pytest.mark.parametrize("clipping", [Automatic(), Flat(0.1)])
@pytest.mark.parametrize(
    "engine",
    [
        BookKeeping(),
        BookKeeping(4, np.arange(COUNT) % 7),
        OpacusGradients(most_at_once=4),
        OpacusGradients(functorch=True),
    ],
)
def test_every_exact_engine_gives_the_same_clipped_sum(engine, clipping):
    model = tagger().eval().double()
    found = engine.clipped_sum(model, losses, sample(), clipping, None)
    truth = OneByOne().clipped_sum(model, losses, sample(), clipping, None)
    torch.testing.assert_close(found.norms.sort().values, truth.norms.sort().values, rtol=1e-8, atol=1e-10)
    for parameter, expected in truth.total.items():
        torch.testing.assert_close(found.total[parameter], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("engine", [BookKeeping(4), OpacusGradients(most_at_once=4)])
def test_users_are_clipped_whole_by_every_engine(engine):
    model = tagger().eval().double()
    rows = Users(np.arange(COUNT) % 50, most=2).sample(0.2, SeededRandomness(0))
    assert (rows.shares == 0).any() or rows.rows.shape[1] == 2
    found = engine.clipped_sum(model, losses, rows, Flat(0.05), None)
    truth = OneByOne().clipped_sum(model, losses, rows, Flat(0.05), None)
    torch.testing.assert_close(found.norms, truth.norms, rtol=1e-8, atol=1e-10)
    for parameter, expected in truth.total.items():
        torch.testing.assert_close(found.total[parameter], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("clipping", [Automatic(), Flat(1.0), Quantile()])
@pytest.mark.parametrize("engine", [BookKeeping(32), OneByOne(), OpacusGradients(), MicroBatches(4)])
def test_training_runs_by_its_plan_and_no_further(engine, clipping):
    private = training(engine=engine, clipping=clipping)
    before = weights(private.model)
    for _ in PLAN.noise:
        for rows in private.epoch():
            private.step(rows)
    assert private.taken == 10
    assert not torch.equal(before, weights(private.model))
    with pytest.raises(InvalidInput, match="10 steps"):
        next(private.epoch())


def test_private_training_learns():
    generous = Plan((0.3,) * 12, rate=0.5, steps_an_epoch=5, delta=1e-3)
    private = training(plan=generous)
    for _ in generous.noise:
        for rows in private.epoch():
            private.step(rows)
    private.model.eval()
    assert losses(private.model, torch.arange(COUNT)).mean().item() < 0.8 * math.log(WORDS)


def test_an_empty_batch_is_a_step_of_noise_alone():
    model = tagger()
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    rare = Plan((1.5,), rate=1e-9, steps_an_epoch=1, delta=1e-3)
    private = PrivateTraining(model, optimizer, losses, units=Utterances(COUNT), plan=rare)
    (rows,) = private.epoch()
    assert len(rows) == 0
    before = weights(model)
    private.step(rows)
    assert private.taken == 1
    # Noise 1.5 times the sensitivity of automatic clipping, over the utterances that were expected.
    assert stats.kstest((weights(model) - before).numpy() / (1.5 / (1e-9 * COUNT)), "norm").pvalue > 1e-6


@pytest.mark.parametrize(("engine", "sensitivity", "terms"), [(BookKeeping(), 0.5, 24), (MicroBatches(4), 1.0, 4)])
def test_noise_is_of_the_engine_s_sensitivity_and_divided_by_what_is_expected(engine, sensitivity, terms):
    model = tagger()
    silent = lambda model, rows: losses(model, rows) * 0  # noqa: E731
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    private = PrivateTraining(
        model, optimizer, silent, units=Utterances(COUNT), plan=PLAN, clipping=Flat(0.5), engine=engine
    )
    before = weights(model)
    private.step(next(private.epoch()))
    assert stats.kstest((weights(model) - before).numpy() / (1.5 * sensitivity / terms), "norm").pvalue > 1e-6


def test_spent_grows_with_steps_to_the_plan_s():
    private = training(randomness=SecureRandomness())
    assert private.spent.epsilon == 0
    for rows in private.epoch():
        private.step(rows)
    half = private.spent
    assert half.epsilon == pytest.approx(privacy_spent(PLAN.first(5), delta=1e-3).epsilon)
    assert private.spent.epsilon < PLAN.spent.epsilon
    assert (half.unit, half.delta) == ("utterance", 1e-3)


def test_repeatable_randomness_is_worth_no_epsilon():
    private = training()
    private.step(next(private.epoch()))
    assert private.spent.epsilon == math.inf


def test_only_what_was_sampled_is_trained_on_and_all_of_it():
    private = training()
    samples = private.epoch()
    rows = next(samples)
    for other in (sample(), rows.chosen(slice(0, 5))):
        with pytest.raises(InvalidInput, match="last sample"):
            private.step(other)
    with pytest.raises(InvalidInput, match="left out"):
        next(samples)
    private = training()
    rows = next(private.epoch())
    private.step(rows)
    with pytest.raises(InvalidInput, match="once"):
        private.step(rows)
    assert private.taken == 1


def test_an_interrupted_training_goes_on_where_it_was():
    private = training(taken=7)
    for rows in private.epoch():
        private.step(rows)
    assert private.taken == 10


def test_no_parameter_is_trained_without_noise():
    model, stranger = tagger(), nn.Linear(2, 2)
    optimizer = torch.optim.SGD([*model.parameters(), *stranger.parameters()], 0.1)
    with pytest.raises(InvalidInput, match="2 parameters"):
        PrivateTraining(model, optimizer, losses, units=Utterances(COUNT), plan=PLAN)


def test_a_layer_without_a_rule_is_refused_before_any_work():
    model = nn.Sequential(nn.Linear(2, 2), nn.PReLU())
    with pytest.raises(InvalidInput, match=r"'1' \(PReLU\)"):
        training(model)
    training(model, engine=OneByOne())


def test_a_plan_for_utterances_is_none_for_users():
    with pytest.raises(InvalidInput, match="utterance"):
        training(units=Users(np.arange(COUNT)))


def test_losses_reduced_over_the_batch_are_refused():
    private = training(losses=lambda model, rows: losses(model, rows).mean())
    rows = next(private.epoch())
    with pytest.raises(InvalidInput, match="one number a row"):
        private.step(rows)


class Mixing(nn.Module):
    """Subtracts the mean over the batch, which no layer's rule can see."""

    def __init__(self):
        super().__init__()
        self.embedding, self.output = nn.Embedding(WORDS, 4), nn.Linear(4, WORDS)

    def forward(self, tokens):
        embedded = self.embedding(tokens).mean(1)
        return self.output(torch.tanh(embedded - embedded.mean(0)))


class PositionsFirst(nn.Module):
    """Turns examples and positions around before a layer, which its rule refuses unless they are as many."""

    def __init__(self):
        super().__init__()
        self.embedding, self.output = nn.Embedding(WORDS, 4), nn.Linear(4, WORDS)

    def forward(self, tokens):
        turned = self.embedding(tokens).transpose(0, 1)
        return self.output(torch.tanh(turned)).mean(0)


@pytest.mark.parametrize("engine", [BookKeeping(), OpacusGradients()])
def test_a_model_that_mixes_examples_is_found_before_the_first_step(engine):
    private = training(Mixing(), engine=engine)
    before, rows = weights(private.model), next(private.epoch())
    with pytest.raises(InvalidInput, match="embedding.weight|output.weight"):
        private.step(rows)
    assert torch.equal(before, weights(private.model))
    assert private.taken == 0


def test_positions_first_are_found_even_where_they_are_as_many_as_examples():
    torch.manual_seed(0)
    model = PositionsFirst()
    three = lambda model, rows: nn.functional.cross_entropy(model(TOKENS[rows, :3]), TOKENS[rows, 0], reduction="none")  # noqa: E731
    with pytest.raises(InvalidInput, match="weight"):
        verify_engine(BookKeeping(), model, three, sample(3), SeededRandomness(0))


def test_checking_leaves_the_mode_of_every_layer():
    model = tagger()
    model.norm.eval()
    verify_engine(BookKeeping(), model, losses, sample(), SeededRandomness(0))
    assert model.training
    assert model.dropout.training
    assert not model.norm.training


def test_opacus_does_not_get_tied_weights():
    model = nn.Sequential(nn.Embedding(WORDS, WORDS), nn.Linear(WORDS, WORDS, bias=False))
    model[1].weight = model[0].weight
    with pytest.raises(InvalidInput, match="ties weights"):
        OpacusGradients().clipped_sum(model, lambda m, rows: m(TOKENS[rows]).sum((1, 2)), sample(), Automatic(), None)


def test_a_group_s_gradient_can_turn_around_by_one_utterance():
    """Why micro-batches have twice the sensitivity: the clipped mean gradient of a group, with and without one more."""
    model = nn.Linear(1, 1, bias=False).double()
    values = torch.tensor([[1.0], [-30.0]], dtype=torch.float64)
    call = lambda model, rows: model(values[rows])[:, 0]  # noqa: E731
    both, one = Rows(np.array([[0], [1]]), np.ones((2, 1))), Rows(np.array([[0]]), np.ones((1, 1)))
    sums = [
        MicroBatches(1).clipped_sum(model, call, rows, Flat(1.0), SeededRandomness(0)).total[model.weight]
        for rows in (both, one)
    ]
    assert float((sums[0] - sums[1]).abs()) == pytest.approx(2.0)
    assert MicroBatches(1).sensitivity == 2.0
