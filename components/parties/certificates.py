"""Who a party is, to another machine: a certificate with its name, signed by the project's own authority.

Nothing outside the project is trusted: both ends of a connection show a certificate of this one authority, and each
looks for the very name it expects. Keys are ECDSA on P-256, files readable by their owner alone.
Source: RFC 5280; RFC 8446 (TLS 1.3), section 4.4; CA/Browser Forum Baseline Requirements, 6.3.2 (825 days at most).
"""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.errors import InvalidInput

DAYS = 825

_AUTHORITY = "Troth parties"
_COPY = "copy it here from where 'troth parties init' ran"
_CLOCKS_DIFFER = datetime.timedelta(hours=1)
_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


@dataclass(frozen=True)
class Authority:
    """What signs the certificates of one project."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issue(self, name: str, *, days: float = DAYS) -> tuple[bytes, bytes]:
        """A fresh key and its certificate for the party `name`: (certificate, key), both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _begun(name, key, days)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return pem(certificate), private_pem(key)


def make_authority(*, days: float = DAYS) -> Authority:
    """A new authority, able to sign parties' certificates and nothing below them."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _begun(_AUTHORITY, key, days)
        .issuer_name(_called(_AUTHORITY))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def faults(name: str, certificate: Path, key: Path, authority: Path) -> list[str]:
    """What keeps the files of party `name` from being used, a sentence each; empty where all is well."""
    try:
        shown, signer = _certificate(certificate), _certificate(authority)
        ours = _public(_key(key).public_key())
    except InvalidInput as error:
        return [str(error)]
    found = []
    if key.stat().st_mode & 0o077:
        found.append(f"key {key} can be read by other users of this machine; run: chmod 600 {key}")
    if ours != _public(shown.public_key()):
        found.append(f"key {key} does not belong to certificate {certificate}; use the two files made together")
    if (names := named_in(shown)) != [name]:
        found.append(f"certificate {certificate} is of {', '.join(map(repr, names)) or 'nobody'}, not of '{name}'")
    try:
        shown.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        found.append(f"certificate {certificate} is not signed by {authority}; both must come from one 'parties init'")
    now = datetime.datetime.now(datetime.UTC)
    for path, one in ((certificate, shown), (authority, signer)):
        if now > one.not_valid_after_utc:
            last = f"{one.not_valid_after_utc:%Y-%m-%d}"
            found.append(f"certificate {path} expired on {last}; make new ones in a new folder")
        elif now < one.not_valid_before_utc:
            first = f"{one.not_valid_before_utc:%Y-%m-%d %H:%M}"
            found.append(f"certificate {path} is valid from {first} UTC on; set this machine's clock")
    return found


def expires(certificate: Path) -> datetime.datetime:
    """The last moment (UTC) a certificate is valid."""
    return _certificate(certificate).not_valid_after_utc


def named_in(certificate: x509.Certificate) -> list[str]:
    """The party names a certificate carries."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def tls_context(*, serve: bool, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """TLS 1.3 and nothing else, with the project's authority as the only one: for the end that listens, or that dials.

    The end that dials names the party it expects when it connects; the end that listens must look at the name itself.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serve else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cafile=str(authority))
    context.load_cert_chain(str(certificate), str(key))
    if serve:
        # A ticket would be the one thing sent against the direction of a link.
        context.num_tickets = 0
    return context


def _begun(name: str, key: ec.EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_called(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + datetime.timedelta(days=days) - _CLOCKS_DIFFER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in allowed for use in _USES})


def _public(key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificate(path: Path) -> x509.Certificate:
    content = _read(path, "certificate")
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError:
        raise InvalidInput(f"certificate {path} is damaged; {_COPY}") from None


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    content = _read(path, "key")
    try:
        return load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        raise InvalidInput(f"key {path} is damaged; {_COPY}") from None


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"{what} {path} is missing; {_COPY}") from None
    except OSError as error:
        raise InvalidInput(f"{what} {path} cannot be read: {error.strerror}") from None
