"""The collector's side of secure aggregation: it relays, adds, and learns a sum and who is in it, nothing else.

A `Collection` is one batch; its first sum is a `FirstSum`, which settles of whom the batch is, the others are each a
`LaterSum`. All take the answers one by one, as they come, and are closed when it has waited long enough: whoever has
not answered by then is lost, and whoever answered wrongly is named.
Source: Bonawitz et al. 2017, figure 4.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb
from secrets import SystemRandom

import numpy as np
from cryptography import x509

from components.errors import InvalidInput
from components.federated.advertisement import Advertisement, Agreement, commitment, read_advertisement
from components.federated.batch import Batch, check_members
from components.federated.context import (
    DELIVERY,
    MASKED,
    REVEALED,
    SHARES,
    SIGNATURES,
    SIGNED,
    SURVIVING,
    SURVIVORS,
    add_pair_mask,
    asked_after,
    own_mask_key,
    pair_key,
    statement,
)
from components.federated.frame import Octets, pack, unpack
from components.federated.identity import signed_by
from components.federated.keys import TAG_BYTES, public_of
from components.federated.mask import WORD, subtract_mask
from components.federated.shamir import SHARE_BYTES, combine, interpolate
from components.federated.violation import MembersChanged, ProtocolViolation, TooFewMembers

_ATTEMPTS = 2000


@dataclass(frozen=True)
class Sum:
    """`total`: the survivors' vectors added mod 2^64 (n,); bytes are those of this message alone.

    `disputed`, of a first sum, are pairs (dealer, giver) of which one lied about a share; it is right nevertheless.
    """

    total: np.ndarray
    message: int
    members: tuple[str, ...]
    survivors: tuple[str, ...]
    disputed: tuple[tuple[str, str], ...]
    received: int
    sent: int


class Collection:
    """The setting up of one batch: keys, then shares.

    Raises
    ------
    InvalidInput
        The batch's members or threshold would protect nobody.
    """

    def __init__(self, batch: Batch, *, authority: x509.Certificate):
        check_members(batch.members, batch.threshold)
        if list(batch.members) != sorted(batch.members):
            raise InvalidInput("'members' of a batch must be in order of their names; sort them")
        self.batch, self._authority = batch, authority
        self.agreement: Agreement | None = None
        self.sharers: tuple[str, ...] = ()
        self.survivors: tuple[str, ...] = ()
        self.received = self.sent = 0
        self._advertised: dict[str, Advertisement] = {}
        self._shares: dict[str, dict[str, bytes]] = {}
        self._summed: set[int] = set()
        self._asked = b""

    def announcement(self) -> bytes:
        """For all members: that a batch begins."""
        content = self.batch.encode()
        self.sent += len(content) * len(self.batch.members)
        return content

    def advertised(self, name: str, content: Octets) -> None:
        """Take a member's answer to the announcement."""
        if self.agreement is not None or name in self._advertised:
            raise ProtocolViolation(name, "advertised keys twice or too late")
        found = read_advertisement(content, self.batch, sender=name, authority=self._authority)
        if found.name != name:
            raise ProtocolViolation(name, f"sent keys in the name of '{found.name}'")
        self._advertised[name] = found
        self.received += len(content)

    def close_advertising(self) -> bytes:
        """For all that advertised: the keys of all that did."""
        self._enough(self._advertised, "advertised keys")
        self.agreement = Agreement(self.batch, tuple(self._advertised[name] for name in sorted(self._advertised)))
        content = self.agreement.encode()
        self.sent += len(content) * len(self._advertised)
        return content

    def shared(self, name: str, content: Octets) -> None:
        """Take a member's sealed shares."""
        if self.agreement is None or self.sharers or name in self._shares or name not in self.agreement.by_name:
            raise ProtocolViolation(name, "dealt shares twice, too late or unasked")
        document, sealed = unpack(content, SHARES, sender=name)
        others = [other for other in self.agreement.by_name if other != name]
        size = 2 * SHARE_BYTES + TAG_BYTES
        if document != {"to": others} or [len(part) for part in sealed] != [size] * len(others):
            raise ProtocolViolation(name, "dealt shares that do not fit this batch")
        self._shares[name] = dict(zip(others, map(bytes, sealed), strict=True))
        self.received += len(content)

    def close_sharing(self) -> dict[str, bytes]:
        """For each that dealt, by name: what the others that dealt have sealed to it."""
        self._enough(self._shares, "dealt shares")
        self.sharers = tuple(sorted(self._shares))
        deliveries = {}
        for name in self.sharers:
            dealers = [dealer for dealer in self.sharers if dealer != name]
            deliveries[name] = pack(DELIVERY, {"from": dealers}, [self._shares[dealer][name] for dealer in dealers])
        self._shares.clear()
        self.sent += sum(map(len, deliveries.values()))
        return deliveries

    def sum(self, message: int, length: int, question: bytes = b"") -> "FirstSum | LaterSum":
        """Begin a sum of vectors of `length` words; each message can be summed once, and after the first is closed.

        `question` is the digest of what members are asked a vector for.
        """
        if not self.sharers or message not in range(self.batch.messages) or message in self._summed:
            raise InvalidInput(f"sum {message} of batch {self.batch.number} was begun before, or is not in the batch")
        if self._summed and not self.survivors:
            raise InvalidInput(f"the first sum of batch {self.batch.number} was not finished; begin another batch")
        self._summed.add(message)
        self._asked = asked_after(self._asked, question)
        return LaterSum(self, message, length) if self.survivors else FirstSum(self, message, length, self._asked)

    def _enough(self, there: dict, what: str) -> None:
        if len(there) < self.batch.threshold:
            raise TooFewMembers(
                f"batch {self.batch.number}: {len(there)} of {len(self.batch.members)} members {what} where "
                f"{self.batch.threshold} must; start the others again"
            )


class _Summing:
    """One sum: vectors are added as they come, and not kept. `of` are those who may give one."""

    def __init__(self, collection: Collection, message: int, length: int, of: tuple[str, ...]):
        self.collection, self.batch, self.agreement = collection, collection.batch, collection.agreement
        self.message, self.length, self.of = message, length, of
        self.received = self.sent = 0
        self.masked_by: set[str] = set()
        self._total, self._is_closed = np.zeros(length, dtype=WORD), False

    def masked(self, name: str, content: Octets) -> None:
        """Take a member's masked vector."""
        if self._is_closed or name in self.masked_by or name not in self.of:
            raise ProtocolViolation(name, f"sent a vector for sum {self.message} twice, too late or unasked")
        part = self._part(content, MASKED, name, self.length * WORD.itemsize)
        np.add(self._total, np.frombuffer(part, dtype=WORD), out=self._total)
        self.masked_by.add(name)

    @property
    def _place(self) -> dict:
        return {"agreement": self.agreement.digest.hex(), "message": self.message}

    def _part(self, content: Octets, kind: str, name: str, size: int | None = None) -> memoryview:
        document, parts = unpack(content, kind, sender=name)
        if document != self._place or len(parts) != 1:
            raise ProtocolViolation(name, f"sent a {kind} of another sum than {self.message}")
        if size is not None and len(parts[0]) != size:
            raise ProtocolViolation(
                name, f"sent {len(parts[0])} bytes as {kind} for sum {self.message} where {size} are expected"
            )
        self.received += len(content)
        return parts[0]

    def _enough(self, there, what: str) -> None:
        if len(there) < self.batch.threshold:
            raise TooFewMembers(
                f"sum {self.message} of batch {self.batch.number}: {len(there)} of {len(self.of)} members {what} "
                f"where {self.batch.threshold} must; it is given up, and nothing of it is known"
            )


class LaterSum(_Summing):
    """A sum of exactly those of the first: masks of pairs cancel, and nothing else has to be known."""

    def __init__(self, collection: Collection, message: int, length: int):
        super().__init__(collection, message, length, collection.survivors)

    def close(self) -> Sum:
        """The sum.

        Raises
        ------
        TooFewMembers
            Somebody's vector is missing (`MembersChanged` where enough are left), and with it the masks it shares with
            the others.
        """
        self._is_closed = True
        self._enough(self.masked_by, "sent their vectors")
        if missing := sorted(set(self.of) - self.masked_by):
            raise MembersChanged(
                f"what was begun with {', '.join(self.of)} cannot go on without '{missing[0]}': sum {self.message} of "
                f"batch {self.batch.number} is given up, and nothing of it is known; start '{missing[0]}' again"
            )
        return Sum(self._total, self.message, self.batch.members, self.of, (), self.received, self.sent)


class FirstSum(_Summing):
    """The sum that settles the survivors: masked vectors, signatures on who gave one, shares that take masks away."""

    def __init__(self, collection: Collection, message: int, length: int, asked: bytes):
        super().__init__(collection, message, length, collection.sharers)
        self.survivors: tuple[str, ...] = ()
        self._asked = asked
        self._signatures: dict[str, bytes] = {}
        self._relayed = False
        self._revealed: dict[str, dict[str, bytes]] = {}

    def close_masked(self) -> bytes:
        """For the survivors: who they are."""
        self._is_closed = True
        self._enough(self.masked_by, "sent their vectors")
        self.survivors = tuple(sorted(self.masked_by))
        return self._to(self.survivors, pack(SURVIVING, {**self._place, "survivors": list(self.survivors)}))

    def signed(self, name: str, content: Octets) -> None:
        """Take a survivor's signature."""
        if self._relayed or name in self._signatures or name not in self.survivors:
            raise ProtocolViolation(name, f"signed sum {self.message} twice, too late or unasked")
        signature = bytes(self._part(content, SIGNED, name))
        said = statement(self.agreement.digest, self.message, self.of, self.survivors)
        if not signed_by(self.agreement.by_name[name].signer, signature, SURVIVORS, said):
            raise ProtocolViolation(name, f"did not sign the survivors of sum {self.message}")
        self._signatures[name] = signature

    def close_signed(self) -> bytes:
        """For those that signed: everybody's signatures."""
        self._enough(self._signatures, "signed the survivors")
        self._relayed = True
        content = pack(SIGNATURES, {**self._place, "signers": list(self._signatures)}, list(self._signatures.values()))
        return self._to(self._signatures, content)

    def revealed(self, name: str, content: Octets) -> None:
        """Take a survivor's shares."""
        if not self._relayed or name in self._revealed or name not in self._signatures:
            raise ProtocolViolation(name, f"revealed shares for sum {self.message} twice or unasked")
        part = bytes(self._part(content, REVEALED, name, SHARE_BYTES * len(self.of)))
        self._revealed[name] = {
            owner: part[SHARE_BYTES * at : SHARE_BYTES * (at + 1)] for at, owner in enumerate(self.of)
        }

    def close(self) -> Sum:
        """The sum: every mask that did not cancel is computed again and taken away."""
        self._enough(self._revealed, "revealed their shares")
        total, digest = self._total, self.agreement.digest
        disputed: set[tuple[str, str]] = set()
        for lost in sorted(set(self.of) - set(self.survivors)):
            secret = self._recovered(lost, partial(self._opens, lost), disputed)
            for name in self.survivors:
                theirs = self.agreement.by_name[name].masking
                key = pair_key(secret, theirs, agreement=digest, name=lost, peer=name)
                add_pair_mask(total, key, message=self.message, asked=self._asked, name=lost, peer=name)
        for name in self.survivors:
            seed = self._recovered(name, partial(self._commits, name), disputed)
            subtract_mask(total, own_mask_key(seed, agreement=digest, message=self.message, name=name))
        self._revealed.clear()
        self.collection.survivors = self.survivors
        who = (self.batch.members, self.survivors, tuple(sorted(disputed)))
        return Sum(total, self.message, *who, self.received, self.sent)

    def _opens(self, name: str, secret: bytes) -> bool:
        return public_of(secret) == self.agreement.by_name[name].masking

    def _commits(self, name: str, seed: bytes) -> bool:
        return commitment(self.batch, name, seed) == self.agreement.by_name[name].commitment

    def _recovered(self, dealer: str, fits: Callable[[bytes], bool], disputed: set[tuple[str, str]]) -> bytes:
        """A secret of `dealer`, from t shares that give what it advertised; shares that do not are disputed."""
        shares = {self.batch.point(name): revealed[dealer] for name, revealed in self._revealed.items()}
        for points in _subsets(sorted(shares), self.batch.threshold):
            chosen = {point: shares[point] for point in points}
            secret = combine(chosen)
            if secret is not None and fits(secret):
                for point in shares.keys() - chosen.keys():
                    if interpolate(chosen, point) != int.from_bytes(shares[point], "big"):
                        disputed.add((dealer, self.batch.members[point - 1]))
                return secret
        raise ProtocolViolation(
            dealer,
            f"dealt wrong shares for sum {self.message}, or one of {', '.join(self._revealed)} gave them back wrong",
        )

    def _to(self, names, content: bytes) -> bytes:
        self.sent += len(content) * len(names)
        return content


def _subsets(points: list[int], size: int) -> Iterator[tuple[int, ...]]:
    """Subsets to try: all of them where they are few, else at random, so that no liar can be in most of them."""
    if comb(len(points), size) <= _ATTEMPTS:
        yield from combinations(points, size)
        return
    random = SystemRandom()
    for _ in range(_ATTEMPTS):
        yield tuple(random.sample(points, size))
