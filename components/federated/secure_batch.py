"""Secure sums over the members of a federation: the protocol of `collector` and `member`, carried by `federation`.

A batch costs two round trips for keys and shares, three for its first sum and one for each other. All its sums are of
the same members: those who gave to the first. Whoever is lost before is done without; whoever is lost later ends the
batch, for a sum without it, beside one with it, would show what it gave. It may be in the next.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from components.federated.batch import Batch, survivors_of
from components.federated.collector import Collection as Collecting
from components.federated.collector import FirstSum, Sum
from components.federated.content import Content
from components.federated.context import question_of
from components.federated.federation import Federation
from components.federated.frame import Octets
from components.federated.violation import MembersChanged, ProtocolViolation


class SecureBatch:
    """Up to `messages` sums with those of a `roster` (all members, unless told) that are there now.

    `survivors` are those of whom all its sums are, once the first has come so far; `members` who is left, from whom
    whoever asks may strike those that are lost to it otherwise.

    Parameters
    ----------
    sessions
        The processes that are asked; of everybody who is there, unless told.
    only
        Who must have given to the first sum, no more and no less; whoever did, unless told.
    opens
        Called with the survivors before any of them is asked to sign: the last moment at which nothing can be revealed.

    Raises
    ------
    TooFewMembers
        Fewer than the threshold took part.
    """

    def __init__(
        self,
        federation: Federation,
        messages: int,
        roster: Collection[str] | None = None,
        *,
        sessions: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        opens: Callable[[tuple[str, ...]], None] = lambda survivors: None,
    ):
        self._federation, self._opens = federation, opens
        self._only = None if only is None else tuple(sorted(only))
        self.survivors: tuple[str, ...] = ()
        members = tuple(sorted(federation.members if roster is None else roster))
        there = federation.present() if sessions is None else sessions
        self._sessions = {name: session for name, session in there.items() if name in members}
        threshold = survivors_of(len(members), members=len(federation.members), threshold=federation.threshold)
        batch = Batch(federation.run, next(federation.batches), members, threshold, messages)
        self._collection = Collecting(batch, authority=federation.authority)
        self._exchange("advertise", self._sessions, self._collection.announcement(), self._collection.advertised)
        advertised = self._collection.close_advertising()
        self._exchange("share", self._collection.agreement.by_name, advertised, self._collection.shared)
        self._deliveries = self._collection.close_sharing()
        self.members = self._collection.sharers

    def sum(
        self, name: str, content: Content | None = None, *, message: int, length: int, patience: float | None = None
    ) -> Sum:
        """The sum of what the members' handlers `name` return for `content`: rows of `length` words, mod 2^64.

        Raises
        ------
        TooFewMembers
            Too few are left, or (`MembersChanged`) not those of the first sum; nothing of this sum is known to anybody.
        ProtocolViolation
            In the first sum, shares give no secret, and so few are there that nobody knows who lied; nothing of it is
            known.
        """
        if self.survivors:
            self._keep_to(self.members)
        federation = self._federation
        document, parts = (content or Content()).written()
        instruction = {**document, "name": name, "message": message}
        summing = self._collection.sum(message, length, question_of(instruction, parts))
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
        if isinstance(summing, FirstSum):
            survivors = summing.close_masked()
            self._keep_to(self.members)
            self.members = self._exchange("sign", self.members, survivors, summing.signed)
            self.members = self._exchange("unmask", self.members, summing.close_signed(), summing.revealed)
        return summing.close()

    def _keep_to(self, members: tuple[str, ...]) -> None:
        """Give up a sum of other members than those it must be of."""
        of = self.survivors or self._only
        if of and members != of:
            odd = sorted(set(of) ^ set(members))
            raise MembersChanged(
                f"what was begun with {', '.join(of)} cannot go on with {', '.join(members)}: sums of both would show "
                f"what '{odd[0]}' gives; start '{odd[0]}' again"
            )
        if not self.survivors:
            self._opens(members)
            self.survivors = members

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
