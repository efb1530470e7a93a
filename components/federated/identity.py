"""Who signs: a party's certificate and key, and what the others check before they believe a signature.

A certificate counts when the project's authority issued it, to exactly this name, and it is valid today. A signature
is made for one purpose and says so, so that none can be shown in another's place.
Source: FIPS 186-5 (ECDSA, here on P-256 with SHA-256).
"""

import datetime
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from components.errors import InvalidInput
from components.federated.frame import bind
from components.federated.violation import ProtocolViolation
from components.parties.certificates import Authority, faults, named_in

_PRODUCT = "troth federated 1"


@dataclass(frozen=True)
class Identity:
    """A party as it shows itself: `certificate` is DER."""

    name: str
    certificate: bytes
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def sign(self, purpose: str, content: bytes) -> bytes:
        """A signature of `content` that holds for this purpose only."""
        return self.key.sign(bind(_PRODUCT, purpose, content), ec.ECDSA(hashes.SHA256()))


def read_identity(name: str, *, certificate: Path, key: Path, authority: Path) -> Identity:
    """The identity in a party's files.

    Raises
    ------
    InvalidInput
        A file is missing, damaged, of somebody else, or no longer valid.
    """
    if found := faults(name, certificate, key, authority):
        raise InvalidInput(found[0])
    shown = x509.load_pem_x509_certificate(certificate.read_bytes())
    return Identity(name, shown.public_bytes(Encoding.DER), load_pem_private_key(key.read_bytes(), password=None))


def issued(name: str, authority: Authority) -> Identity:
    """A fresh identity, for whoever has the authority's key at hand."""
    certificate, key = authority.issue(name)
    shown = x509.load_pem_x509_certificate(certificate)
    return Identity(name, shown.public_bytes(Encoding.DER), load_pem_private_key(key, password=None))


def read_authority(path: Path) -> x509.Certificate:
    """The certificate of the project's authority.

    Raises
    ------
    InvalidInput
        The file is missing or holds none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"certificate {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise InvalidInput(f"certificate {path} is damaged; copy it here from where 'troth parties init' ran") from None


def verified_key(name: str, certificate: bytes, authority: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key that speaks for `name`.

    Raises
    ------
    ProtocolViolation
        The certificate is not this party's, not of the authority, or not valid today.
    """
    try:
        shown = _issued_by(authority, certificate)
        names, key = named_in(shown), shown.public_key()
    except (ValueError, TypeError, InvalidSignature, x509.DuplicateExtension):
        raise ProtocolViolation(name, "shows a certificate that is not of this project's authority") from None
    if names != [name] or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ProtocolViolation(name, "shows the certificate of somebody else")
    if not shown.not_valid_before_utc <= datetime.datetime.now(datetime.UTC) <= shown.not_valid_after_utc:
        raise ProtocolViolation(name, "shows a certificate that is not valid today")
    return key


@lru_cache(maxsize=1024)
def _issued_by(authority: x509.Certificate, certificate: bytes) -> x509.Certificate:
    """A certificate whose signature was checked, once: a training shows the same few for every batch."""
    shown = x509.load_der_x509_certificate(certificate)
    shown.verify_directly_issued_by(authority)
    return shown


def signed_by(key: ec.EllipticCurvePublicKey, signature: bytes, purpose: str, content: bytes) -> bool:
    """Whether the holder of `key` signed `content` for this purpose."""
    try:
        key.verify(signature, bind(_PRODUCT, purpose, content), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
