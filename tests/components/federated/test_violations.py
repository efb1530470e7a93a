"""Lies of the collector, or of one member to another: refused, and nothing is revealed."""

import numpy as np
import pytest

from components.federated.batch import Batch
from components.federated.context import statement
from components.federated.frame import pack, unpack
from components.federated.violation import ProtocolViolation
from tests.components.federated.conftest import FIRST, SECOND, THIRD, VECTOR, Talk


@pytest.mark.parametrize("step", ["share", "receive", "sign", "unmask"])
def test_a_member_refuses_a_message_of_which_any_byte_was_changed(trial, step):
    length = len(Talk(trial).until(step))
    rng = np.random.default_rng(1)
    for position in {*range(0, length, max(1, length // 60)), length - 1}:
        talk = Talk(trial)
        asked = bytearray(talk.until(step))
        asked[position % len(asked)] ^= 1 << rng.integers(8)
        with pytest.raises(ProtocolViolation):
            getattr(talk.member, step)(asked)
        assert talk.spent()


def test_a_changed_announcement_leads_to_keys_that_nobody_takes(trial):
    asked = Talk(trial).until("advertise")
    for position in range(len(asked)):
        talk = Talk(trial)
        changed = bytearray(talk.until("advertise"))
        changed[position] ^= 1
        with pytest.raises(ProtocolViolation):
            talk.collection.advertised(FIRST, talk.member.advertise(changed))


@pytest.mark.parametrize(
    "change",
    [
        {"run": "another"},
        {"members": (FIRST, SECOND)},
        {"members": (FIRST, SECOND, "owner09")},
        {"members": (SECOND, FIRST, THIRD)},
        {"threshold": 1},
        {"threshold": 3},
        {"messages": 0},
        {"messages": 10**9},
        {"number": -1},
    ],
)
def test_a_batch_that_is_not_the_one_agreed_on_is_refused(trial, change):
    talk = Talk(trial)
    good = {"run": "run", "number": 0, "members": talk.trial.names, "threshold": 2, "messages": 1}
    with pytest.raises(ProtocolViolation, match="'aggregator'"):
        talk.member.advertise(pack("announcement", good | change))


def test_a_batch_is_not_begun_again(trial):
    talk = Talk(trial, number=4)
    talk.member.advertise(talk.until("advertise"))
    for number in (4, 3):
        with pytest.raises(ProtocolViolation, match=f"batch {number} after batch 4"):
            talk.member.advertise(Batch("run", number, talk.trial.names, 2, 1).encode())


def survivors(talk, names, message=0):
    return pack(
        "survivors", {"agreement": talk.collection.agreement.digest.hex(), "message": message, "survivors": names}
    )


@pytest.mark.parametrize(
    "names",
    [
        [FIRST],
        [SECOND, THIRD],
        [FIRST, "owner09"],
        [FIRST, FIRST, SECOND],
        [SECOND, FIRST],
        [],
        [1, 2],
        "owner00owner01",
        None,
    ],
)
def test_survivors_that_cannot_be_are_not_signed(trial, names):
    talk = Talk(trial)
    talk.until("sign")
    with pytest.raises(ProtocolViolation):
        talk.member.sign(survivors(talk, names))
    assert talk.spent()


def test_of_two_sets_for_one_sum_only_the_first_is_signed(trial):
    talk = Talk(trial)
    talk.until("sign")
    talk.member.sign(survivors(talk, [FIRST, SECOND]))
    with pytest.raises(ProtocolViolation, match="out of order"):
        talk.member.sign(survivors(talk, [FIRST, SECOND, THIRD]))
    assert talk.spent()


def test_survivors_of_a_sum_that_was_not_asked_for_are_not_signed(trial):
    for message in (1, -1, 7, "0", None, 0.0):
        talk = Talk(trial, messages=2)
        talk.until("sign")
        with pytest.raises(ProtocolViolation):
            talk.member.sign(survivors(talk, [FIRST, SECOND], message))


def test_nothing_is_revealed_for_a_set_that_others_did_not_sign(trial):
    """The collector tells one half that the third was lost and the other half that it was not."""
    talk = Talk(trial, count=5)
    talk.until("sign")
    members, names = talk.trial.members, talk.trial.names
    all_five, without = survivors(talk, list(names)), survivors(talk, [names[0], names[1], names[3], names[4]])
    signed = {name: members[name].sign(all_five if name in names[:3] else without) for name in names}
    parts = {name: bytes(unpack(content, "signature", sender=name)[1][0]) for name, content in signed.items()}
    place = {"agreement": talk.collection.agreement.digest.hex(), "message": 0}
    for asked in (names[0], names[3]):
        said = pack("signatures", {**place, "signers": list(names[2:5])}, [parts[name] for name in names[2:5]])
        with pytest.raises(ProtocolViolation):
            members[asked].unmask(said)


@pytest.mark.parametrize(
    "signers", [[FIRST], [FIRST, FIRST], [FIRST, "owner09"], [], [FIRST, SECOND, SECOND], [[FIRST], SECOND]]
)
def test_nothing_is_revealed_for_too_few_signatures(trial, signers):
    talk = Talk(trial)
    talk.until("unmask")
    place = {"agreement": talk.collection.agreement.digest.hex(), "message": 0}
    part = {name: bytes(unpack(content, "signature", sender=name)[1][0]) for name, content in talk.signatures.items()}
    parts = [part.get(str(name), b"x") for name in signers]
    with pytest.raises(ProtocolViolation):
        talk.member.unmask(pack("signatures", {**place, "signers": signers}, parts))
    assert talk.spent()


@pytest.mark.parametrize(
    ("signer", "purpose", "message", "holds"),
    [
        (SECOND, "survivors", 0, True),
        (SECOND, "advertisement", 0, False),
        (SECOND, "survivors", 1, False),
        (THIRD, "survivors", 0, False),
    ],
)
def test_a_signature_of_another_for_another_purpose_or_sum_counts_for_nothing(trial, signer, purpose, message, holds):
    talk = Talk(trial, messages=2)
    document, parts = unpack(talk.until("unmask"), "signatures", sender="x")
    said = statement(talk.collection.agreement.digest, message, talk.trial.names, talk.trial.names)
    made = talk.trial.project.identity(signer).sign(purpose, said)
    shown = pack("signatures", document, [parts[0], made, parts[2]])
    if holds:
        assert talk.member.unmask(shown)
        return
    with pytest.raises(ProtocolViolation, match="no signature of 'owner01'"):
        talk.member.unmask(shown)


def test_shares_are_dealt_once(trial):
    talk = Talk(trial)
    asked = talk.until("share")
    talk.member.share(asked)
    with pytest.raises(ProtocolViolation, match="twice"):
        talk.member.share(asked)
    assert talk.spent()


def test_shares_are_delivered_once(trial):
    talk = Talk(trial)
    asked = talk.until("receive")
    talk.member.receive(asked)
    with pytest.raises(ProtocolViolation, match="out of order"):
        talk.member.receive(asked)
    assert talk.spent()


def test_shares_are_revealed_once(trial):
    talk = Talk(trial)
    asked = talk.until("unmask")
    talk.member.unmask(asked)
    with pytest.raises(ProtocolViolation, match="out of order"):
        talk.member.unmask(asked)


def test_a_set_that_is_settled_stays(trial):
    """Nor is another signed, or revealed for, when a vector of a later sum was given."""
    for step in ("sign", "unmask"):
        talk = Talk(trial, messages=2)
        signatures = talk.until("unmask")
        talk.member.unmask(signatures)
        talk.member.mask(1, VECTOR)
        asked = survivors(talk, [FIRST, SECOND], message=1) if step == "sign" else signatures
        with pytest.raises(ProtocolViolation, match="out of order"):
            getattr(talk.member, step)(asked)
        assert talk.spent()


def test_members_that_were_first_asked_for_different_sums_reveal_nothing(trial):
    talk = Talk(trial, messages=2)
    delivery = talk.until("receive")
    talk.member.receive(delivery)
    names, members = list(talk.trial.names), talk.trial.members
    parts = {}
    for name in names:
        message = 0 if name == FIRST else 1
        members[name].mask(message, VECTOR)
        signed = members[name].sign(survivors(talk, names, message))
        parts[name] = bytes(unpack(signed, "signature", sender=name)[1][0])
    place = {"agreement": talk.collection.agreement.digest.hex(), "message": 0}
    shown = pack("signatures", {**place, "signers": names}, [parts[name] for name in names])
    with pytest.raises(ProtocolViolation, match="no signature of 'owner01'"):
        talk.member.unmask(shown)


def test_a_vector_is_masked_once(trial):
    talk = Talk(trial)
    talk.until("sign")
    with pytest.raises(ProtocolViolation, match="sum 0 of batch 0 twice"):
        talk.member.mask(0, VECTOR)


@pytest.mark.parametrize("message", [1, -1, 99, False, 0.0, None, "0"])
def test_a_message_outside_of_the_batch_is_refused(trial, message):
    talk = Talk(trial)
    talk.member.receive(talk.until("receive"))
    with pytest.raises(ProtocolViolation):
        talk.member.mask(message, VECTOR)


def test_nothing_is_masked_before_shares_have_come(trial):
    talk = Talk(trial)
    talk.until("receive")
    with pytest.raises(ProtocolViolation):
        talk.member.mask(0, VECTOR)


def test_what_was_said_in_one_batch_is_refused_in_another(trial):
    old, new = Talk(trial), Talk(trial)
    advertisements, delivery, signatures = old.until("share"), Talk(trial).until("receive"), None
    for name in old.trial.names:
        old.collection.shared(name, old.trial.members[name].share(advertisements))
    new.until("share")
    with pytest.raises(ProtocolViolation, match="without the keys of 'owner00'"):
        new.member.share(advertisements)
    new = Talk(trial)
    new.until("receive")
    with pytest.raises(ProtocolViolation, match="changed the shares"):
        new.member.receive(delivery)
    signatures = Talk(trial).until("unmask")
    new = Talk(trial)
    new.until("unmask")
    with pytest.raises(ProtocolViolation, match="out of order"):
        new.member.unmask(signatures)


@pytest.mark.parametrize("kind", ["reflected", "exchanged", "missing own", "with itself", "stranger", "twice"])
def test_shares_that_were_sealed_to_others_are_refused(trial, kind):
    talk = Talk(trial)
    advertisements = talk.until("share")
    sealed = {}
    for name in talk.trial.names:
        content = talk.trial.members[name].share(advertisements)
        document, parts = unpack(content, "shares", sender=name)
        sealed[name] = dict(zip(document["to"], parts, strict=True))
    good = {SECOND: sealed[SECOND][FIRST], THIRD: sealed[THIRD][FIRST]}
    bad = {
        "reflected": {SECOND: sealed[FIRST][SECOND], THIRD: sealed[FIRST][THIRD]},
        "exchanged": {SECOND: good[THIRD], THIRD: good[SECOND]},
        "missing own": {},
        "with itself": {FIRST: good[SECOND], THIRD: good[THIRD]},
        "stranger": {"owner09": good[SECOND], THIRD: good[THIRD]},
        "twice": good,
    }[kind]
    names = [SECOND, SECOND] if kind == "twice" else list(bad)
    with pytest.raises(ProtocolViolation):
        talk.member.receive(pack("delivery", {"from": names}, list(bad.values())))
    assert talk.spent()
