"""Keys and statements: alike at both ends, and another for every other place."""

import numpy as np
import pytest

from components.federated.context import add_pair_mask, own_mask_key, sealing_context, statement
from components.federated.keys import fresh_secret, public_of

PLACE = {"agreement": b"a" * 32, "message": 3}
OTHERS = [{"agreement": b"b" * 32}, {"message": 4}]


def test_what_one_of_a_pair_adds_the_other_takes_away():
    one, other = fresh_secret(), fresh_secret()
    vector = np.zeros(100, dtype=np.uint64)
    add_pair_mask(vector, one, public_of(other), name="ann", peer="bob", **PLACE)
    assert len(set(vector.tolist())) == 100
    add_pair_mask(vector, other, public_of(one), name="bob", peer="ann", **PLACE)
    assert not vector.any()


@pytest.mark.parametrize("change", [*OTHERS, {"peer": "cyd"}])
def test_a_pair_s_mask_is_of_one_place(change):
    secret, public = fresh_secret(), public_of(fresh_secret())
    here, there = np.zeros(8, dtype=np.uint64), np.zeros(8, dtype=np.uint64)
    add_pair_mask(here, secret, public, **{"name": "ann", "peer": "bob", **PLACE})
    add_pair_mask(there, secret, public, **{"name": "ann", "peer": "bob", **PLACE, **change})
    assert (here != there).all()


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
