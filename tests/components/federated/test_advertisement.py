"""Keys that members advertise: in nobody else's name, of this batch alone, each once, and the same shown to all."""

import datetime

import pytest

from components.federated.advertisement import advertise
from components.federated.batch import Batch
from components.federated.frame import pack, unpack
from components.federated.identity import Identity, verified_key
from components.federated.keys import fresh_secret
from components.federated.violation import ProtocolViolation
from tests.components.federated.conftest import FIRST, SECOND, THIRD, Talk


def keys_of(identity: Identity, batch: Batch, *, sealing=None, masking=None) -> bytes:
    sealing, masking = sealing or fresh_secret(), masking or fresh_secret()
    return advertise(identity, batch, sealing=sealing, masking=masking, seed=fresh_secret())


def test_keys_in_another_s_name_by_another_authority_or_of_another_batch_are_refused(trial, project, stranger):
    batch = Talk(trial).collection.batch
    mallory = Identity(SECOND, project.identity(SECOND).certificate, project.identity(THIRD).key)
    renamed = Identity(SECOND, project.identity(THIRD).certificate, project.identity(THIRD).key)
    contents = {
        "not sign": keys_of(mallory, batch),
        "of somebody else": keys_of(renamed, batch),
        "project's authority": keys_of(stranger.identity(SECOND), batch),
        "do not fit": keys_of(project.identity("owner09"), batch),
        "in the name": keys_of(project.identity(THIRD), batch),
        "not sign the keys": keys_of(project.identity(SECOND), Batch("run", 1, batch.members, 2, 1)),
    }
    for why, content in contents.items():
        talk = Talk(trial)
        with pytest.raises(ProtocolViolation, match=why):
            talk.collection.advertised(SECOND, content)
        # Nor does a member take them from a collector that would.
        ours = talk.member.advertise(talk.until("advertise"))
        if why != "in the name":
            with pytest.raises(ProtocolViolation):
                talk.member.share(pack("advertisements", {}, [ours, content]))


def test_a_certificate_past_its_day_is_refused(project):
    late, _ = project.authority.issue(SECOND, days=0.01)
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    shown = x509.load_pem_x509_certificate(late)
    assert shown.not_valid_after_utc < datetime.datetime.now(datetime.UTC)
    with pytest.raises(ProtocolViolation, match="not valid today"):
        verified_key(SECOND, shown.public_bytes(Encoding.DER), project.authority.certificate)


def test_a_list_of_too_few_or_of_somebody_twice_or_out_of_order_is_refused(trial, project):
    for spoil in (lambda one, two: [one], lambda one, two: [one, one], lambda one, two: [two, one]):
        talk = Talk(trial)
        ours = talk.member.advertise(talk.until("advertise"))
        theirs = keys_of(project.identity(SECOND), talk.collection.batch)
        with pytest.raises(ProtocolViolation):
            talk.member.share(pack("advertisements", {}, spoil(ours, theirs)))


def test_a_key_that_is_used_twice_or_agrees_with_anybody_is_refused(trial, project, monkeypatch):
    talk = Talk(trial)
    batch, secret = talk.collection.batch, fresh_secret()
    ours = talk.member.advertise(talk.until("advertise"))
    twice = keys_of(project.identity(SECOND), batch, sealing=secret, masking=secret)
    with pytest.raises(ProtocolViolation, match="used twice"):
        talk.member.share(pack("advertisements", {}, [ours, twice]))
    monkeypatch.setattr("components.federated.advertisement.public_of", lambda secret: bytes(32))
    weak = keys_of(project.identity(SECOND), batch)
    with pytest.raises(ProtocolViolation, match="anybody could agree"):
        talk.collection.advertised(SECOND, weak)


def test_members_that_were_shown_different_keys_reveal_nothing(trial):
    """A collector that hides the third from the first: their agreements differ, so neither takes the other's word."""
    talk = Talk(trial)
    asked, members = talk.until("share"), talk.trial.members
    _, all_keys = unpack(asked, "advertisements", sender="x")
    members[FIRST].share(pack("advertisements", {}, all_keys[:2]))
    sealed = unpack(members[SECOND].share(asked), "shares", sender="x")[1][0]
    with pytest.raises(ProtocolViolation, match="changed the shares"):
        members[FIRST].receive(pack("delivery", {"from": [SECOND]}, [sealed]))


def test_keys_and_shares_do_not_fit_twice(trial):
    talk = Talk(trial)
    asked = talk.until("advertise")
    content = talk.member.advertise(asked)
    talk.collection.advertised(FIRST, content)
    with pytest.raises(ProtocolViolation, match="twice or too late"):
        talk.collection.advertised(FIRST, content)
