"""A crowd: only the chosen exist, they have what came and is not gone yet, and masks change nothing but the cost."""

import numpy as np
import pytest

from components.boosting.federated import SumNoise, train
from components.boosting.federated.crowd import CrowdOfOwners
from components.boosting.federated.model import model_of, trained_text
from components.boosting.model import to_document
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.errors import InvalidInput
from components.federated import Content, SecureBatch, TooFewMembers
from components.federated.selection import Selection
from components.federated.simulation import OpenBatch, SimulatedFederation
from components.partition import Crowd

DRAWN = {"subsample": 0.7, "colsample_bytree": 0.7}


@pytest.fixture
def of_many_rows_a_person(agreement, joint):
    """A function that makes a crowd in which many have more rows than noise lets count."""

    def make(plan: Crowd, **noise) -> CrowdOfOwners:
        table = joint(1500)
        person = table.schema.columns.index(table.schema.person)
        names = [f"p{number // 6}" for number in range(1500)]
        table = Table(table.schema, table.columns.set_column(person, table.schema.person, [names]))
        agreed = agreement(table.schema, rounds=4, max_bin=4)
        changes = {"selection": Selection(owners=5), "noise": SumNoise(epsilon=900, delta=1e-5, **noise)}
        return CrowdOfOwners(agreed.model_copy(update=changes), table, plan)

    return make


@pytest.fixture
def crowded(agreement, joint):
    """A function that trains with a crowd; the crowd, the federation, the agreement and the progress."""

    def run(plan: Crowd, selection: Selection, batches=OpenBatch, rows: int = 1500, kind: str = "binary", **settings):
        table = joint(rows, kind=kind)
        agreed = agreement(table.schema, max_bin=4, **settings).model_copy(update={"selection": selection})
        crowd = CrowdOfOwners(agreed, table, plan)
        federation = SimulatedFederation(crowd, crowd.names)

        def begins(number: int) -> None:
            crowd.come_to(number)
            federation.next_round()

        progress = train(federation, agreed, begins=begins, batches=batches)
        return crowd, federation, agreed, progress

    return run


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_masks_change_nothing_in_the_model(crowded, kind):
    plan, selection = Crowd(owners=60, skew=0.5), Selection(owners=4, by="activity")
    models = []
    for batches in (OpenBatch, SecureBatch):
        _, _, agreed, progress = crowded(plan, selection, batches, kind=kind, rounds=2, max_depth=2, **DRAWN)
        models.append(to_document(model_of(agreed, progress)))
    assert models[0] == models[1]
    trees = models[0]["learner"]["gradient_booster"]["model"]["trees"]
    assert max(len(tree["left_children"]) for tree in trees) > 1


def test_only_the_chosen_are_made(crowded, monkeypatch):
    made = []
    original = CrowdOfOwners.owner
    monkeypatch.setattr(CrowdOfOwners, "owner", lambda self, name: made.append(name) or original(self, name))
    _, _, _, progress = crowded(Crowd(owners=2000, skew=0), Selection(owners=30), rounds=5)
    assert all(len(one.members) == 30 for one in progress.rounds)
    assert len({one.members for one in progress.rounds}) == 5
    found_cuts = 5 * 30 + 150
    assert 5 * 30 < len(made) < found_cuts


def test_what_a_device_says_is_what_it_has_round_after_round(crowded):
    crowd, _, agreed, _ = crowded(Crowd(owners=40, window=2), Selection(owners=5), rounds=6)
    seen = []
    for number in range(6):
        crowd.come_to(number)
        described = crowd.describe()
        for name in list(described)[:10]:
            assert crowd.owner(name).answers["describe"](Content()).document == described[name].document
        seen.append(sum(one.document["rows"] for one in described.values()))
    # Each row is there for two of the rounds it may be: no more than two thirds of them at once, never none.
    codes = split_of(crowd._table.person, agreed.salt, agreed.shares)
    whole = int((codes == PARTS.index("train")).sum())
    assert 0 < min(seen) < max(seen) < whole * 2 / 3


@pytest.mark.parametrize("window", [None, 2])
def test_under_noise_a_device_says_how_many_of_its_rows_count(of_many_rows_a_person, window):
    crowd = of_many_rows_a_person(Crowd(owners=40, window=window), rows=2)
    for number in range(4):
        crowd.come_to(number)
        described = crowd.describe()
        for name, content in list(described.items())[:15]:
            assert crowd.owner(name).answers["describe"](Content()).document == content.document
    if window is None:
        assert sum(sum(content.document.values()) for content in described.values()) < 1500 * 0.4


def test_draws_of_rows_follow_the_seed_of_the_training(crowded):
    plan, selection = Crowd(owners=60, skew=0.5), Selection(owners=8)
    texts = []
    for seed in (0, 0, 1):
        _, _, agreed, progress = crowded(plan, selection, rounds=2, subsample=0.5, seed=seed)
        texts.append(trained_text(agreed, progress))
    assert texts[0] == texts[1] != texts[2]


def test_no_training_is_stopped_by_losses_of_other_owners(crowded):
    with pytest.raises(InvalidInput, match="early_stopping_rounds"):
        crowded(Crowd(owners=50), Selection(owners=5), rounds=3, early_stopping_rounds=1)


def test_the_active_are_asked_more_often_where_chance_follows_activity(crowded):
    plan = Crowd(owners=200, skew=1.5)
    rows = {}
    for by in ("uniform", "activity"):
        crowd, _, _, progress = crowded(plan, Selection(owners=10, by=by), rounds=12)
        described = crowd.describe()
        rows[by] = np.mean([described[name].document["rows"] for one in progress.rounds for name in one.members])
    assert rows["activity"] > 1.5 * rows["uniform"]


def test_fewer_than_are_asked_for_is_refused(crowded):
    with pytest.raises(TooFewMembers, match="60 a round"):
        crowded(Crowd(owners=50), Selection(owners=60), rounds=2)
