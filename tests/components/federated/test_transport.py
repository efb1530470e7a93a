"""Owners as processes and what becomes of a sum when one is killed, silent, slow, restarted or lying.

Owners run `trial_owner.py`; the aggregator is this process, and in one test a process too.
"""

import json
import socket
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from components.federated.content import Content
from components.federated.secure_batch import SecureBatch
from components.federated.violation import MembersChanged, ProtocolViolation, TooFewMembers

OWNERS = ("hospital", "insurer", "registry")
LENGTH = 50_000


def wait_until(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def run_sums(site):
    with site.federation() as federation:
        federation.gather(30)
        site.sums(federation)


@pytest.mark.slow
def test_batches_of_sums_questions_and_a_good_end(site):
    site.start_all()
    with site.federation() as federation:
        assert federation.gather(30) == list(OWNERS)
        for _ in range(2):
            for result in site.sums(federation, (0, 1, 2)):
                assert result.survivors == OWNERS
                assert 3 * 8 * LENGTH < result.received < 3 * 8 * LENGTH + 5000
        answers = federation.ask("count", Content({}, np.array([[0.5, 1, 1]])))
        assert {name: answer.array.tolist() for name, answer in answers.items()} == {
            name: [[number + 0.5, number + 1.0, number + 1.0]] for number, name in enumerate(OWNERS)
        }
        assert federation.losses == []
    assert [site.ending(name) for name in OWNERS] == [{"ended": "well"}] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["killed", "stopped", "slow", "refuses", "fails", "wrong length"])
def test_who_fails_ends_the_batch_and_the_next_goes_on_without_it(site, kind):
    site.start_all(insurer={"kind": kind, "at": 1})
    with site.federation() as federation:
        federation.gather(30)
        batch = SecureBatch(federation, 3)
        assert site.sums(federation, (0,), batch)[0].survivors == OWNERS
        for message in (1, 2):
            with pytest.raises(MembersChanged, match="'insurer'"):
                site.sums(federation, (message,), batch, patience=2)
        assert batch.members == ("hospital", "registry")
        if kind != "slow":
            assert site.sums(federation)[0].survivors == ("hospital", "registry")
        loss = federation.losses[0]
        assert (loss.name, loss.step) == ("insurer", "sum")
        assert "4711" not in loss.sentence
        if kind == "slow":
            # Nobody waits for it, and nobody asks it, until it has answered.
            assert "insurer" not in federation.present()
            wait_until(lambda: "insurer" in federation.present())
            assert site.sums(federation)[0].survivors == OWNERS
        if kind == "wrong length":
            assert "insurer" not in federation.present()
            assert site.sums(federation)[0].survivors == ("hospital", "registry")
    sentences = {
        "slow": None,
        "refuses": "column 'age'",
        "fails": None,
        "wrong length": "400008 bytes",
    }
    if kind in ("refuses", "wrong length"):
        assert sentences[kind] in site.ending("insurer")["sentence"]


@pytest.mark.slow
def test_one_that_was_killed_and_is_started_again_comes_back_at_the_next_batch(site):
    marker = str(site.folder / "struck")
    site.start_all(insurer={"kind": "killed", "at": 1, "marker": marker})
    with site.federation() as federation:
        federation.gather(30)
        batch = SecureBatch(federation, 3)
        assert site.sums(federation, (0,), batch)[0].survivors == OWNERS
        with pytest.raises(MembersChanged):
            site.sums(federation, (1,), batch)
        site.processes["insurer"].communicate()
        site.start("insurer")
        federation.gather(20, least=3)
        with pytest.raises(MembersChanged):
            site.sums(federation, (2,), batch)
        assert site.sums(federation)[0].survivors == OWNERS


@pytest.mark.slow
def test_too_few_left_ends_with_a_sentence_that_all_hear(site):
    site.start_all(insurer={"kind": "killed", "at": 1}, registry={"kind": "killed", "at": 1})
    with pytest.raises(TooFewMembers, match="1 of 3 members"):
        run_sums(site)
    assert "1 of 3 members" in site.ending("hospital")["sentence"]


@pytest.mark.slow
def test_a_connection_that_breaks_is_made_again_and_nothing_is_asked_or_answered_twice(site):
    """Between owner and aggregator stands a relay that cuts the connection in the middle of a batch."""
    port = int(site.address.rpartition(":")[2])
    relay = Relay(port)
    site.start("hospital")
    site.start("registry")
    site.start("insurer", address=f"127.0.0.1:{relay.port}")
    # On a busy machine it takes a while to dial again.
    with site.federation(grace=20, timeout=20) as federation:
        federation.gather(30)
        batch = SecureBatch(federation, 3)
        for message in range(3):
            assert site.sums(federation, (message,), batch)[0].survivors == OWNERS
            if message < 2:
                relay.cut()
            if message == 1:
                # The next is asked for while it is known to be gone.
                wait_until(lambda: "insurer" not in federation.present())
        assert federation.losses == []
    relay.close()
    assert site.ending("insurer") == {"ended": "well"}


class Relay:
    """Hands octets on in both directions until told to cut."""

    def __init__(self, target: int):
        self.target, self.open, self.listener = target, [], socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                caller, _ = self.listener.accept()
                callee = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.open += [caller, callee]
            for one, other in ((caller, callee), (callee, caller)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one, other):
        try:
            while octets := one.recv(1 << 16):
                other.sendall(octets)
        except OSError:
            pass
        for end in (one, other):
            end.close()

    def cut(self):
        for end in self.open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def close(self):
        self.listener.close()
        self.cut()


@pytest.mark.slow
def test_owners_wait_for_the_aggregator_of_the_last_run_to_end(site):
    with site.federation(agreement={"rounds": 1}) as federation:
        for name in OWNERS:
            site.start(name, agreement={"rounds": 2}, gather=0.2 if name == "registry" else 20)
        ending = site.ending("registry")
        assert ending["ended"] == "AggregatorLost"
        assert "rounds = 2" in ending["sentence"]
        assert federation.present() == {}
        with pytest.raises(TooFewMembers, match="rounds = 2 where here it is 1"):
            federation.gather(0.1)
    with site.federation(agreement={"rounds": 2}) as federation:
        assert federation.gather(8, least=2) == ["hospital", "insurer"]


@pytest.mark.slow
def test_an_answer_that_cannot_be_is_refused_and_its_sender_excluded(site):
    site.start_all(insurer={"kind": "not a number", "at": 0})

    def check(name, answer):
        if name == "registry":
            raise ProtocolViolation(name, "counts what is not there")

    with site.federation() as federation:
        federation.gather(30)
        answers = federation.ask("count", Content(), check=check)
        assert set(answers) == {"hospital"}
        assert set(federation.present()) == {"hospital"}
        with pytest.raises(TooFewMembers):
            SecureBatch(federation, 1)
    assert "not finite" in site.ending("insurer")["sentence"]
    assert "counts what is not there" in site.ending("registry")["sentence"]


@pytest.mark.slow
def test_of_two_processes_of_one_owner_the_newer_stays(site):
    site.start_all()
    with site.federation() as federation:
        federation.gather(30)
        before = federation.present()["insurer"]
        site.start("insurer", key="second")
        assert "run it once" in site.ending("insurer")["sentence"]
        assert federation.present()["insurer"] != before
        assert site.sums(federation)[0].survivors == OWNERS


@pytest.mark.slow
def test_the_aggregator_may_be_a_process_and_its_death_is_told(site):
    site.start("aggregator", batches=2)
    for name in OWNERS:
        site.start(name)
    out, err = site.processes["aggregator"].communicate(timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1] == {"ended": "well"}, err
    for message, line in zip((0, 1, 0, 1), lines, strict=False):
        assert line == {"total": site.expected(OWNERS, message)[:3].tolist(), "survivors": list(OWNERS)}
    assert [site.ending(name) for name in OWNERS] == [{"ended": "well"}] * 3
    site.start("aggregator", batches=10**6)
    for name in OWNERS:
        site.start(name, gather=3)
    assert site.processes["aggregator"].stdout.readline()
    site.processes["aggregator"].kill()
    for name in OWNERS:
        ending = site.ending(name)
        assert ending["ended"] == "AggregatorLost"
        assert site.address in ending["sentence"]
