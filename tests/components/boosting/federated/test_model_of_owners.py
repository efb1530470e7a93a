"""Owners end with the model that they trained: each makes it of the trees it knows, and takes no other."""

import pytest

from components.boosting.federated import RowsOfOwner, train
from components.boosting.federated.model import digest_of, kept_trees, trained_text
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


@pytest.mark.parametrize(
    "lie",
    [
        lambda said: said | {"digest": digest_of("another")},
        lambda said: said | {"trees": said["trees"] - 1},
        lambda said: said | {"trees": said["trees"] + 1},
        lambda said: said | {"trees": "all"},
        lambda said: said | {"scores": [said["scores"][0] + 0.1]},
        lambda said: said | {"scores": []},
    ],
)
def test_another_model_is_refused(owned, lie):
    agreed, owners = owned()

    class Lies(Rehearsal):
        def ask(self, question, content, **about):
            if question == "learn":
                content = Content(lie(content.document))
            return super().ask(question, content, **about)

    with pytest.raises(InvalidInput, match="do not trust it"):
        train(Lies(owners), agreed, teaches=True)
    assert all(one.model is None for one in owners.values())
