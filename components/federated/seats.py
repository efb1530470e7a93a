"""Who of the members is there: a seat for each, filled by the stream it opened, with what it was asked and answered.

gRPC's threads come in here, the program's thread waits here; all else knows neither. A member that dials again as the
same process (session) goes on where it was and gets an unanswered instruction once more; a new process takes the seat
over and owes nothing.
"""

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc

from components.federated.channel import ALIKE, ANSWER, END, HELLO, WELCOME, caller, difference
from components.federated.frame import Json, pack, unpack
from components.federated.violation import ProtocolViolation

Answer = tuple[dict[str, Json], list[memoryview]]
OnEvent = Callable[[str, str], None]

_TURNED_AWAY, _LATER = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED


@dataclass
class _Seat:
    session: str = ""
    stream: queue.SimpleQueue | None = None
    left: float = 0.0
    asked: tuple[int, bytes] | None = None
    answer: Answer | None = None
    owed: int | None = None
    excluded: str = ""


class Seats:
    """The members' seats in one run; `serve` is the method that gRPC calls for each stream.

    `of_other_runs` says how members differ that dialled for another run.
    """

    def __init__(
        self, members: Sequence[str], *, run: str, introduction: Mapping[str, Json], grace: float, on_event: OnEvent
    ):
        self._seats = {name: _Seat() for name in members}
        self._run, self._introduction, self._grace, self._on_event = run, introduction, grace, on_event
        self.received = self.sent = 0
        self.of_other_runs: dict[str, str] = {}
        self._latest = 0
        self._changed = threading.Condition()

    def present(self) -> dict[str, str]:
        """The session of every member that is there and not still busy with what nobody waits for any more."""
        with self._changed:
            return {name: seat.session for name, seat in self._seats.items() if seat.stream and seat.owed is None}

    def wait_for_all(self, patience: float) -> list[str]:
        """Wait until nobody is missing or `patience` seconds are over; who still is."""
        deadline = time.monotonic() + patience
        with self._changed:
            while True:
                missing = [name for name, seat in self._seats.items() if not seat.stream and not seat.excluded]
                left = deadline - time.monotonic()
                if not missing or left <= 0:
                    return missing
                self._changed.wait(left)

    def send(self, name: str, session: str, number: int, frame: bytes) -> str | None:
        """Give a member an instruction, now or when it dials again in time; else why not, in a sentence."""
        with self._changed:
            seat = self._seats[name]
            if why := self._lost(name, session):
                return why
            if seat.stream is None and time.monotonic() > seat.left + self._grace:
                return f"'{name}' is not there"
            if seat.owed is not None:
                return f"'{name}' has still to answer what it was asked before"
            self.sent += len(frame)
            self._latest = max(number, self._latest)
            seat.asked, seat.answer = (number, frame), None
            if seat.stream is not None:
                seat.stream.put(frame)
        return None

    def next(
        self, waiting: Collection[str], sessions: Mapping[str, str], patience: float, deadline: float
    ) -> tuple[str, Answer | str]:
        """The next of those who were asked of whom there is something to say: its answer, or why it is lost."""
        with self._changed:
            while True:
                now, look_again = time.monotonic(), deadline
                for name in waiting:
                    seat = self._seats[name]
                    outcome = self._lost(name, sessions[name]) or seat.answer
                    if outcome is None and seat.stream is None:
                        if now > seat.left + self._grace:
                            outcome = f"'{name}' is gone: its connection broke and it did not dial again"
                        look_again = min(look_again, seat.left + self._grace)
                    if outcome is None and now >= deadline:
                        outcome, seat.owed = f"'{name}' did not answer within {patience:g} s", seat.asked[0]
                    if outcome is not None:
                        seat.asked = seat.answer = None
                        return name, outcome
                self._changed.wait(max(0.01, look_again - now))

    def exclude(self, name: str, sentence: str) -> None:
        """Let a member take no further part."""
        with self._changed:
            self._seats[name].excluded = sentence
            self._end(self._seats[name], f"excluded: {sentence}")
            self._changed.notify_all()
        self._on_event(name, f"excluded: {sentence}")

    def end(self, sentence: str | None) -> None:
        """End all streams, telling why unless all is well."""
        with self._changed:
            for seat in self._seats.values():
                self._end(seat, sentence)

    def serve(self, frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """One owner's stream, from its hello until either end leaves."""
        name = caller(context, list(self._seats))
        session, stream = self._introduced(name, frames, context), queue.SimpleQueue()
        with self._changed:
            seat = self._seats[name]
            if seat.excluded:
                context.abort(_TURNED_AWAY, f"excluded: {seat.excluded}")
            if seat.session != session:
                self._end(seat, f"another process took the place of '{name}'; run it once")
                seat.session, seat.asked = session, None
            if seat.stream is not None:
                # What is left of a connection that broke.
                seat.stream.put(None)
            # Whoever dials is not busy.
            seat.stream, seat.owed = stream, None
            if seat.asked is not None and seat.answer is None:
                stream.put(seat.asked[1])
            self._changed.notify_all()
        self._on_event(name, "came")
        context.add_callback(lambda: stream.put(None))
        threading.Thread(target=self._read, args=(name, stream, frames), daemon=True).start()
        yield pack(WELCOME, {"run": self._run})
        while (frame := stream.get()) is not None:
            yield frame
        self._leave(name, stream)

    def _lost(self, name: str, session: str) -> str | None:
        seat = self._seats[name]
        return seat.excluded or (None if seat.session == session else f"'{name}' was started again")

    def _introduced(self, name: str, frames: Iterator[bytes], context: grpc.ServicerContext) -> str:
        """The session of a caller that has all that must be alike; any other is turned away."""
        try:
            theirs, _ = unpack(next(frames, b""), HELLO, sender=name)
            session = theirs.pop("session", None)
            if not isinstance(session, str) or not session:
                raise ProtocolViolation(name, "sent a damaged hello")
        except ProtocolViolation as violation:
            context.abort(_TURNED_AWAY, f"{violation}; install one version of troth everywhere")
        if apart := difference(*({key: one.get(key) for key in ALIKE} for one in (theirs, self._introduction))):
            context.abort(_TURNED_AWAY, f"'{name}' {apart}; start all alike")
        if apart := difference(theirs, dict(self._introduction)):
            # The aggregator of a run that was called off may take a moment to end, and the next one's owner is here.
            self.of_other_runs[name] = f"'{name}' {apart}"
            context.abort(_LATER, f"'{name}' {apart}; start all alike")
        return session

    def _read(self, name: str, stream: queue.SimpleQueue, frames: Iterator[bytes]) -> None:
        try:
            for frame in frames:
                document, parts = unpack(frame, ANSWER, sender=name)
                self._take(name, stream, document, parts, len(frame))
        except ProtocolViolation as violation:
            self.exclude(name, str(violation))
        except Exception:
            # gRPC has no other way to say that a stream ended.
            pass
        self._leave(name, stream)

    def _take(self, name: str, stream: queue.SimpleQueue, document: dict, parts: list[memoryview], size: int) -> None:
        number = document.pop("number", None)
        with self._changed:
            seat = self._seats[name]
            self.received += size
            if type(number) is not int or number > self._latest:
                raise ProtocolViolation(name, "answered what it was not asked")
            # Any other number is a late answer or one sent twice, and changes nothing else.
            if number == seat.owed:
                seat.owed = None
            if seat.stream is stream and seat.asked and seat.asked[0] == number and seat.answer is None:
                seat.answer = (document, parts)
                self._changed.notify_all()

    def _leave(self, name: str, stream: queue.SimpleQueue) -> None:
        stream.put(None)
        with self._changed:
            seat = self._seats[name]
            if seat.stream is not stream:
                return
            seat.stream, seat.left = None, time.monotonic()
            self._changed.notify_all()
        self._on_event(name, "left")

    def _end(self, seat: _Seat, sentence: str | None) -> None:
        if seat.stream is not None:
            seat.stream.put(pack(END, {"sentence": sentence}))
            seat.stream.put(None)
            seat.stream, seat.left = None, time.monotonic()
