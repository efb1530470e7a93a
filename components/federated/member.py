"""A member's side of secure aggregation: its answers, each given once, and the refusals that keep its vector secret.

It trusts its own configuration and the authority's certificate; of what the collector sends it believes what others
signed. A refusal ends its part in the batch: nothing more is answered, and all secrets of the batch are overwritten.
Source: Bonawitz et al. 2017, figure 4 (active adversaries), for the first sum of a batch; the others are of the same
members or of nobody, and need masks of pairs alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps

import numpy as np
from cryptography import x509

from components.errors import InvalidInput
from components.federated.advertisement import Agreement, advertise, read_agreement
from components.federated.batch import Batch, check_members, decode_batch, survivors_of
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
    sealing_context,
    statement,
)
from components.federated.frame import Json, Octets, pack, unpack
from components.federated.identity import Identity, signed_by
from components.federated.keys import agree, erase, fresh_secret, seal, unseal
from components.federated.mask import WORD, add_mask
from components.federated.shamir import SHARE_BYTES, split
from components.federated.violation import ProtocolViolation


@dataclass(repr=False)
class _Held:
    """What a member keeps of one batch: secrets of its own, `dealt` shares of others', and how far the batch is.

    `given` are the sums it gave to, `first` the first of them, `asked` what for; `signed` are the survivors of the
    first as this member signed them, `is_settled` whether enough others have.
    """

    batch: Batch
    sealing: bytearray
    masking: bytearray
    seed: bytearray
    advertised: bytes
    agreement: Agreement | None = None
    sharers: tuple[str, ...] = ()
    dealt: dict[str, bytearray] = field(default_factory=dict)
    pairs: dict[str, bytearray] = field(default_factory=dict)
    given: set[int] = field(default_factory=set)
    first: int = -1
    asked: bytes = b""
    signed: tuple[str, ...] = ()
    is_settled: bool = False

    @property
    def secrets(self) -> list[bytearray]:
        return [self.sealing, self.masking, self.seed, *self.dealt.values(), *self.pairs.values()]

    def share(self, dealer: str, *, of_seed: bool) -> bytes:
        """One of the two shares of `dealer`; both are overwritten."""
        shares = bytes(self.dealt[dealer])
        erase(self.dealt[dealer])
        return shares[SHARE_BYTES:] if of_seed else shares[:SHARE_BYTES]


def _fails_closed(step: Callable) -> Callable:
    """Whatever ends this step but a wrong vector overwrites the secrets of the batch."""

    @wraps(step)
    def guarded(self, *arguments):
        try:
            return step(self, *arguments)
        except InvalidInput:
            raise
        except BaseException:
            self.forget()
            raise

    return guarded


class Member:
    """One owner in one run; the methods stand in the order in which they are called.

    Parameters
    ----------
    members
        Names of all that may take part, this one among them.
    threshold
        How many of all must be left for a sum to be revealed; see `least_survivors` and, of fewer, `survivors_of`.
    roster
        The fewest members that a batch may be of, where not all take part each time; all unless told.
    run
        Name of the run; a batch of another is refused.
    collector
        How sentences name who collects.

    Raises
    ------
    InvalidInput
        Members or threshold would protect nobody.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        authority: x509.Certificate,
        members: tuple[str, ...],
        threshold: int,
        run: str,
        roster: int = 0,
        collector: str = "aggregator",
    ):
        check_members(members, threshold)
        if identity.name not in members:
            raise InvalidInput(f"'{identity.name}' is none of the members; use one of {', '.join(members)}")
        self.name, self.run, self.members, self.threshold = identity.name, run, tuple(sorted(members)), threshold
        self._identity, self._authority, self._collector = identity, authority, collector
        self._roster = roster or len(members)
        self._last = -1
        self._held: _Held | None = None

    @_fails_closed
    def advertise(self, announcement: Octets) -> bytes:
        """Step 1: draw the secrets of a new batch and sign their public keys."""
        self.forget()
        batch = decode_batch(announcement, sender=self._collector)
        if batch.run != self.run or not self._may_be(batch.members, batch.threshold):
            raise self._refusal("announced a batch of another run, with other members, or with another threshold")
        if batch.number <= self._last:
            raise self._refusal(f"announced batch {batch.number} after batch {self._last}")
        self._last = batch.number
        sealing, masking, seed = fresh_secret(), fresh_secret(), fresh_secret()
        advertised = advertise(self._identity, batch, sealing=sealing, masking=masking, seed=seed)
        self._held = _Held(batch, sealing, masking, seed, advertised)
        return advertised

    @property
    def batch(self) -> int:
        """Number of the newest batch; -1 before the first."""
        return self._last

    def _may_be(self, roster: tuple[str, ...], threshold: int) -> bool:
        return (
            list(roster) == sorted(set(roster))
            and {self.name} <= set(roster) <= set(self.members)
            and len(roster) >= self._roster
            and threshold == survivors_of(len(roster), members=len(self.members), threshold=self.threshold)
        )

    @_fails_closed
    def share(self, advertisements: Octets) -> bytes:
        """Step 2: deal the masking key and the seed to all that advertised, sealed to each."""
        held = self._current()
        if held.agreement is not None:
            raise self._refusal("asked for the shares of a batch twice")
        agreement = read_agreement(advertisements, held.batch, sender=self._collector, authority=self._authority)
        ours = agreement.by_name.get(self.name)
        if ours is None or ours.encoded != held.advertised:
            raise self._refusal(f"sent a list without the keys of '{self.name}'")
        held.agreement = agreement
        names = list(agreement.by_name)
        points = [held.batch.point(name) for name in names]
        dealt = dict.fromkeys(names, b"")
        for secret in (held.masking, held.seed):
            shares = split(bytes(secret), threshold=held.batch.threshold, points=points)
            for name, point in zip(names, points, strict=True):
                dealt[name] += shares[point]
        held.dealt[self.name] = bytearray(dealt.pop(self.name))
        sealed = [seal(*self._sealing(name, self.name, name), content) for name, content in dealt.items()]
        return pack(SHARES, {"to": list(dealt)}, sealed)

    @_fails_closed
    def receive(self, delivery: Octets) -> None:
        """Step 3: open the shares that all who dealt sealed to this member, and agree on a key with each."""
        held = self._current()
        if held.agreement is None or held.sharers:
            raise self._refusal("delivered shares out of order")
        document, sealed = unpack(delivery, DELIVERY, sender=self._collector)
        dealers = self._names(document.get("from"))
        if len(dealers) != len(sealed):
            raise self._refusal("sent a damaged delivery")
        sharers = tuple(sorted({*dealers, self.name}))
        known = held.agreement.by_name.keys()
        if len(sharers) != len(dealers) + 1 or not known >= set(sharers) or len(sharers) < held.batch.threshold:
            raise self._refusal("delivered shares of strangers, of somebody twice, or of too few")
        for dealer, content in zip(dealers, sealed, strict=True):
            opened = unseal(*self._sealing(dealer, dealer, self.name), bytes(content))
            if opened is None or len(opened) != 2 * SHARE_BYTES:
                raise ProtocolViolation(dealer, f"or '{self._collector}' changed the shares for '{self.name}'")
            held.dealt[dealer] = bytearray(opened)
            public = held.agreement.by_name[dealer].masking
            place = {"agreement": held.agreement.digest, "name": self.name, "peer": dealer}
            held.pairs[dealer] = bytearray(pair_key(held.masking, public, **place))
        erase(held.sealing)
        erase(held.masking)
        held.sharers = sharers

    @_fails_closed
    def mask(self, message: int, vector: np.ndarray, question: bytes = b"") -> bytes:
        """Step 4, once a message: x + sum over later v of PRG(s_v) - sum over earlier v of PRG(s_v), mod 2^64.

        In the first sum v are all that dealt shares, and PRG(b) is added, whose seed from here on the others have in
        shares, and nobody else. In all others v are those who gave to the first. Masks depend on `question`, the digest
        of what the vector was asked for, and on those before: they cancel between members who were asked the same.

        Raises
        ------
        InvalidInput
            `vector` is not a one-dimensional array of uint64.
        """
        held = self._current()
        known = type(message) is int and message in range(held.batch.messages)
        if not held.sharers or not known or message in held.given:
            raise self._refusal(f"asked for sum {message} of batch {held.batch.number} twice, or where there is none")
        if held.given and not held.is_settled:
            raise self._refusal(f"asked for sum {message} before it was settled of whom sum {held.first} is")
        if vector.dtype != WORD or vector.ndim != 1 or not len(vector):
            raise InvalidInput(
                f"the vector for sum {message} has shape {vector.shape} and type {vector.dtype}; give one row of uint64"
            )
        masked = np.array(vector, dtype=WORD)
        if not held.given:
            held.first = message
            add_mask(masked, own_mask_key(held.seed, agreement=held.agreement.digest, message=message, name=self.name))
            erase(held.seed)
        held.given.add(message)
        held.asked = asked_after(held.asked, question)
        for peer, key in held.pairs.items():
            add_pair_mask(masked, key, message=message, asked=held.asked, name=self.name, peer=peer)
        return pack(MASKED, self._place(message), [masked.data.cast("B")])

    @_fails_closed
    def sign(self, survivors: Octets) -> bytes:
        """Step 5: put a name to the one set of survivors this member will ever reveal anything of this batch for."""
        held = self._current()
        document, parts = unpack(survivors, SURVIVING, sender=self._collector)
        named = self._names(document.get("survivors"))
        self._require_of_first(document, in_turn=bool(held.given) and not held.signed)
        if parts:
            raise self._refusal("sent damaged survivors")
        if sorted(set(named)) != named or not {self.name} <= set(named) <= set(held.sharers):
            raise self._refusal("named survivors that cannot be")
        if len(named) < held.batch.threshold:
            raise self._refusal(f"wants to go on with {len(named)} survivors where {held.batch.threshold} are needed")
        held.signed = tuple(named)
        return pack(SIGNED, self._place(held.first), [self._identity.sign(SURVIVORS, self._statement())])

    @_fails_closed
    def unmask(self, signatures: Octets) -> bytes:
        """Step 6: of each survivor the share of its seed, of each lost member that of its key; never both.

        Only after t survivors have signed the very set this member signed; all later sums are of that set.
        """
        held = self._current()
        document, parts = unpack(signatures, SIGNATURES, sender=self._collector)
        signers = self._names(document.get("signers"))
        self._require_of_first(document, in_turn=bool(held.signed) and not held.is_settled)
        if not set(signers) <= set(held.signed) or len(parts) != len(signers):
            raise self._refusal("sent signatures of members that are no survivors")
        needed = held.batch.threshold
        if len(set(signers)) < max(needed, len(signers)):
            raise self._refusal(f"shows {len(set(signers))} signatures where {needed} different are needed")
        for name, signature in zip(signers, parts, strict=True):
            key = held.agreement.by_name[name].signer
            if not signed_by(key, bytes(signature), SURVIVORS, self._statement()):
                raise self._refusal(f"has no signature of '{name}' on the survivors that '{self.name}' signed")
        held.is_settled = True
        for lost in held.pairs.keys() - set(held.signed):
            erase(held.pairs.pop(lost))
        shares = b"".join(held.share(name, of_seed=name in held.signed) for name in held.sharers)
        return pack(REVEALED, self._place(held.first), [shares])

    def forget(self) -> None:
        """End the batch: overwrite every secret of it."""
        if self._held is not None:
            for secret in self._held.secrets:
                erase(secret)
            self._held = None

    def _current(self) -> _Held:
        if self._held is None:
            raise self._refusal("speaks of a batch that has ended or never begun")
        return self._held

    def _refusal(self, what: str) -> ProtocolViolation:
        return ProtocolViolation(self._collector, what)

    def _names(self, names: Json) -> list[str]:
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise self._refusal("sent a damaged list of names")
        return names

    def _require_of_first(self, document: dict, *, in_turn: bool) -> None:
        """Refuse what is of another agreement or sum than the first, or comes before its time or again."""
        held, message = self._held, document.get("message")
        ours = held.agreement is not None and document.get("agreement") == held.agreement.digest.hex()
        if not ours or not in_turn or type(message) is not int or message != held.first:
            raise self._refusal(f"sent something for sum {message!r} of batch {held.batch.number} that is out of order")

    def _place(self, message: int) -> dict[str, Json]:
        return {"agreement": self._held.agreement.digest.hex(), "message": message}

    def _statement(self) -> bytes:
        held = self._held
        return statement(held.agreement.digest, held.first, held.sharers, held.signed)

    def _sealing(self, peer: str, sender: str, recipient: str) -> tuple[bytes, bytes]:
        """Key and context of what `sender` seals to `recipient`, one of whom is `peer`."""
        context = sealing_context(self._held.agreement.digest, sender, recipient)
        return agree(self._held.sealing, self._held.agreement.by_name[peer].sealing, context), context

    def __reduce__(self):
        raise TypeError("a member is never copied or stored: its secrets must be used once")
