"""An owner's end: dial the aggregator, do what it asks, and give nothing away that was not asked for by name.

A broken connection is dialled again and the last answer sent once more; a new process has forgotten the batch, and
comes back at the next one.
"""

import queue
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field

import grpc

from components.errors import InvalidInput
from components.federated.answering import Answer, Answering, Vector
from components.federated.batch import least_survivors
from components.federated.channel import (
    ANSWER,
    END,
    HELLO,
    INSTRUCTION,
    LARGEST,
    METHOD,
    SERVICE,
    WELCOME,
    Files,
    dial,
    introduction,
    objection,
)
from components.federated.frame import Json, pack, unpack
from components.federated.identity import read_authority, read_identity
from components.federated.member import Member
from components.federated.violation import ProtocolViolation

_RETRY = 0.5
_FINAL = frozenset(
    {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class AggregatorLost(Exception):
    """The aggregator is gone, gave up, or turned this owner away; the text is the whole sentence."""


@dataclass
class Owner:
    """One owner's part in a federation; `take_part` returns when the aggregator is done.

    Parameters
    ----------
    name, files
        The owner's, as in its certificate.
    address, aggregator
        "host:port" of the aggregator, and the name in its certificate.
    members, threshold, agreement
        As the aggregator has them; an owner that has others does not take part.
    roster
        The fewest members that a sum may be of; all unless told.
    answers, sums
        Handlers by name: of questions, and of sums, which return a row of uint64.
    timeout
        Seconds without a sign of life after which the connection is given up and dialled again.
    gather
        Seconds to wait for the aggregator, at the start and whenever it is gone.
    role
        How sentences speak of the aggregator.
    """

    name: str
    files: Files
    address: str
    aggregator: str
    members: tuple[str, ...]
    threshold: int = 0
    roster: int = 0
    agreement: Mapping[str, Json] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    sums: Mapping[str, Vector] = field(default_factory=dict)
    timeout: float = 30
    gather: float = 600
    role: str = "aggregator"

    def __post_init__(self):
        self.threshold = self.threshold or least_survivors(len(self.members))
        self._identity = read_identity(
            self.name, certificate=self.files.certificate, key=self.files.key, authority=self.files.authority
        )
        self._authority = read_authority(self.files.authority)
        self._session = secrets.token_hex(16)
        self._answering: Answering | None = None
        self._last: tuple[int, bytes] = (0, b"")

    def take_part(self) -> None:
        """Answer the aggregator until it ends the run.

        Raises
        ------
        AggregatorLost
            It cannot be reached, gave up, or turned this owner away.
        ProtocolViolation
            It, or another member through it, broke the protocol; everything secret is forgotten.
        InvalidInput
            A handler refused its input.
        """
        deadline = time.monotonic() + self.gather
        try:
            while True:
                with closing(dial(self.address, self.aggregator, self.files, timeout=self.timeout)) as channel:
                    try:
                        for _ in self._stay(channel):
                            deadline = time.monotonic() + self.gather
                        return
                    except grpc.RpcError as error:
                        self._weigh(error, deadline)
                time.sleep(_RETRY)
        finally:
            if self._answering is not None:
                self._answering.member.forget()

    def _stay(self, channel: grpc.Channel) -> Iterator[None]:
        """Follow instructions on one stream until the aggregator ends it; yields after each."""
        outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        hello = {**introduction(self.members, self.threshold, self.agreement), "session": self._session}
        outgoing.put(pack(HELLO, hello))
        stream = channel.stream_stream(f"/{SERVICE}/{METHOD}")(iter(outgoing.get, None))
        try:
            self._enter(next(stream, b""))
            for frame in stream:
                if self._ended(frame):
                    return
                try:
                    outgoing.put(self._followed(frame))
                except Exception as error:
                    outgoing.put(self._excuse(error))
                    outgoing.put(None)
                    # The other end hangs up when it has heard.
                    with suppress(grpc.RpcError):
                        deque(stream, maxlen=0)
                    raise
                yield
            raise AggregatorLost(f"{self.role} '{self.aggregator}' ended the stream without a word; look at its log")
        finally:
            outgoing.put(None)
            stream.cancel()

    def _enter(self, frame: bytes) -> None:
        document, _ = unpack(frame, WELCOME, sender=self.aggregator)
        run = document.get("run")
        if not isinstance(run, str) or not run:
            raise ProtocolViolation(self.aggregator, "sent a damaged welcome")
        if self._answering is None or (run != self._answering.member.run and not self._last[0]):
            # Whoever was met before and asked nothing was at its end.
            member = Member(
                self._identity,
                authority=self._authority,
                members=self.members,
                threshold=self.threshold,
                run=run,
                roster=self.roster,
                collector=self.aggregator,
            )
            self._answering = Answering(member, self.answers, self.sums, self.aggregator)
        elif run != self._answering.member.run:
            raise AggregatorLost(f"{self.role} '{self.aggregator}' was started again; start '{self.name}' again too")

    def _ended(self, frame: bytes) -> bool:
        try:
            document, _ = unpack(frame, END, sender=self.aggregator)
        except ProtocolViolation:
            return False
        if document.get("sentence") is not None:
            raise AggregatorLost(f"{self.role} '{self.aggregator}' ended: {document['sentence']}")
        return True

    def _followed(self, frame: bytes) -> bytes:
        """The answer to an instruction: the last one again, if it is the last one's."""
        document, parts = unpack(frame, INSTRUCTION, sender=self.aggregator)
        number, step = document.get("number"), document.get("step")
        if type(number) is not int or number < self._last[0]:
            raise ProtocolViolation(self.aggregator, f"sent instruction {number!r} after {self._last[0]}")
        if number > self._last[0]:
            self._last = (number, b"")
            answer, content = self._answering.answer(step, document, parts)
            written = pack(ANSWER, {**answer, "number": number}, content)
            if len(written) > LARGEST:
                raise InvalidInput(f"an answer of {len(written)} bytes is too large; {LARGEST} can be sent")
            self._last = (number, written)
        return self._last[1]

    def _excuse(self, error: Exception) -> bytes:
        """The answer of an owner that gives up."""
        # The text of any other error may hold data.
        known = isinstance(error, InvalidInput | ProtocolViolation)
        why = str(error) if known else f"'{self.name}' failed with {type(error).__name__}; its log says more"
        return pack(ANSWER, {"number": self._last[0], "refused": why})

    def _weigh(self, error: grpc.RpcError, deadline: float) -> None:
        """Return when dialling again may help."""
        who = f"{self.role} '{self.aggregator}' ({self.address})"
        if error.code() in _FINAL:
            raise AggregatorLost(f"{who} turned '{self.name}' away: {error.details()}") from None
        if error.code() is grpc.StatusCode.ABORTED:
            if self._answering is not None or time.monotonic() > deadline:
                raise AggregatorLost(f"{who} is in another run: {error.details()}") from None
            return
        why, may_help = objection(self.address, self.aggregator, self.files)
        if not may_help:
            raise AggregatorLost(f"{who} {why}") from None
        if time.monotonic() > deadline:
            raise AggregatorLost(f"{who} {why}; start it, or correct its address") from None
