"""Keys and statements: alike at both ends, and another for every other place."""

import numpy as np
import pytest

from components.federated.context import (
    add_pair_mask,
    asked_after,
    own_mask_key,
    pair_key,
    question_of,
    sealing_context,
    statement,
)
from components.federated.keys import fresh_secret, public_of

AGREEMENT = b"a" * 32
PLACE = {"agreement": AGREEMENT, "message": 3}
OTHERS = [{"agreement": b"b" * 32}, {"message": 4}]


def test_what_one_of_a_pair_adds_the_other_takes_away():
    one, other = fresh_secret(), fresh_secret()
    vector = np.zeros(100, dtype=np.uint64)
    key = pair_key(one, public_of(other), agreement=AGREEMENT, name="ann", peer="bob")
    assert key == pair_key(other, public_of(one), agreement=AGREEMENT, name="bob", peer="ann")
    add_pair_mask(vector, key, message=3, asked=b"c", name="ann", peer="bob")
    assert len(set(vector.tolist())) == 100
    add_pair_mask(vector, key, message=3, asked=b"c", name="bob", peer="ann")
    assert not vector.any()


@pytest.mark.parametrize("change", [*OTHERS, {"peer": "cyd"}, {"asked": b"d"}])
def test_a_pair_s_mask_is_of_one_place(change):
    secret, public = fresh_secret(), public_of(fresh_secret())
    masks = []
    for place in (PLACE, {**PLACE, **change}):
        pair = {"name": "ann", "peer": place.get("peer", "bob")}
        key, vector = pair_key(secret, public, agreement=place["agreement"], **pair), np.zeros(8, dtype=np.uint64)
        add_pair_mask(vector, key, message=place["message"], asked=place.get("asked", b"c"), **pair)
        masks.append(vector)
    assert (masks[0] != masks[1]).all()


@pytest.mark.parametrize("change", [*OTHERS, {"name": "bob"}])
def test_an_own_mask_is_of_one_place(change):
    seed = fresh_secret()
    assert own_mask_key(seed, **{"name": "ann", **PLACE}) != own_mask_key(seed, **{"name": "ann", **PLACE, **change})


def test_shares_are_sealed_for_one_direction_of_one_agreement():
    contexts = {sealing_context(b"a", *pair) for pair in (("ann", "bob"), ("bob", "ann"), ("ann", "cyd"))}
    assert len(contexts | {sealing_context(b"b", "ann", "bob")}) == 4


def test_a_statement_says_everything_and_not_in_which_order():
    said = statement(b"a", 1, ["ann", "bob", "cyd"], ["ann", "bob"])
    assert said == statement(b"a", 1, ["cyd", "bob", "ann"], ["bob", "ann"])
    others = [
        statement(b"b", 1, ["ann", "bob", "cyd"], ["ann", "bob"]),
        statement(b"a", 2, ["ann", "bob", "cyd"], ["ann", "bob"]),
        statement(b"a", 1, ["ann", "bob"], ["ann", "bob"]),
        statement(b"a", 1, ["ann", "bob", "cyd"], ["ann", "cyd"]),
    ]
    assert said not in others


def test_what_was_asked_says_everything_and_in_which_order():
    questions = [
        question_of({"name": "begin", "said": {"number": 0}}, []),
        question_of({"name": "begin", "said": {"number": 1}}, []),
        question_of({"name": "finish", "said": {"number": 0}}, []),
        question_of({"name": "begin", "said": {"number": 0}}, [b"1"]),
        question_of({"name": "begin", "said": {"number": 0}}, [memoryview(b"12")]),
    ]
    chains = [asked_after(asked_after(b"", one), other) for one in questions for other in questions]
    assert len(set(questions)) == 5
    assert len(set(chains)) == 25
