"""Step 1: a member's fresh public keys for a batch, signed with the key of its certificate.

One key to seal shares with, one to agree on masks with, and a commitment to the seed of the member's own mask. The
collector can drop an advertisement but not make one. All that follows is bound to the digest of the advertisements a
member was shown, so that two members who were shown different ones notice before anything is revealed.
"""

from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from components.federated.batch import Batch
from components.federated.frame import Octets, bind, digest, pack, unpack
from components.federated.identity import Identity, signed_by, verified_key
from components.federated.keys import PUBLIC_BYTES, is_usable, public_of
from components.federated.violation import ProtocolViolation

KIND = "advertisement"
LIST = "advertisements"
COMMITMENT_BYTES = 32

_PURPOSE = "advertisement"


@dataclass(frozen=True)
class Advertisement:
    """Public keys of `name` and the commitment to its seed; `encoded` is the message they came in."""

    name: str
    sealing: bytes
    masking: bytes
    commitment: bytes
    signer: ec.EllipticCurvePublicKey
    encoded: bytes


@dataclass(frozen=True)
class Agreement:
    """Everybody's advertisements, in order of names."""

    batch: Batch
    advertisements: tuple[Advertisement, ...]

    @cached_property
    def digest(self) -> bytes:
        return digest("agreement", self.batch.digest, *(one.encoded for one in self.advertisements))

    @cached_property
    def by_name(self) -> dict[str, Advertisement]:
        return {one.name: one for one in self.advertisements}

    def encode(self) -> bytes:
        return pack(LIST, {}, [one.encoded for one in self.advertisements])


def advertise(identity: Identity, batch: Batch, *, sealing: bytearray, masking: bytearray, seed: bytearray) -> bytes:
    """The signed message with the public keys of two secrets and the commitment to the seed."""
    keys = public_of(sealing) + public_of(masking)
    committed = commitment(batch, identity.name, bytes(seed))
    signature = identity.sign(_PURPOSE, bind(batch.digest, identity.name, keys, committed))
    return pack(KIND, {"name": identity.name}, [identity.certificate, keys, committed, signature])


def commitment(batch: Batch, name: str, seed: bytes) -> bytes:
    """SHA-256 of a seed of 256 random bits: binds to it and says nothing of it."""
    return digest("commitment", batch.digest, name, seed)


def read_advertisement(content: Octets, batch: Batch, *, sender: str, authority: x509.Certificate) -> Advertisement:
    """The advertisement of a message, its signature checked.

    Raises
    ------
    ProtocolViolation
        It is damaged, of another batch or of a stranger, or signed by somebody else.
    """
    document, parts = unpack(content, KIND, sender=sender)
    name, sizes = document.get("name"), [2 * PUBLIC_BYTES, COMMITMENT_BYTES]
    if name not in batch.members or len(parts) != 4 or [len(part) for part in parts[1:3]] != sizes:
        raise ProtocolViolation(sender, "sent keys that do not fit this batch")
    certificate, keys, committed, signature = map(bytes, parts)
    signer = verified_key(name, certificate, authority)
    if not signed_by(signer, signature, _PURPOSE, bind(batch.digest, name, keys, committed)):
        raise ProtocolViolation(name, "did not sign the keys that are said to be its own for this batch")
    sealing, masking = keys[:PUBLIC_BYTES], keys[PUBLIC_BYTES:]
    if not (is_usable(sealing) and is_usable(masking)):
        raise ProtocolViolation(name, "advertised a key with which anybody could agree")
    return Advertisement(name, sealing, masking, committed, signer, bytes(content))


def read_agreement(content: Octets, batch: Batch, *, sender: str, authority: x509.Certificate) -> Agreement:
    """What the collector says all have advertised.

    Raises
    ------
    ProtocolViolation
        One advertisement is wrong, one comes twice or out of order, a key is used twice, or too few are there.
    """
    document, parts = unpack(content, LIST, sender=sender)
    found = tuple(read_advertisement(part, batch, sender=sender, authority=authority) for part in parts)
    names = [one.name for one in found]
    if document or names != sorted(set(names)):
        raise ProtocolViolation(sender, "sent a list that names somebody twice or out of order")
    keys = [key for one in found for key in (one.sealing, one.masking)]
    if len(set(keys)) < len(keys):
        raise ProtocolViolation(sender, "sent a list in which a key is used twice")
    if len(found) < batch.threshold:
        raise ProtocolViolation(sender, f"goes on with {len(found)} members where {batch.threshold} are needed")
    return Agreement(batch, found)
