"""Beyond this machine there is TLS or nothing, for the server and for its clients."""

import datetime
import ipaddress

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.encryption.client import EncryptedModelClient, RefusedByServer
from components.encryption.client.exchange import Exchange, Received
from components.encryption.server import Serving, check, is_loopback
from components.errors import InvalidInput
from tests.components.encryption.client.conftest import Server
from tests.components.encryption.trial_server import MODEL, grant, user


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this machine that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "models")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return str(folder / "server.pem"), str(folder / "server.key")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "models.example.org", ""])
def test_plain_http_ends_at_this_machine(host):
    assert not is_loopback(host)
    with pytest.raises(InvalidInput, match="tls"):
        check(Serving("folder", host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_it_will_do(host):
    assert is_loopback(host)
    check(Serving("folder", host=host))


def test_half_of_what_tls_needs_is_refused(certificate):
    with pytest.raises(InvalidInput, match="tls-key"):
        check(Serving("folder", tls_certificate=certificate[0]))
    with pytest.raises(InvalidInput, match="missing"):
        check(Serving("folder", host="0.0.0.0", tls_certificate="missing.pem", tls_key=certificate[1]))
    check(Serving("folder", host="0.0.0.0", tls_certificate=certificate[0], tls_key=certificate[1]))


def test_files_that_are_no_certificate_and_key_are_refused_before_anything_starts(certificate, tmp_path):
    other = tmp_path / "other.key"
    private = serialization.PrivateFormat.PKCS8
    key, locked = ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"words")
    other.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    (tmp_path / "locked.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, private, locked))
    (tmp_path / "words").write_text("no PEM")
    for pair in (
        (certificate[1], certificate[0]),
        (certificate[0], str(other)),
        (certificate[0], str(tmp_path / "locked.key")),
        (str(tmp_path / "words"), certificate[1]),
    ):
        with pytest.raises(InvalidInput, match="certificate"):
            check(Serving("folder", host="0.0.0.0", tls_certificate=pair[0], tls_key=pair[1]))


def test_a_certificate_that_does_not_verify_is_not_asked_again():
    dialogue = Exchange("https://models", MODEL, user("ada"), grant("ada")).renew()
    next(dialogue)
    with pytest.raises(RefusedByServer, match="expired"):
        dialogue.send(Received(0, trouble="its certificate has expired", is_final=True))


@pytest.mark.slow
def test_a_client_knows_its_server(lasting, published, certificate, frame_of, cases):
    lasting.publish("ada", published("binary"), kind="binary")
    server = Server(lasting.shelf.parent, workers=1, tls=certificate)
    try:
        with EncryptedModelClient(server.address, MODEL, user("ada"), grant("ada"), authority=certificate[0]) as client:
            found = client.predict(frame_of(cases["binary"].rows[:3]))
        np.testing.assert_allclose(found, cases["binary"].booster.inplace_predict(cases["binary"].rows[:3]), atol=1e-5)
        with (
            EncryptedModelClient(server.address, MODEL, user("ada"), grant("ada")) as stranger,
            pytest.raises(RefusedByServer, match="certificate does not verify") as refused,
        ):
            stranger.open()
        assert refused.value.reason == "tls"
    finally:
        server.stop()
