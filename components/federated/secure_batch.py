"""Secure sums over the members of a federation: the protocol of `collector` and `member`, carried by `federation`.

A batch costs two round trips for keys and shares, and three for each sum in it. Whoever misses one is out of the batch
and may be in the next; the sum goes on without it, and says so.
"""

from collections.abc import Callable, Collection, Iterable

from components.federated.batch import Batch, survivors_of
from components.federated.collector import Collection as Collecting
from components.federated.collector import Sum
from components.federated.content import Content
from components.federated.federation import Federation
from components.federated.frame import Octets
from components.federated.violation import ProtocolViolation


class SecureBatch:
    """Up to `messages` sums with those of a `roster` (all members, unless told) that are there now.

    Raises
    ------
    TooFewMembers
        Fewer than the threshold took part.
    """

    def __init__(self, federation: Federation, messages: int, roster: Collection[str] | None = None):
        self._federation = federation
        members = tuple(sorted(federation.members if roster is None else roster))
        self._sessions = {name: session for name, session in federation.present().items() if name in members}
        threshold = survivors_of(len(members), members=len(federation.members), threshold=federation.threshold)
        batch = Batch(federation.run, next(federation.batches), members, threshold, messages)
        self._collection = Collecting(batch, authority=federation.authority)
        self._exchange("advertise", self._sessions, self._collection.announcement(), self._collection.advertised)
        advertised = self._collection.close_advertising()
        self._exchange("share", self._collection.agreement.by_name, advertised, self._collection.shared)
        self._deliveries = self._collection.close_sharing()
        self.members = self._collection.sharers

    @property
    def number(self) -> int:
        return self._collection.batch.number

    @property
    def set_up_bytes(self) -> int:
        """Bytes received and sent for keys and shares."""
        return self._collection.received + self._collection.sent

    def sum(
        self, name: str, content: Content | None = None, *, message: int, length: int, patience: float | None = None
    ) -> Sum:
        """The sum of what the members' handlers `name` return for `content`: rows of `length` words, mod 2^64.

        Raises
        ------
        TooFewMembers
            Too few are left; nothing of this sum is known to anybody.
        ProtocolViolation
            Shares give no secret, and so few are there that nobody knows who lied; nothing of this sum is known.
        """
        federation, summing = self._federation, self._collection.sum(message, length)
        document, parts = (content or Content()).written()
        instruction = {**document, "name": name, "message": message}
        payloads = {one: (instruction, [self._deliveries.get(one, b""), *parts]) for one in self.members}
        self._deliveries = {}
        federation.exchange(
            "sum",
            payloads,
            lambda one, _, parts: summing.masked(one, only(parts, one)),
            sessions=self._sessions,
            patience=federation.patience if patience is None else patience,
        )
        self.members = tuple(sorted(summing.masked_by))
        self.members = self._exchange("sign", self.members, summing.close_masked(), summing.signed)
        self.members = self._exchange("unmask", self.members, summing.close_signed(), summing.revealed)
        return summing.close_revealed()

    def _exchange(self, step: str, names: Iterable[str], content: bytes, take: Callable) -> tuple[str, ...]:
        payloads = {one: ({}, [content]) for one in names}
        taken = self._federation.exchange(
            step,
            payloads,
            lambda one, _, parts: take(one, only(parts, one)),
            sessions=self._sessions,
            patience=self._federation.timeout,
        )
        return tuple(sorted(taken))


def only(parts: list[memoryview], sender: str) -> Octets:
    """The one octet string of an answer."""
    if len(parts) != 1:
        raise ProtocolViolation(sender, "sent an answer of another form")
    return parts[0]
