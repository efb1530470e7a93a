"""What an owner spends on noisy sums: noted before any sum is made, once for each time noise is drawn, and bounded."""

import json

import numpy as np
import pytest

from components.boosting.federated import RowsOfOwner, SumNoise
from components.boosting.federated import owner as owner_module
from components.boosting.federated.agreement import state_after, state_of, terms_document
from components.boosting.federated.spending import NoiseBudget, Spending, spending_of
from components.errors import InvalidInput
from components.federated import Content
from components.federated.noise_account import epsilon_of
from components.federated.quantiles import first_grid

ROUNDS = 4


@pytest.fixture
def table(joint):
    return joint(60)


@pytest.fixture
def training(agreement, table, tmp_path):
    """A function that returns the spending of a training; all are in one ledger."""

    def make(epsilon: float = 4, *, budget: float | None = 4, run: str = "first", **settings) -> Spending:
        agreed = agreement(table.schema, rounds=ROUNDS, max_depth=2, **settings)
        noise = SumNoise(epsilon=epsilon, delta=1e-5)
        allowed = budget and NoiseBudget(epsilon=budget, delta=1e-5)
        agreed = agreed.model_copy(update={"noise": noise})
        return Spending(tmp_path / "store" / "noise_spent.jsonl", "north", allowed, agreed, run)

    return make


def spent(one: Spending) -> float:
    """Epsilon of all that is in the ledger."""
    lines = one.path.read_text().splitlines() if one.path.exists() else []
    rho = sum(json.loads(line)["rho"] for line in lines)
    return epsilon_of(rho, 1e-5) if rho else 0.0


def test_a_training_is_paid_for_once_and_by_its_first_unit(training):
    one = training()
    one.require_room()
    assert spent(one) == 0
    one.begin(-2)
    whole = spent(one)
    assert one.agreement.noise_plan.to_json()["epsilon"] == pytest.approx(whole, abs=1e-6)
    for unit in (-1, 0, 1, 2, 3):
        # Whichever process asks: the one before may have been killed.
        training().begin(unit)
    assert spent(one) == whole
    training().require_room()


def test_budgets_add_up_less_than_epsilons_and_end(training):
    """By zero-concentrated privacy four trainings spend about as much as one of twice their epsilon."""
    for seed in range(4):
        one = training(1, budget=2.2, seed=seed)
        one.require_room()
        one.begin(-2)
    assert 1.9 < spent(one) < 2.2
    for refused in (training(1, budget=2.2, seed=4).require_room, lambda: training(1, budget=2.2, seed=4).begin(-2)):
        with pytest.raises(InvalidInput, match=r"'north' .* epsilon 2\.2 .*: 2\.\d+ is spent.* epsilon 1 .* be 2\.\d"):
            refused()
    assert len(one.path.read_text().splitlines()) == 4
    # What was begun may go on.
    training(1, budget=2.2, seed=3).begin(-1)


def test_noise_that_is_drawn_anew_is_paid_for_again(training):
    one = training(budget=None)
    one.begin(0)
    before = spent(one)
    for _ in range(ROUNDS):
        training(budget=None).begin(0)
    # All rounds are nearly all of it: it is as if there had been two trainings.
    twice = training(budget=None, seed=7)
    again = spent(one)
    assert again > 1.3 * before
    one.path.unlink()
    for each in (one, twice):
        each.begin(-2)
    assert again == pytest.approx(spent(one), rel=0.05)


def test_an_owner_that_was_started_anew_is_not_asked_the_same_for_nothing(training):
    one = training(4, budget=4)
    one.begin(0)
    with pytest.raises(InvalidInput, match="epsilon 4"):
        training(4, budget=4).begin(0)
    with pytest.raises(InvalidInput, match="epsilon 4"):
        training(4, budget=4).begin(-2)
    training(4, budget=4).begin(1)


def test_another_agreement_under_the_same_name_is_another_training(training):
    training(1, budget=4).begin(3)
    with pytest.raises(InvalidInput, match="epsilon 4"):
        training(4, budget=4).begin(4)


def test_a_budget_that_comes_later_counts_what_was_before(training):
    training(budget=None).begin(-2)
    with pytest.raises(InvalidInput, match="is spent"):
        training(run="second").require_room()


def test_less_noise_than_an_owner_asks_for_is_refused_before_anything_is_noted(training):
    with pytest.raises(InvalidInput, match=r"epsilon 4 .*: 0 is spent.*epsilon 8"):
        training(8).require_room()
    assert spent(training()) == 0


def test_a_line_that_was_not_finished_counts_for_nothing_and_a_damaged_one_stops(training):
    one = training()
    one.begin(-2)
    before = one.path.read_bytes()
    one.path.write_bytes(before + b'{"training": "')
    training().begin(-1)
    assert one.path.read_bytes().startswith(before)
    assert [json.loads(line)["unit"] for line in one.path.read_text().splitlines()] == [-2, -1]
    one.path.write_bytes(b"0\n" + before)
    with pytest.raises(InvalidInput, match=r"noise_spent\.jsonl") as refusal:
        training().begin(0)
    assert str(one.path.parent) not in str(refusal.value)


def test_it_is_noted_before_noise_is_drawn_and_nothing_is_drawn_where_it_cannot_be(training, table, monkeypatch):
    drawn = []
    monkeypatch.setattr(owner_module, "add_noise", lambda vector, deviation: drawn.append(noted()) or vector)
    one = training()

    def noted() -> list[int]:
        return [json.loads(line)["unit"] for line in one.path.read_text().splitlines()]

    told = {"ledger": str(one.path), "budget": one.budget.model_dump(), "run": one.run}
    ask_all(one.agreement, table, spending_of("north", one.agreement, told).begin)
    assert drawn == [[-2], [-2, -1], [-2, -1, 0], [-2, -1, 0]]
    assert noted() == [-2, -1, 0]

    drawn.clear()
    with pytest.raises(InvalidInput, match="'north'"):
        ask_all(one.agreement, table, spending_of("north", one.agreement, told).begin)
    assert not drawn


def ask_all(agreed, table, begins) -> None:
    """Every kind of sum up to the loss of the first round."""
    rows, asked = RowsOfOwner(agreed, table, begins=begins), agreed.searched()
    grids = [first_grid().boundaries for _ in asked]
    rows.sums["count"](Content({"features": asked, "sizes": list(map(len, grids))}, np.concatenate(grids), 0))
    terms, margins = terms_document({name: [0.0] for name in asked}, 10**4, (-50.0, 50.0)), [0.3]
    rows.answers["prepare"](Content(terms))
    rows.sums["labels"](Content({"state": state_of(terms)}, batch=1))
    rows.answers["catch_up"](Content({"margins": margins, "first": 0, "trees": []}))
    state = state_of(terms, margins)
    features = list(range(len(agreed.schema_.features)))
    rows.sums["begin"](Content({"number": 0, "features": features, "state": state}, batch=2))
    rows.answers["finish"](Content({"splits": [], "wanted": [], "leaves": [[0, 0.2]]}))
    rows.sums["loss"](Content({"state": state_after(state, [], {0: 0.2})}, batch=2))
