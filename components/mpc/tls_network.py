"""The network of real machines: what `LocalNetwork` does between threads, over TLS between processes.

Whoever sends has dialled: N owners have N (N - 1) one-way links, and the dealer one to each of them. Against the
direction of a link goes no message but, at its end, that all of it was taken. A message carries its site and its length
is known beforehand, so parties that lost step notice at once. The first link that fails decides: the others are told,
and every wait of this party ends with its sentence.
"""

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue
from socket import socket
from types import MappingProxyType

import numpy as np

from components.errors import InvalidInput
from components.mpc.engine import Dealer, Engine, Party
from components.mpc.hello import Hello, Json, resume_from
from components.mpc.link import Frame, Kind, LinkLost, Reader, StoppedThere, Writer
from components.mpc.meeting import Meeting, Met, PartyStopped
from components.mpc.network import PartyLost, Traffic
from components.mpc.randomness import fresh_key
from components.parties.certificates import faults
from components.parties.file import Parties, listen

_PATIENCE = 2.0
_REMEDY = "look at its log, then start the run again"


@lru_cache(maxsize=1 << 16)
def _site_hash(site: str) -> int:
    return int.from_bytes(hashlib.blake2b(site.encode(), digest_size=8).digest(), "little")


class _Links(ABC):
    """What an owner and the dealer have in common: their links, the first failure, and how they leave."""

    def __init__(self, parties: Parties, name: str):
        self.parties, self.name = parties, name
        self.heartbeat = min(parties.timeout / 4, 5.0)
        self.writers: dict[str, Writer] = {}
        self._failure: tuple[str, LinkLost] | None = None
        self._first = threading.Lock()

    def failure(self) -> PartyLost | None:
        """The sentence of the first link that failed."""
        if self._failure is None:
            return None
        name, reason = self._failure
        if isinstance(reason, StoppedThere):
            return PartyStopped(str(reason))
        return PartyLost(f"{self.parties.title(name)} {reason} {self.where()}; {_REMEDY}")

    def leave(self, error: BaseException | None) -> None:
        """End all links: in order, or, after an `error`, telling the others why."""
        if error is None:
            threads = [threading.Thread(target=self._end, args=(writer,)) for writer in self.writers.values()]
        else:
            reason = self._public_reason(error)
            threads = [
                threading.Thread(target=writer.abort, args=(reason,), kwargs={"patience": _PATIENCE})
                for writer in self.writers.values()
            ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        for thread in threads:
            thread.join()

    def _public_reason(self, error: BaseException) -> str:
        # Only what this package wrote itself goes out: the text of any other error may hold data.
        if isinstance(error, PartyLost):
            return str(error)
        who = self.parties.title(self.name)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return f"{who} was told to stop {self.where()}"
        return f"{who} stopped {self.where()} with an error of its own ({type(error).__name__}); its log says more"

    def _fail(self, name: str, reason: LinkLost) -> None:
        with self._first:
            if self._failure is None:
                self._failure = (name, reason)
        if name in self.writers:
            self.writers[name].cut()

    @abstractmethod
    def where(self) -> str:
        """How far this member is, as part of a sentence."""

    @abstractmethod
    def _end(self, writer: Writer) -> None:
        """End one link in order."""


class TlsNetwork(_Links):
    """An owner's links; made by `join`. `latency` seconds are slept a round, to see what distance costs."""

    def __init__(self, parties: Parties, name: str, *, latency: float = 0):
        super().__init__(parties, name)
        self.traffic, self.latency = Traffic(), latency
        self._names = dict(enumerate(parties.names))
        self._readers: dict[str, Reader] = {}
        senders = [*parties.names, parties.dealer.name]
        self._inboxes: dict[str, SimpleQueue] = {other: SimpleQueue() for other in senders if other != name}
        self._dealt: deque[memoryview] = deque()
        self._site = ""
        self._sites: dict[int, str] = {}

    def met(self, met: Met) -> None:
        """Take a connection into use."""
        if met.dialled:
            # Who takes nothing any more is heard, or missed, on the link that comes from there.
            self.writers[met.name] = Writer(met.connection, heartbeat=self.heartbeat, lost=lambda reason: None)
        else:
            self._readers[met.name] = Reader(
                met.connection,
                self._inboxes[met.name],
                timeout=self.parties.timeout,
                lost=lambda reason: self._fail(met.name, reason),
            )

    def round(self, site: str, outgoing: Mapping[int, bytes], incoming: Mapping[int, int]) -> dict[int, memoryview]:
        self.traffic.rounds += 1
        self._site, stamp = site, _site_hash(site)
        self._sites.setdefault(stamp, site)
        for peer, content in outgoing.items():
            self.traffic.sent += len(content)
            self.traffic.by_site[site] += len(content)
            name = self._names[peer]
            try:
                self.writers[name].send(content, number=self.traffic.rounds, site=stamp)
            except LinkLost:
                raise self._gone(name) from None
        if self.latency:
            time.sleep(self.latency)
        return {peer: self._receive(self._names[peer], stamp, size) for peer, size in incoming.items()}

    def from_dealer(self, size: int) -> memoryview:
        self.traffic.dealt += size
        if not self._dealt:
            content = self._take(self.parties.dealer.name).content
            if len(content) == size:
                return content
            self._dealt.append(content)
        # Copied, for what follows odd bytes in a frame would not lie on a word's boundary.
        gathered, start = memoryview(np.empty(size, dtype=np.uint8)), 0
        while start < size:
            if not self._dealt:
                self._dealt.append(self._take(self.parties.dealer.name).content)
            first = self._dealt.popleft()
            count = min(len(first), size - start)
            gathered[start : start + count] = first[:count]
            if count < len(first):
                self._dealt.appendleft(first[count:])
            start += count
        return gathered

    def _receive(self, name: str, stamp: int, size: int) -> memoryview:
        frame = self._take(name)
        if frame.site != stamp or len(frame.content) != size:
            theirs = self._sites.get(frame.site, "another step")
            raise PartyLost(
                f"{self.parties.title(name)} sent {len(frame.content)} bytes of '{theirs}' in its round {frame.round} "
                f"where {size} were due {self.where()}; both must run the same program on the same agreement"
            )
        return frame.content

    def _take(self, name: str) -> Frame:
        frame = self._inboxes[name].get()
        if frame is None:
            # Put back: every later wait ends here too.
            self._inboxes[name].put(None)
            raise self.failure()
        if frame.kind == Kind.END:
            raise PartyLost(
                f"{self.parties.title(name)} had ended its program {self.where()}; "
                "all must run the same program on the same agreement"
            )
        self._readers[name].took(len(frame.content))
        return frame

    def _gone(self, name: str) -> PartyLost:
        # The reason arrives on the link from there; without one the party just ended.
        deadline = time.monotonic() + _PATIENCE
        while self._failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self._fail(name, LinkLost("closed the connection"))
        return self.failure()

    def leave(self, error: BaseException | None) -> None:
        super().leave(error)
        if error is None:
            # Its last words may come after what was needed of it; cut off before, it would take this for a failure.
            self._readers[self.parties.dealer.name].wait(self.parties.timeout)
        for reader in self._readers.values():
            reader.cut()

    def _fail(self, name: str, reason: LinkLost) -> None:
        super()._fail(name, reason)
        for inbox in self._inboxes.values():
            inbox.put(None)

    def where(self) -> str:
        return f"in round {self.traffic.rounds} ({self._site})" if self.traffic.rounds else "before the first round"

    def _end(self, writer: Writer) -> None:
        writer.end(patience=self.parties.timeout)


class TlsDealerNetwork(_Links):
    """The dealer's links; made by `join`."""

    def __init__(self, parties: Parties):
        super().__init__(parties, parties.dealer.name)
        self._names = dict(enumerate(parties.names))
        self.dealt = 0

    def met(self, met: Met) -> None:
        """Take a connection into use."""
        self.writers[met.name] = Writer(
            met.connection, heartbeat=self.heartbeat, lost=lambda reason: self._fail(met.name, reason)
        )

    def deal(self, party: int, content: memoryview) -> None:
        self.dealt += len(content)
        with suppress(LinkLost):
            self.writers[self._names[party]].send(content, direct=False)
        if lost := self.failure():
            raise lost

    def _fail(self, name: str, reason: LinkLost) -> None:
        super()._fail(name, reason)
        # The dealer may be waiting for any of them, and without one there is nothing left to deal.
        for writer in list(self.writers.values()):
            writer.give_up(str(self.failure()))

    def where(self) -> str:
        return f"after {self.dealt} bytes were dealt"

    def _end(self, writer: Writer) -> None:
        writer.end(patience=None)


@dataclass(frozen=True)
class Session:
    """A member's place in a run: its engine, its links, and how many steps all owners have of the same tries.

    `tag` names this try, and is the same at all members.
    """

    engine: Engine
    network: TlsNetwork | TlsDealerNetwork
    resume_from: int
    tag: str


@contextmanager
def join(
    parties: Parties,
    name: str,
    agreement: Mapping[str, Json],
    *,
    finished: Mapping[int, str] = MappingProxyType({}),
    latency: float = 0,
    listener: socket | None = None,
    hello: Hello | None = None,
) -> Iterator[Session]:
    """Take part in a run as `name`: meet all others, run what stands in the `with` block, and leave in order.

    Parameters
    ----------
    agreement
        What must be the same everywhere, a public JSON document; it is sent to all.
    finished
        The steps (trees) this owner could go on from, and tags of the tries they are of; the session has the last that
        all owners have.
    latency
        Seconds slept a round.
    listener
        A bound socket, where a parent process chose the port.

    Raises
    ------
    InvalidInput
        Certificates or port are not in order.
    PartyLost
        Somebody did not come, differs in version or agreement, died, fell silent, or stopped.
    """
    member, dealer = parties.member(name), parties.dealer.name
    if wrong := faults(name, member.certificate, member.key, parties.authority):
        raise InvalidInput(wrong[0])
    others = [other for other in parties.names if other != name]
    if hello is None:
        steps = None if name == dealer else sorted(finished.items())
        hello = Hello(name=name, agreement=agreement, owners=parties.names, finished=steps)
    if name == dealer:
        network = TlsDealerNetwork(parties)
        keys = {owner: fresh_key() for owner in others}
        meeting = Meeting(parties, hello, dial=others, await_from=[], listener=None, keys=keys)
    else:
        network = TlsNetwork(parties, name, latency=latency)
        listener = listener or listen(member)
        meeting = Meeting(parties, hello, dial=others, await_from=[*others, dealer], listener=listener)
        keys = {}

    def met(one: Met) -> None:
        if one.key is not None:
            keys[one.name] = one.key
        network.met(one)

    try:
        hellos = meeting.gather(met, network.failure)
        everyone = [*hellos.values(), hello]
        tag = hashlib.sha256(" ".join(sorted(one.session for one in everyone)).encode()).hexdigest()[:16]
        if name == dealer:
            engine = Dealer(len(others), network, [keys[owner] for owner in parties.names])
        else:
            engine = Party(parties.names.index(name), len(parties.names), network, keys[dealer])
        yield Session(engine, network, resume_from(everyone), tag)
    except BaseException as error:
        network.leave(error)
        raise
    else:
        network.leave(None)
        if name == dealer and (lost := network.failure()):
            raise lost
