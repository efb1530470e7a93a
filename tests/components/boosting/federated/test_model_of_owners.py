"""Owners end with the model that they trained: each makes it of the trees it knows, and takes no other."""

import pytest

from components.boosting.federated import RowsOfOwner, train
from components.boosting.federated.model import digest_of, kept_trees, text_of_trees, trained_text
from components.errors import InvalidInput
from components.federated import Content
from tests.components.boosting.federated.conftest import dealt
from tests.components.boosting.federated.rehearsal import Rehearsal

NAMES = ("a", "b", "c")


@pytest.fixture
def owned(agreement, joint):
    """A function that gives an agreement and owners of a table's rows."""

    def make(kind: str = "binary", **settings):
        table = joint(500, kind=kind)
        agreed = agreement(table.schema, **{"rounds": 3, "max_depth": 3, "max_bin": 8, **settings})
        parts = zip(NAMES, dealt(table, 3), strict=True)
        return agreed, {name: RowsOfOwner(agreed, part, seed=1) for name, part in parts}

    return make


@pytest.mark.parametrize("settings", [{}, {"early_stopping_rounds": 1, "rounds": 30}])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_everybody_makes_the_same_model(owned, kind, settings):
    agreed, owners = owned(kind, **settings)
    progress = train(Rehearsal(owners), agreed, teaches=True)
    assert {one.model for one in owners.values()} == {trained_text(agreed, progress)}
    if settings:
        assert kept_trees(agreed, progress) < len(progress.trees)


@pytest.mark.parametrize("step", ["begin", "descend", "finish"])
def test_who_missed_the_end_is_told_it_before(owned, step):
    agreed, owners = owned()
    last = train(Rehearsal(owned()[1]), agreed).rounds[-1].number
    missed = []

    class Accident(Rehearsal):
        def _lost(self, asked, name):
            # Owner c hears nothing of the last tree from this step on, and is back when it is over.
            tree = len(self.owners["a"]._grown)
            if name == "c" and tree == last and asked == {"finish": "finish"}.get(step, "sum") and self.in_step(asked):
                missed.append(asked)
                return True
            return super()._lost(asked, name)

        def in_step(self, asked):
            self.asked = getattr(self, "asked", 0) + 1
            return step != "descend" or self.asked > 1

    rehearsal = Accident(owners)
    progress = train(rehearsal, agreed, batches=rehearsal.batch, teaches=True)
    assert missed
    assert {one.model for one in owners.values()} == {trained_text(agreed, progress)}


@pytest.mark.parametrize("settings", [{}, {"early_stopping_rounds": 5}])
@pytest.mark.parametrize(
    "lie",
    [
        {"digest": digest_of("another")},
        {"trees": 2},
        {"trees": 4},
        {"trees": 10},
        {"trees": 0},
        {"trees": "all"},
        {"scores": [0.1, 0.2, 0.7]},
        {"scores": []},
    ],
    ids=str,
)
def test_another_model_is_refused(owned, lie, settings):
    agreed, owners = owned("multiclass", **settings)

    class Lies(Rehearsal):
        def ask(self, question, content, **about):
            if question == "learn":
                said, known = content.document | lie, self.owners["a"]
                # Of so many trees as it says, in truth.
                kept = known._grown[: said["trees"]] if type(said["trees"]) is int else known._grown
                scores = said["scores"] if len(said["scores"]) == 3 else content.document["scores"]
                text = text_of_trees(agreed, known._prepared.terms, scores, kept)
                content = Content({**said, "digest": lie.get("digest", digest_of(text))})
            return super().ask(question, content, **about)

    with pytest.raises(InvalidInput, match="do not trust it"):
        train(Lies(owners), agreed, teaches=True)
    assert all(one.model is None for one in owners.values())


def test_who_is_lost_while_the_model_is_told_is_told_once_more(owned):
    agreed, owners = owned(rounds=2)
    before, whole = Rehearsal(owned(rounds=2)[1]), Rehearsal(owners)
    train(before, agreed)
    train(whole, agreed, teaches=True)
    assert whole.exchanges > before.exchanges
    # The last step of a round is there too.
    for at in range(before.exchanges, whole.exchanges + 1):
        agreed, owners = owned(rounds=2)
        lost = Rehearsal(owners, loses=lambda n, step, name, at=at: n == at and name == "c", hears=bool(at % 2))
        progress = train(lost, agreed, teaches=True)
        assert lost.losses, at
        assert {one.model for one in owners.values()} == {trained_text(agreed, progress)}, at


def test_an_aggregator_that_ends_before_all_rounds_teaches_nobody(owned):
    agreed, owners = owned(rounds=4)
    fewer = agreed.model_copy(update={"parameters": agreed.parameters.model_copy(update={"rounds": 3})})
    with pytest.raises(InvalidInput, match="do not trust it"):
        train(Rehearsal(owners), fewer, teaches=True)
    assert all(one.model is None for one in owners.values())
