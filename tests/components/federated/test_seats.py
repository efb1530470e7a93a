"""What an aggregator makes of a caller that speaks gRPC and holds a certificate, but not to the rules."""

import queue
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from components.federated.channel import LARGEST, METHOD, SERVICE, Files, introduction
from components.federated.content import Content
from components.federated.federation import Federation
from components.federated.frame import pack, unpack

MEMBERS = ("hospital", "insurer")


class Caller:
    """A stream on which a test writes and reads frames by hand."""

    def __init__(self, federation: Federation, files: Files, *, hello: bytes | None = None, session: str = "one"):
        credentials = grpc.ssl_channel_credentials(
            files.authority.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
        )
        options = [("grpc.ssl_target_name_override", "aggregator"), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.secure_channel(federation.address, credentials, options)
        self._out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        common = introduction(federation.members, federation.threshold, federation.agreement)
        self.say(hello if hello is not None else pack("hello", {**common, "session": session}))
        self.heard: Iterator[bytes] = self._channel.stream_stream(f"/{SERVICE}/{METHOD}")(
            iter(self._out.get, None), timeout=30
        )

    def say(self, frame: bytes) -> None:
        self._out.put(frame)

    def hear(self, kind: str) -> dict:
        return unpack(next(self.heard), kind, sender="aggregator")[0]

    def answer(self, number: int, value: float, **more) -> None:
        document, parts = Content({}, np.array([value])).written()
        self.say(pack("answer", {**document, "number": number, **more}, parts))

    def close(self) -> None:
        self._out.put(None)
        self._channel.close()


@pytest.fixture
def federation(site):
    with site.federation(members=MEMBERS, grace=0.5) as federation:
        yield federation


@pytest.fixture
def call(federation, site):
    """A function that calls as a member, and has been welcomed unless a `hello` is given."""
    callers = []

    def made(name="hospital", **options) -> Caller:
        callers.append(Caller(federation, site.files(name), **options))
        if "hello" not in options:
            assert callers[-1].hear("welcome") == {"run": federation.run}
        return callers[-1]

    yield made
    for caller in callers:
        caller.close()


def asked(federation, patience=10.0, **options) -> tuple[threading.Thread, dict]:
    """A question to all that are there, in a thread of its own, and where the answers will be."""
    answers: dict = {}
    names = list(federation.present())
    thread = threading.Thread(
        target=lambda: answers.update(federation.ask("q", Content(), members=names, patience=patience, **options))
    )
    thread.start()
    return thread, answers


def values(answers: dict) -> dict:
    return {name: answer.array.tolist() for name, answer in answers.items()}


def test_an_answer_sent_twice_counts_once_and_a_late_one_not_at_all(federation, call):
    caller = call()
    for round in (1, 2):
        thread, answers = asked(federation)
        number = caller.hear("instruction")["number"]
        caller.answer(number, float(round))
        caller.answer(number, 99.0)
        caller.answer(number - 1, 98.0)
        thread.join()
        assert values(answers) == {"hospital": [float(round)]}
    thread, answers = asked(federation, patience=0.3)
    late = caller.hear("instruction")["number"]
    thread.join()
    assert answers == {}
    assert "did not answer within 0.3 s" in federation.losses[0].sentence
    # Until it has answered it is not asked again.
    assert federation.present() == {}
    caller.answer(late, 97.0)
    until = time.monotonic() + 10
    while not federation.present():
        assert time.monotonic() < until
        time.sleep(0.01)
    thread, answers = asked(federation)
    caller.answer(caller.hear("instruction")["number"], 3.0)
    thread.join()
    assert values(answers) == {"hospital": [3.0]}
    assert len(federation.losses) == 1


def test_the_same_process_gets_its_instruction_again_and_a_new_one_does_not(federation, call):
    first = call()
    thread, answers = asked(federation)
    number = first.hear("instruction")["number"]
    again = call()
    assert again.hear("instruction")["number"] == number
    again.answer(number, 5.0)
    thread.join()
    assert values(answers) == {"hospital": [5.0]}
    thread, answers = asked(federation)
    again.hear("instruction")
    call(session="two")
    thread.join()
    assert answers == {}
    assert "started again" in federation.losses[0].sentence


@pytest.mark.parametrize("lie", ["number", "no number", "garbage", "not finite", "shape", "parts"])
def test_who_lies_is_named_told_and_excluded_and_others_are_not(federation, call, lie):
    liar, other = call(), call("insurer")
    thread, answers = asked(federation)
    number = liar.hear("instruction")["number"]
    other.answer(other.hear("instruction")["number"], 1.0)
    match lie:
        case "number":
            liar.answer(number + 1, 0.0)
        case "no number":
            liar.say(pack("answer", {"said": {}}))
        case "garbage":
            liar.say(b"garbage")
        case "not finite":
            liar.answer(number, np.inf)
        case "shape":
            liar.answer(number, 0.0, array={"type": "<f8", "shape": [2]})
        case "parts":
            liar.say(pack("answer", {"said": {}, "number": number}, [b"", b""]))
    thread.join()
    assert values(answers) == {"insurer": [1.0]}
    assert [loss.name for loss in federation.losses] == ["hospital"]
    assert "'hospital'" in liar.hear("end")["sentence"]
    assert set(federation.present()) == {"insurer"}
    with pytest.raises(grpc.RpcError) as turned_away:
        call(session="three")
    assert "excluded" in turned_away.value.details()


def test_an_answer_that_is_too_large_ends_its_sender_s_connection_alone(federation, call):
    big, other = call(), call("insurer")
    thread, answers = asked(federation)
    number = big.hear("instruction")["number"]
    other.answer(other.hear("instruction")["number"], 1.0)
    big.say(pack("answer", {"number": number, "said": {}}, [bytes(LARGEST)]))
    with pytest.raises(grpc.RpcError) as refused:
        next(big.heard)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    thread.join()
    assert values(answers) == {"insurer": [1.0]}
    assert "is gone" in federation.losses[0].sentence


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"troth": "0.0.1"}, "troth = '0.0.1'"),
        ({"protocol": 99}, "protocol = 99"),
        ({"members": ["hospital"]}, "members"),
        ({"threshold": 1}, "threshold = 1"),
        ({"extra": 1}, "extra = 1"),
        ({"session": 5}, "damaged hello"),
        ({"session": ""}, "damaged hello"),
        (None, "no 'hello'"),
    ],
)
def test_who_is_not_alike_is_turned_away_with_the_difference(federation, call, change, part):
    common = introduction(MEMBERS, federation.threshold, {})
    hello = b"" if change is None else pack("hello", {**common, "session": "one", **change})
    with pytest.raises(grpc.RpcError) as turned_away:
        next(call(hello=hello).heard)
    is_of_another_run = change == {"extra": 1}
    assert (turned_away.value.code() == grpc.StatusCode.ABORTED) == is_of_another_run
    assert (turned_away.value.code() == grpc.StatusCode.FAILED_PRECONDITION) != is_of_another_run
    assert part in turned_away.value.details()
    assert federation.present() == {}
