from dataclasses import replace

import numpy as np
import pytest

from components.data.texts.corpus import Corpus, Labels, Slot, Utterance, labels_of
from components.data.texts.split import TextSplit, checked_split, split_by_user
from components.errors import InvalidInput


def corpus(users, start=0, **changes):
    said = []
    for user in range(start, start + users):
        for turn in range(4):
            intent = ("fly", "stay")[turn % 2]
            slots = (Slot("city", 3, 7),)
            said.append(Utterance(f"{user}@{turn}", "to Rome", intent, slots, ("en", "de")[user % 2], f"user {user}"))
    return Corpus(tuple(replace(utterance, **changes) for utterance in said))


def split(**parts):
    given = {"train": corpus(10), "selection": corpus(4, 10), "gate": corpus(4, 20)} | parts
    return TextSplit(**given, labels=Labels(("fly", "stay"), ("city",), public=True))


def test_users_are_in_one_part_and_every_utterance_in_one():
    whole = corpus(60)
    parts = split_by_user(whole).parts
    users = [set(part.users) for part in parts.values()]
    assert sum(map(len, users)) == len(set.union(*users)) == 60
    assert sorted(row for part in parts.values() for row in part.row_ids) == sorted(whole.row_ids)


def test_labels_read_off_the_train_part_are_not_public():
    assert split_by_user(corpus(60)).labels == Labels(("fly", "stay"), ("city",), public=False)
    declared = Labels(("fly", "stay", "eat"), ("city",), public=True)
    assert split_by_user(corpus(60), labels=declared).labels is declared


def test_whose_user_is_unknown_is_a_user_alone():
    assert len(set(corpus(5, user="").users)) == 20


def test_a_sound_split_passes():
    assert checked_split(split()) == split()


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"gate": corpus(4, 8)}, "2 users speak in the train part and in the gate part"),
        ({"selection": Corpus(())}, "selection part has no utterances"),
        ({"gate": corpus(4, 20, intent="eat")}, r"the intent of row 20@0 \(gate part\) is not among the 2"),
        ({"gate": corpus(4, 20, slots=(Slot("day", 3, 7),))}, r"1 of the 1 slots of row 20@0 \(gate part\)"),
        ({"train": corpus(10, intent="fly")}, "intent 'stay' of the selection part has no example"),
        ({"gate": corpus(4, 20, group="en")}, "none of the 28 utterances whose language is that of row 1@0"),
        ({"train": Corpus((*corpus(9).utterances[::2], corpus(1, 30).utterances[1]))}, "intent 'stay' has one example"),
    ],
)
def test_what_cannot_be_learnt_from_or_judged_is_refused(parts, named):
    with pytest.raises(InvalidInput, match=named):
        checked_split(split(**parts))


@pytest.mark.parametrize(
    ("parts", "row"),
    [
        ({"train": Corpus((*corpus(9).utterances[::2], corpus(1, 30).utterances[1]))}, "30@1"),
        ({"train": corpus(10, intent="fly")}, "10@1"),
        ({"gate": corpus(4, 20, intent="my doctor")}, "20@0"),
        ({"gate": corpus(4, 20, slots=(Slot("my doctor", 3, 7),))}, "20@0"),
        ({"selection": corpus(4, 10, group="my doctor")}, "10@0"),
    ],
)
def test_what_is_private_is_named_by_a_row(parts, row):
    whole = split(**parts)
    private = replace(whole, labels=replace(whole.labels, public=False))
    with pytest.raises(InvalidInput, match=row) as raised:
        checked_split(private)
    assert not any(said in str(raised.value) for said in ("'fly'", "'stay'", "doctor"))


def test_no_sentence_names_a_user():
    with pytest.raises(InvalidInput) as raised:
        checked_split(split(gate=corpus(4, 8)))
    assert "user 8" not in str(raised.value)


def test_a_group_without_rows_stays_a_level():
    part = corpus(4).take(np.array([0]))
    assert part.groups["language"].levels == ("de", "en")


@pytest.mark.parametrize(
    "changes", [{"text": "to Oslo"}, {"group": "fr"}, {"user": "x"}, {"slots": ()}, {"intent": "x"}]
)
def test_the_digest_sees_every_field(changes):
    whole = corpus(2)
    changed = Corpus((replace(whole.utterances[0], **changes), *whole.utterances[1:]))
    assert corpus(2).digest == whole.digest != changed.digest


def test_labels_of_a_corpus_are_sorted():
    assert labels_of(corpus(3)) == Labels(("fly", "stay"), ("city",), public=False)
