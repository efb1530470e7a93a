"""No two sums that anybody comes to know differ by one owner: whoever is lost when, whatever stops, whoever lies."""

import json
from itertools import pairwise

import numpy as np
import pytest

from components.boosting.federated import LEAKAGE, progress_of, train
from components.boosting.federated.agreement import state_of, terms_document
from components.boosting.federated.model import model_of
from components.boosting.model import to_document
from components.boosting.pooled import predict_margins
from components.errors import InvalidInput
from components.federated import Content, SecureBatch
from components.federated.quantiles import MOST_ROUNDS, first_grid
from tests.components.boosting.federated.conftest import parts_of
from tests.components.boosting.federated.rehearsal import Rehearsal, difference, rehearsed, show_one_owner


def trees_of(agreed, progress) -> dict:
    return to_document(model_of(agreed, progress))["learner"]["gradient_booster"]


@pytest.mark.parametrize(
    ("kind", "every"),
    [pytest.param("binary", 1, marks=pytest.mark.slow), ("multiclass", 7), ("regression", 7)],
)
def test_an_owner_may_be_lost_at_any_step_and_be_back_at_the_next(owned, kind, every):
    agreed, parts, owners = owned(kind)
    _, whole = rehearsed(agreed, owners())
    for at in range(1, whole.exchanges + 1, every):
        progress, rehearsal = rehearsed(
            agreed, owners(), loses=lambda n, step, name, at=at: n == at and name == "c", hears=bool(at % 3)
        )
        assert not show_one_owner(rehearsal.opened), at
        assert progress is not None, at
        assert len(progress.rounds) == agreed.parameters.rounds
        last = progress.rounds[-1]
        if kind == "binary" and last.loss is not None:
            # All who say so know the very trees of the model.
            held_out = [parts_of(agreed, parts[name])[1] for name in last.members]
            margins = np.concatenate([predict_margins(model_of(agreed, progress), part) for part in held_out])
            labels = np.concatenate([part.labels for part in held_out])
            loss = np.log1p(np.exp(np.where(labels > 0, -margins, margins))).mean()
            assert last.loss == pytest.approx(loss, rel=1e-4)


def test_an_owner_may_be_gone_for_good_from_any_step_on(owned):
    agreed, _, owners = owned()
    _, whole = rehearsed(agreed, owners())
    for at in range(1, whole.exchanges + 1, 6):
        progress, rehearsal = rehearsed(agreed, owners(), loses=lambda n, step, name, at=at: n >= at and name == "c")
        assert not show_one_owner(rehearsal.opened), at
        assert len(progress.rounds) == 2


class Crash(Exception):
    """The aggregator's machine went down."""


def test_a_run_that_was_stopped_goes_on_with_the_same_owners_or_not_at_all(owned):
    agreed, _, owners = owned(rounds=1)
    events = []
    expected, _ = rehearsed(agreed, owners(), keep=events.append)
    for stop in range(len(events)):
        kept, first = [], Rehearsal(owners())

        def keep(event, kept=kept, stop=stop):
            if len(kept) == stop:
                raise Crash
            kept.append(json.dumps(event))

        with pytest.raises(Crash):
            train(first, agreed, batches=first.batch, keep=keep)
        starts = [progress_of(map(json.loads, kept)) for _ in range(2)]
        progress, again = rehearsed(agreed, owners(), start=starts[0])
        assert trees_of(agreed, progress) == trees_of(agreed, expected)
        assert not show_one_owner(first.opened, again.opened)
        _, fewer = rehearsed(agreed, owners(), start=starts[1], loses=lambda n, step, name: name == "c")
        assert not show_one_owner(first.opened, fewer.opened), stop
        # Which sums there may have been beyond those that were kept nobody knows: none is asked for with fewer.
        assert bool(fewer.opened) == (starts[1].begun is None), stop


def test_what_was_opened_was_kept_before(owned):
    agreed, _, owners = owned()
    rehearsal, seen = Rehearsal(owners()), []

    def keep(event):
        if "begun" in event:
            seen.append((event["begun"], len(rehearsal.opened)))

    train(rehearsal, agreed, batches=rehearsal.batch, keep=keep)
    batches = [batch for batch, *_ in rehearsal.opened]
    begins = [0, *(place for place, (one, other) in enumerate(pairwise(batches), 1) if one != other)]
    assert seen == list(zip(["cut points", "labels", "round 1", "round 2"], begins, strict=True))


@pytest.mark.parametrize("lie", ["again", "another batch", "rewound"])
def test_owners_answer_nothing_twice(owned, lie):
    """The same question in two sums, one without an owner, would show its whole histogram."""
    agreed, _, owners = owned()
    first, length = Rehearsal(owners()), 0
    progress = train(first, agreed, batches=first.batch)
    there = owners()
    rehearsal = Rehearsal(there)
    terms = agreed.terms(progress.terms)
    length = int(terms.cuts.starts(range(len(terms.cuts)))[-1]) * 2
    told = Content({"margins": progress.margins, "first": 0, "trees": []})
    for question in (("prepare", Content(progress.terms)), ("catch_up", told)):
        rehearsal.ask(*question)
    asked = beginning(agreed, progress)
    batch = SecureBatch(rehearsal, 2)
    batch.sum("begin", asked, message=0, length=length)
    rehearsal.gone.add("c")
    if lie == "again":
        with pytest.raises(InvalidInput):
            batch.sum("begin", asked, message=1, length=length)
        return
    if lie == "rewound":
        rehearsal.ask("catch_up", told)
    batch = SecureBatch(rehearsal, 1)
    with pytest.raises(InvalidInput, match="again|knows"):
        batch.sum("begin", asked, message=0, length=length)


def test_a_level_without_one_of_its_owners_says_nothing(owned):
    """An aggregator that does not give it up has sums under the masks which the lost owner shares with the others."""
    agreed, _, owners = owned()
    progress = train(Rehearsal(owners()), agreed)
    rehearsal = Rehearsal(owners())
    batch, length = begun(rehearsal, agreed, progress)
    rehearsal.gone.add("c")
    batch._collection.survivors = batch.survivors = batch.members = ("a", "b")
    assert is_masked(batch.sum("descend", Content(level_of(progress.trees[0])), message=1, length=length).total)


def beginning(agreed, progress) -> Content:
    """What owners are asked for the first tree's root."""
    features = list(range(len(agreed.terms(progress.terms).cuts)))
    return Content({"number": 0, "features": features, "state": state_of(progress.terms, progress.margins)})


def begun(rehearsal, agreed, progress) -> tuple[SecureBatch, int]:
    """A batch whose first sum is the root of the first tree, and how long a node's histogram is."""
    cuts = agreed.terms(progress.terms).cuts
    length = 2 * int(cuts.starts(range(len(cuts)))[-1])
    rehearsal.ask("prepare", Content(progress.terms))
    rehearsal.ask("catch_up", Content({"margins": progress.margins, "first": 0, "trees": []}))
    batch = SecureBatch(rehearsal, 3)
    batch.sum("begin", beginning(agreed, progress), message=0, length=length)
    return batch, length


def level_of(tree, **changes) -> dict:
    """The first level of a tree, as owners are asked for it."""
    split = next(iter(tree.splits.values()))
    return {"splits": [vars(split) | changes], "wanted": [split.left], "leaves": []}


def is_masked(total: np.ndarray) -> bool:
    """Sums of so few rows are far smaller; of uniform words three quarters are beyond this."""
    return bool(np.mean(np.abs(total.view(np.int64).astype(float)) > 2**61) > 0.4)


class Liar(Rehearsal):
    """An aggregator that tells `c` something else than the others, where `lie` says so: (question, said) → said."""

    lie = staticmethod(lambda question, said: said)

    def ask(self, question, content, *, members=None, **about):
        names = list(self.present() if members is None else members)
        answers = super().ask(question, content, members=[name for name in names if name != "c"], **about)
        if "c" in names:
            told = Content(self.lie(question, dict(content.document)), content.array)
            answers |= super().ask(question, told, members=["c"], **about)
        return answers

    def exchange(self, step, payloads, take, **about):
        if step == "sum" and "c" in payloads:
            document, parts = payloads["c"]
            payloads = payloads | {"c": (document | {"said": self.lie(document["name"], document["said"])}, parts)}
        return super().exchange(step, payloads, take, **about)


def test_an_aggregator_that_asks_one_owner_for_other_rows_has_nothing(owned):
    """The others' rows all go to the right and their left node is empty: without masks the sum would be c's own."""
    agreed, _, owners = owned(max_depth=3)
    progress = train(Rehearsal(owners()), agreed)
    liar, tree = Liar(owners()), progress.trees[0]
    batch, length = begun(liar, agreed, progress)
    empty, all_rows = (level_of(tree, cut=-1, default_left=one) for one in (False, True))
    liar.lie = lambda question, said: {**all_rows, "wanted": empty["wanted"]} if question == "descend" else said
    assert is_masked(batch.sum("descend", Content(empty), message=1, length=length).total)
    # What is asked alike afterwards is of rows that were divided otherwise.
    liar.lie = Liar.lie
    again = {"splits": [], "wanted": [3], "leaves": []}
    again["splits"] = [level_of(tree, node=1, left=3, right=4, cut=-1, default_left=True)["splits"][0]]
    assert is_masked(batch.sum("descend", Content(again), message=2, length=length).total)


def test_an_aggregator_that_asks_one_owner_otherwise_at_first_has_nothing(owned):
    agreed, _, owners = owned()
    progress = train(Rehearsal(owners()), agreed)
    liar = Liar(owners())
    liar.lie = lambda question, said: {**said, "and": 1} if question == "begin" else said
    batch, length = begun(liar, agreed, progress)
    assert is_masked(liar_total(batch, progress, length))


def liar_total(batch, progress, length) -> np.ndarray:
    return batch.sum("descend", Content(level_of(progress.trees[0])), message=1, length=length).total


def other_terms(said):
    return said | {"edges": {name: [one - 1e6 for one in edges] for name, edges in said["edges"].items()}}


TOLD_OTHERWISE = {
    "prepare": other_terms,
    "catch_up": lambda said: said | {"margins": [one + 1 for one in said["margins"]]},
    "finish": lambda said: said | {"leaves": [[node, value + 1] for node, value in said["leaves"]]},
}


@pytest.mark.parametrize("question", TOLD_OTHERWISE)
def test_an_owner_that_was_told_other_trees_or_edges_gives_nothing(owned, question):
    agreed, _, owners = owned()
    liar = Liar(owners())
    liar.lie = lambda asked, said: TOLD_OTHERWISE[question](said) if asked == question else said
    with pytest.raises(InvalidInput, match="told others of other"):
        train(liar, agreed, batches=liar.batch)


def test_counts_are_given_once_and_in_cells_of_a_search_alone(owned):
    agreed, _, owners = owned()
    names = agreed.searched()

    def asked(boundaries, batch=0) -> Content:
        grids = [boundaries for _ in names]
        document = {"features": names, "sizes": list(map(len, grids))}
        return Content(document, np.concatenate(grids), batch)

    first, fine = first_grid().boundaries, np.arange(0, 2**32 + 1, 2**32 // 4096)
    count = owners()["a"].sums["count"]
    for _ in range(MOST_ROUNDS):
        count(asked(first))
    with pytest.raises(InvalidInput, match="more sums"):
        count(asked(first))
    count = owners()["a"].sums["count"]
    count(asked(first))
    with pytest.raises(InvalidInput, match="again"):
        count(asked(first, batch=1))
    with pytest.raises(InvalidInput, match="cells"):
        owners()["a"].sums["count"](asked(fine))


def test_a_label_range_says_nothing_of_how_many_labels_lie_where(owned):
    agreed, parts, owners = owned("regression")
    edges = agreed.public_edges() | {name: [0.0] for name in agreed.searched()}
    said = set()
    for high in np.quantile(parts["a"].labels, [0.2, 0.5, 0.9]):
        with pytest.raises(InvalidInput) as refused:
            owners()["a"].answers["prepare"](Content(terms_document(edges, 10**6, (-1e6, float(high)))))
        said.add(str(refused.value))
    assert len(said) == 1


LIES = [
    {},
    {"rows": "many", "held_out": 1},
    {"rows": -(10**6), "held_out": 0},
    {"rows": 2**60, "held_out": 2**60},
    {"rows": True, "held_out": 1},
    {"rows": 1, "held_out": 1, "label_range": [5]},
    {"rows": 1, "held_out": 1, "label_range": [0, 1]},
    {"rows": 1, "held_out": 1, "more": 1},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_who_describes_what_cannot_be_is_named_and_done_without(owned, lie):
    agreed, _, owners = owned(rounds=1)
    there = owners()

    class Liar:
        answers = {**there["c"].answers, "describe": lambda content: Content(lie)}
        sums = there["c"].sums

    progress, rehearsal = rehearsed(agreed, {**there, "c": Liar()})
    assert progress.rounds[0].members == ("a", "b")
    assert [one.name for one in rehearsal.losses if one.step == "excluded"] == ["c"]


def test_the_difference_that_is_left_between_two_rounds_is_declared(owned):
    """Of a regression the hessians never change: who leaves between two rounds shows its rows in each bin."""
    agreed, _, owners = owned("regression", subsample=1, rounds=2)
    there = owners()
    rounds = []
    _, rehearsal = rehearsed(
        agreed, there, begins=rounds.append, loses=lambda n, step, name: name == "c" and len(rounds) > 1
    )
    roots = [one for _, name, _, one in rehearsal.opened if name == "begin"]
    hessians = difference(*roots).reshape(-1, 2)[:, 1] * there["c"]._prepared.terms.steps[1]
    assert hessians.sum() == there["c"]._prepared.rows * len(agreed.schema_.features)
    assert any("exact counts" in sentence for sentence in LEAKAGE)
