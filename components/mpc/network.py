"""What a party sends and receives: the one interface every transport has, the count of what passed, and the network of
threads that tests and single-process runs use.

A protocol step is a *round*: each party hands over at most one message for each other party and waits for theirs.
Sizes are public and known beforehand, so a message of another size is an error and not a surprise. From the dealer
there is one way only: its messages arrive, and no message is ever sent to it.
"""

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from components.errors import InvalidInput


class PartyLost(InvalidInput):
    """Another party died, stalled or is not what it should be; names it and the round."""


@dataclass
class Traffic:
    """What a party sent: `rounds` and `sent` bytes online, by call site; `dealt` bytes received from the dealer."""

    rounds: int = 0
    sent: int = 0
    dealt: int = 0
    by_site: Counter = field(default_factory=Counter)


class Network(Protocol):
    """A party's links."""

    traffic: Traffic

    def round(self, site: str, outgoing: Mapping[int, bytes], incoming: Mapping[int, int]) -> dict[int, memoryview]:
        """Send each `outgoing` message and receive from each party of `incoming` so many bytes.

        Raises
        ------
        PartyLost
            A party did not answer in time, is gone, or sent another number of bytes.
        """

    def from_dealer(self, size: int) -> memoryview:
        """The next `size` bytes the dealer dealt to this party."""


class DealerNetwork(Protocol):
    """The dealer's links; it sends and cannot receive."""

    def deal(self, party: int, content: memoryview) -> None:
        """Append to what a party will read."""


class LocalNetwork:
    """Links between threads of one process; `latency` seconds are slept a round, to see what distance costs.

    Every wait ends when `stopped` is set, since a thread has failed.
    """

    def __init__(
        self,
        party: int,
        boxes: dict[tuple[int, int], queue.Queue],
        stopped: threading.Event,
        *,
        timeout: float,
        latency: float,
    ):
        self.party, self.boxes, self.stopped, self.timeout, self.latency = party, boxes, stopped, timeout, latency
        self.traffic = Traffic()
        self._rest = memoryview(b"")

    def round(self, site: str, outgoing: Mapping[int, bytes], incoming: Mapping[int, int]) -> dict[int, memoryview]:
        self.traffic.rounds += 1
        for peer, content in outgoing.items():
            self.traffic.sent += len(content)
            self.traffic.by_site[site] += len(content)
            self.boxes[self.party, peer].put((site, content))
        if self.latency:
            time.sleep(self.latency)
        return {peer: self._receive(site, peer, size) for peer, size in incoming.items()}

    def from_dealer(self, size: int) -> memoryview:
        self.traffic.dealt += size
        while len(self._rest) < size:
            more = self._take(DEALER, "a correlation")
            self._rest = memoryview(bytes(self._rest) + bytes(more)) if len(self._rest) else memoryview(more)
        content, self._rest = self._rest[:size], self._rest[size:]
        return content

    def _receive(self, site: str, peer: int, size: int) -> memoryview:
        their_site, content = self._take(peer, site)
        if their_site != site or len(content) != size:
            raise PartyLost(
                f"party {peer} sent {len(content)} bytes of '{their_site}' where {size} of '{site}' were due"
            )
        return memoryview(content)

    def _take(self, peer: int, what: str):
        box = self.boxes[peer, self.party]
        for patience in _looks(self.timeout, self.stopped):
            with suppress(queue.Empty):
                return box.get(timeout=patience)
        name = "the dealer" if peer == DEALER else f"party {peer}"
        raise PartyLost(f"{name} did not send {what} within {self.timeout:g} s in round {self.traffic.rounds}")


DEALER = -1
"""The dealer's number; parties are 0, 1, …"""

_LOOK = 0.1


def _looks(timeout: float, stopped: threading.Event) -> Iterator[float]:
    """Seconds to wait at a time until `timeout` is over; raises once `stopped` is set and a wait was in vain.

    Looks are counted and not the clock, which runs on while the whole process is stopped.
    """
    for _ in range(math.ceil(timeout / _LOOK)):
        yield _LOOK
        if stopped.is_set():
            raise PartyLost("another thread of this process failed")


class LocalDealerNetwork:
    """The dealer's side of `LocalNetwork`; a full box makes it wait, so it never runs far ahead."""

    def __init__(self, boxes: dict[tuple[int, int], queue.Queue], stopped: threading.Event, *, timeout: float):
        self.boxes, self.stopped, self.timeout = boxes, stopped, timeout
        self.dealt = 0

    def deal(self, party: int, content: memoryview) -> None:
        self.dealt += len(content)
        for patience in _looks(self.timeout, self.stopped):
            with suppress(queue.Full):
                return self.boxes[DEALER, party].put(content, timeout=patience)
        raise PartyLost(f"party {party} took nothing from the dealer within {self.timeout:g} s")


def local_networks(
    parties: int, *, timeout: float = 60, latency: float = 0
) -> tuple[list[LocalNetwork], LocalDealerNetwork]:
    """Links for `parties` parties and a dealer in one process; their `stopped` is one event."""
    numbers, stopped = range(parties), threading.Event()
    boxes = {(a, b): queue.Queue() for a in numbers for b in numbers if a != b}
    boxes |= {(DEALER, party): queue.Queue(maxsize=64) for party in numbers}
    networks = [LocalNetwork(party, boxes, stopped, timeout=timeout, latency=latency) for party in numbers]
    return networks, LocalDealerNetwork(boxes, stopped, timeout=timeout)
