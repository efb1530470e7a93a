"""Members that lie to the collector: found out, named as far as can be known, and harmless where others suffice."""

import numpy as np
import pytest

from components.federated import member
from components.federated.frame import pack
from components.federated.shamir import SHARE_BYTES
from components.federated.violation import ProtocolViolation, TooFewMembers

VECTOR = np.arange(4, dtype=np.uint64)
FIRST, SECOND, THIRD = "owner00", "owner01", "owner02"


@pytest.mark.parametrize("what", ["length", "sum", "batch", "twice", "late", "kind"])
def test_the_collector_refuses_a_vector_that_does_not_belong_and_names_its_sender(trial, what):
    batch = trial(messages=2).set_up()
    summing = batch.collection.sum(0, len(VECTOR))
    send = {name: batch.members[name].mask(0, VECTOR) for name in (FIRST, SECOND)}
    match what:
        case "length":
            content = batch.members[THIRD].mask(0, np.zeros(5, np.uint64))
        case "sum":
            content = batch.members[THIRD].mask(1, VECTOR)
        case "batch":
            content = trial(messages=2).set_up().members[THIRD].mask(0, VECTOR)
        case "kind":
            content = pack("signature", {}, [b""])
        case _:
            content = batch.members[THIRD].mask(0, VECTOR)
    for name in (FIRST, SECOND):
        summing.masked(name, send[name])
    if what == "twice":
        summing.masked(THIRD, content)
    if what == "late":
        summing.close_masked()
    with pytest.raises(ProtocolViolation) as refused:
        summing.masked(THIRD, content)
    assert refused.value.name == THIRD


@pytest.mark.parametrize("what", ["length", "sum", "twice", "late"])
def test_the_collector_refuses_such_a_vector_in_a_later_sum_too(trial, what):
    batch = trial(messages=3).set_up()
    batch.sum(dict.fromkeys(batch.names, VECTOR))
    summing = batch.collection.sum(1, len(VECTOR))
    for name in (FIRST, SECOND):
        summing.masked(name, batch.members[name].mask(1, VECTOR))
    vector = np.zeros(5, np.uint64) if what == "length" else VECTOR
    content = batch.members[THIRD].mask(2 if what == "sum" else 1, vector)
    if what == "twice":
        summing.masked(THIRD, content)
    if what == "late":
        with pytest.raises(TooFewMembers):
            summing.close()
    with pytest.raises(ProtocolViolation) as refused:
        summing.masked(THIRD, content)
    assert refused.value.name == THIRD


def test_the_collector_refuses_a_signature_that_does_not_hold(trial):
    for position in range(0, 200, 7):

        def tamper(step, name, content, position=position):
            if (step, name) != ("sign", SECOND):
                return content
            changed = bytearray(content)
            changed[position % len(changed)] ^= 4
            return bytes(changed)

        batch = trial().set_up()
        with pytest.raises(ProtocolViolation) as refused:
            batch.sum(dict.fromkeys(batch.names, VECTOR), tamper=tamper)
        assert refused.value.name == SECOND


@pytest.mark.parametrize("lost", [{}, {"owner04": "mask"}])
def test_wrong_shares_are_found_and_do_no_harm_while_others_suffice(trial, lost):
    def tamper(step, name, content):
        if (step, name) != ("unmask", FIRST):
            return content
        changed = bytearray(content)
        for at in range(5):
            changed[len(changed) - 1 - at * SHARE_BYTES] ^= 1
        return bytes(changed)

    batch = trial(5).set_up()
    result = batch.sum(dict.fromkeys(batch.names, VECTOR), lost, tamper=tamper)
    assert result.disputed == tuple((dealer, FIRST) for dealer in batch.names)
    np.testing.assert_array_equal(result.total, VECTOR * np.uint64(len(result.survivors)))


def test_one_liar_who_comes_first_by_name_stops_none_of_many(trial):
    """Of 24 members 13 shares make a secret: subsets in order of names would all have the first one's among them."""

    def tamper(step, name, content):
        if (step, name) != ("unmask", FIRST):
            return content
        changed = bytearray(content)
        for at in range(24):
            changed[len(changed) - 1 - at * SHARE_BYTES] ^= 1
        return bytes(changed)

    batch = trial(24).set_up()
    result = batch.sum(dict.fromkeys(batch.names, VECTOR), tamper=tamper)
    assert {giver for _, giver in result.disputed} == {FIRST}
    np.testing.assert_array_equal(result.total, VECTOR * np.uint64(24))


def test_a_wrong_share_among_too_few_ends_the_sum(trial):
    def tamper(step, name, content):
        changed = bytearray(content)
        changed[-1] ^= (step, name) == ("unmask", FIRST)
        return bytes(changed)

    batch = trial().set_up()
    with pytest.raises(ProtocolViolation, match="wrong shares"):
        batch.sum(dict.fromkeys(batch.names, VECTOR), {THIRD: "unmask"}, tamper=tamper)


def test_a_member_that_deals_shares_of_another_secret_is_named(trial, monkeypatch):
    def deal_wrongly(secret, *, threshold, points):
        return honest(bytes(32), threshold=threshold, points=points)

    honest = member.split
    batch = trial()
    share = batch.members[SECOND].share

    def lie(advertisements):
        with monkeypatch.context() as patch:
            patch.setattr(member, "split", deal_wrongly)
            return share(advertisements)

    batch.members[SECOND].share = lie
    batch.set_up()
    with pytest.raises(ProtocolViolation) as refused:
        batch.sum(dict.fromkeys(batch.names, VECTOR))
    assert refused.value.name == SECOND


def test_who_is_no_member_is_not_heard(trial):
    batch = trial().set_up()
    summing = batch.collection.sum(0, len(VECTOR))
    content = batch.members[FIRST].mask(0, VECTOR)
    for take in (summing.masked, summing.signed, summing.revealed, batch.collection.shared):
        with pytest.raises(ProtocolViolation) as refused:
            take("owner09", content)
        assert refused.value.name == "owner09"
