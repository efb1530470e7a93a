"""Who comes late is told what it missed, or left out where its rows were not declared and a sum could overflow."""

import numpy as np
import pytest

from components.boosting.federated import RowsOfOwner, progress_of, train
from components.federated.selection import Selection
from tests.components.boosting.federated.conftest import NAMES, dealt
from tests.components.boosting.federated.rehearsal import Rehearsal, rehearsed


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_latecomer_whose_rows_or_labels_were_not_declared_is_left_out(owned, joint, kind):
    """With more rows than declared, sums could overflow; with wider labels, gradients could."""
    agreed, parts, owners = owned(kind)
    there = owners()
    if kind == "binary":
        late = joint(9000, seed=5)
    else:
        at = parts["c"].schema.columns.index("outcome")
        labels = np.asarray(parts["c"].labels) * 1000
        late = type(parts["c"])(parts["c"].schema, parts["c"].columns.set_column(at, "outcome", [labels]))
    there["c"] = RowsOfOwner(agreed, late)
    begun, rounds = [], []
    progress, rehearsal = rehearsed(
        agreed,
        there,
        begins=rounds.append,
        loses=lambda n, step, name: name == "c" and not rounds,
        keep=begun.append,
    )
    assert [one.members for one in progress.rounds] == [("a", "b")] * 2
    assert "'c' came when the training had begun" in {one.name: one.sentence for one in rehearsal.losses}["c"]

    # Stopped after its first round, it goes on as it began; at the end c hears why it has no model.
    first = next(place for place, event in enumerate(begun) if "round" in event)
    later = {**owners(), "c": RowsOfOwner(agreed, late)}
    again, rehearsal = rehearsed(agreed, later, start=progress_of(begun[: first + 1]), teaches=True)
    assert [one.members for one in again.rounds] == [("a", "b")] * 2
    assert again.trees == progress.trees
    assert [one.name for one in rehearsal.losses if one.step == "excluded" and "had begun" in one.sentence] == ["c"]
    assert [name for name, one in later.items() if one.model] == ["a", "b"]


class AnsweringFirst(Rehearsal):
    """c answers before all others."""

    def ask(self, question, content, **about):
        answers = super().ask(question, content, **about)
        return {name: answers[name] for name in sorted(answers, reverse=True)}


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("rows", [1900, 9000])
def test_after_any_stop_there_is_room_first_for_those_whose_rows_were_declared(owned, joint, kind, rows):
    agreed, parts, owners = owned(kind)
    late = joint(rows, kind=kind, seed=5)
    if kind == "regression":
        at = late.schema.columns.index("outcome")
        wide = [np.asarray(late.labels) * 1000]
        late = type(late)(late.schema, late.columns.set_column(at, "outcome", wide))
    begun = []
    whole, _ = rehearsed(agreed, owners(), loses=lambda n, step, name: name == "c", keep=begun.append)
    # Some would fit alone, or with one of those whose rows were declared.
    assert 1000 < whole.terms["rows"] < 1500
    for stopped in range(1, len(begun) + 1):
        start = progress_of(begun[:stopped])
        if not start.terms:
            continue
        there = {name: one for name, one in owners().items() if name != "c"} | {"c": RowsOfOwner(agreed, late)}
        again = AnsweringFirst(there)
        progress = train(again, agreed, batches=again.batch, start=start, teaches=True)
        assert {one.members for one in progress.rounds} == {("a", "b")}, stopped
        assert progress.trees == whole.trees, stopped
        assert [name for name, one in there.items() if one.model] == ["a", "b"], stopped
        assert any(one["name"] == "c" and "had begun" in one["sentence"] for one in progress.losses), stopped


def test_with_a_selection_a_latecomer_of_too_many_rows_is_left_out_and_others_go_on(agreement, joint):
    parts = dict(zip("abcd", dealt(joint(800), 4), strict=True))
    agreed = agreement(parts["a"].schema, rounds=6, max_depth=2, max_bin=4)
    agreed = agreed.model_copy(update={"selection": Selection(owners=2)})
    there = {name: RowsOfOwner(agreed, part) for name, part in parts.items()}
    there["d"] = RowsOfOwner(agreed, joint(20_000, seed=5))
    rounds = []

    class Late(Rehearsal):
        def present(self):
            return {name: one for name, one in super().present().items() if len(rounds) > 2 or name != "d"}

    late = Late(there, roster=2)
    progress = train(late, agreed, batches=late.batch, begins=rounds.append, teaches=True)
    assert len(progress.rounds) == 6
    assert not any("d" in one.members for one in progress.rounds)
    assert [name for name, one in there.items() if one.model] == ["a", "b", "c"]


def test_who_comes_back_while_others_are_told_is_not_asked_unprepared(owned):
    agreed, _, owners = owned()
    told = []

    class Late(Rehearsal):
        def ask(self, question, content, **about):
            answers = super().ask(question, content, **about)
            if question == "catch_up":
                told.append(question)
            return answers

        def present(self):
            return {name: one for name, one in super().present().items() if told or name != "c"}

    rehearsal = Late(owners())
    progress = train(rehearsal, agreed, batches=rehearsal.batch)
    assert [one.members for one in progress.rounds] == [("a", "b"), NAMES]
