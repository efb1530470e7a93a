"""The aggregator's end: one instruction to many members, and the answers that come in time.

The program that trains is plain code which asks and gets answers; threads only carry them. A member that answers late,
or whose connection is gone too long, is lost for what was asked and may come back; one that lies is named, excluded
for the run, and told so.
"""

import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from cryptography import x509

from components.errors import InvalidInput
from components.federated.batch import check_members, least_survivors
from components.federated.channel import (
    INSTRUCTION,
    LARGEST,
    METHOD,
    SERVICE,
    Files,
    introduction,
    options,
    server_credentials,
)
from components.federated.content import Content, read_content
from components.federated.frame import Json, Octets, pack
from components.federated.identity import read_authority
from components.federated.seats import OnEvent, Seats
from components.federated.violation import ProtocolViolation, TooFewMembers

Payload = tuple[Mapping[str, Json], Sequence[Octets]]
Take = Callable[[str, dict, list[memoryview]], None]

_LINGER = 2.0


@dataclass(frozen=True)
class Loss:
    """A member that did not take part in something, and why, in one sentence."""

    name: str
    step: str
    sentence: str


@dataclass
class Federation:
    """A server that owners dial, used as a context; `losses` is what went wrong so far.

    Parameters
    ----------
    name, files
        The aggregator's, as in its certificate.
    address
        "host:port" to listen at.
    members, threshold
        Who may take part, and how many must be left; `least_survivors` unless given.
    agreement
        Public settings that owners must have alike.
    timeout
        Seconds without a sign of life, or without an answer that needs no work, after which a member is lost.
    grace
        Seconds a member has to dial again when its connection broke.
    patience
        Seconds that an answer which needs work may take.
    on_event
        Called with a member's name and what became of it, from any thread.
    role
        How sentences speak of whoever collects.

    Raises
    ------
    InvalidInput
        Members, threshold or files make no sense, or nothing can listen at the address.
    """

    name: str
    address: str
    files: Files
    members: tuple[str, ...]
    threshold: int = 0
    agreement: Mapping[str, Json] = field(default_factory=dict)
    timeout: float = 30
    grace: float = 5
    patience: float = 600
    on_event: OnEvent = lambda name, what: None
    role: str = "aggregator"
    run: str = field(default_factory=lambda: secrets.token_hex(16))
    losses: list[Loss] = field(default_factory=list)

    def __post_init__(self):
        self.members = tuple(sorted(self.members))
        self.threshold = self.threshold or least_survivors(len(self.members))
        check_members(self.members, self.threshold)
        self.files.check(self.name)
        self.batches = itertools.count()
        self._numbers = itertools.count(1)
        self._seats = Seats(
            self.members,
            run=self.run,
            introduction=introduction(self.members, self.threshold, self.agreement),
            grace=self.grace,
            on_event=self.on_event,
        )

    def __enter__(self) -> "Federation":
        streams = 4 * len(self.members) + 8
        self._server = grpc.server(
            ThreadPoolExecutor(streams, thread_name_prefix="federation"),
            options=options(self.timeout),
            maximum_concurrent_rpcs=streams,
        )
        method = grpc.stream_stream_rpc_method_handler(self._seats.serve)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: method}),))
        try:
            self._server.add_secure_port(self.address, server_credentials(self.files))
        except RuntimeError:
            raise InvalidInput(
                f"{self.role} '{self.name}' cannot listen at {self.address}; end what uses the port, or correct it"
            ) from None
        self._server.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        # The text of any other error may hold data.
        ours = isinstance(error, InvalidInput | ProtocolViolation | TooFewMembers)
        self._seats.end(None if error is None else str(error) if ours else f"{self.role} '{self.name}' failed")
        self._server.stop(_LINGER).wait()

    @property
    def authority(self) -> x509.Certificate:
        """Whose certificates say who is who."""
        return read_authority(self.files.authority)

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent so far, of all instructions and answers."""
        return self._seats.received, self._seats.sent

    def present(self) -> dict[str, str]:
        """Members that can be asked now, with the session of each, which changes when its process starts again.

        Who is late with an answer is not among them until it has come.
        """
        return self._seats.present()

    def gather(self, patience: float, *, least: int | None = None) -> list[str]:
        """Wait until all members are there, or, when `patience` seconds are over, `least` of them; who is.

        Raises
        ------
        TooFewMembers
            Fewer than `least` (the threshold) came.
        """
        missing = self._seats.wait_for_all(patience)
        there = sorted(self.present())
        if len(there) < (self.threshold if least is None else least):
            others = "; ".join(self._seats.of_other_runs[name] for name in missing if name in self._seats.of_other_runs)
            raise TooFewMembers(
                f"{', '.join(map(repr, missing)) or 'who was excluded'} did not come within {patience:g} s"
                f"{others and f' ({others})'}, and {len(there)} of {len(self.members)} members are not enough; start "
                "them, or correct what they dial"
            )
        return there

    def ask(
        self,
        question: str,
        content: Content | Mapping[str, Content],
        *,
        members: Iterable[str] | None = None,
        sessions: Mapping[str, str] | None = None,
        check: Callable[[str, Content], None] = lambda name, content: None,
        patience: float | None = None,
    ) -> dict[str, Content]:
        """Answers of members (all that are there) to a question that may be answered openly, as far as they come.

        Parameters
        ----------
        question
            Name of an owner's handler.
        content
            For all alike, or by name.
        sessions
            The processes that are asked; of everybody who is there, unless told.
        check
            Raises `ProtocolViolation` for an answer that cannot be: its sender is excluded.
        """
        answers: dict[str, Content] = {}
        there = self.present() if sessions is None else sessions

        def take(name: str, document: dict, parts: list[memoryview]) -> None:
            answer = read_content(document, parts, sender=name)
            check(name, answer)
            answers[name] = answer

        payloads = {}
        for name in there if members is None else members:
            document, parts = (content if isinstance(content, Content) else content[name]).written()
            payloads[name] = ({**document, "name": question}, parts)
        self.exchange("ask", payloads, take, sessions=there, patience=self.patience if patience is None else patience)
        return answers

    def exchange(
        self,
        step: str,
        payloads: Mapping[str, Payload],
        take: Take,
        *,
        sessions: Mapping[str, str],
        patience: float,
    ) -> list[str]:
        """Send each member its instruction, and hand its answer to `take` as it comes; whose were taken.

        `sessions` says of which process of each member an answer is wanted.
        """
        number, waiting, taken = next(self._numbers), [], []
        # Of what is asked openly, the question says more.
        what = next((str(document["name"]) for document, _ in payloads.values()), step) if step == "ask" else step
        for name, (document, parts) in payloads.items():
            frame = pack(INSTRUCTION, {**document, "number": number, "step": step}, parts)
            if len(frame) > LARGEST:
                raise InvalidInput(f"an instruction of {len(frame)} bytes is too large; {LARGEST} can be sent")
            if why := self._seats.send(name, sessions.get(name, ""), number, frame):
                self._lose(name, what, why)
            else:
                waiting.append(name)
        deadline = time.monotonic() + patience
        while waiting:
            name, outcome = self._seats.next(waiting, sessions, patience, deadline)
            waiting.remove(name)
            if isinstance(outcome, str) or "refused" in outcome[0]:
                self._lose(name, what, outcome if isinstance(outcome, str) else str(outcome[0]["refused"])[:500])
                continue
            try:
                take(name, *outcome)
                taken.append(name)
            except ProtocolViolation as violation:
                self._lose(name, what, str(violation))
                self.exclude(name, str(violation))
        return taken

    def exclude(self, name: str, sentence: str) -> None:
        """Take part no further in this run with a member, and tell it why."""
        self._seats.exclude(name, sentence)

    def _lose(self, name: str, step: str, sentence: str) -> None:
        self.losses.append(Loss(name, step, sentence))
        self.on_event(name, f"lost: {sentence}")
