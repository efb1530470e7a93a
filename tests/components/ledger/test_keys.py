import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from components.errors import InvalidInput
from components.ledger import signing_key, trusted_keys


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "keys" / "ledger.key", tmp_path / "keys" / "ledger.pub"


def test_the_first_use_makes_a_pair_that_others_cannot_read(paths):
    private, public = paths
    key = signing_key(private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert signing_key(private, public).name == key.name
    assert trusted_keys(public).verifies(key.name, b"body", key.sign(b"body"))
    assert not trusted_keys(public).verifies(key.name, b"Body", key.sign(b"body"))


@pytest.mark.parametrize("signature", ["", "zz", "00" * 64])
def test_a_signature_that_is_none_does_not_verify(paths, signature):
    key = signing_key(*paths)
    assert not trusted_keys(paths[1]).verifies(key.name, b"body", signature)


def test_the_key_is_not_shown(paths):
    key = signing_key(*paths)
    assert str(key) == f"SigningKey({key.name})"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_others_can_read_is_refused(paths, mode):
    signing_key(*paths)
    paths[0].chmod(mode)
    with pytest.raises(InvalidInput, match=f"{mode:04o}"):
        signing_key(*paths)


def test_a_lost_private_key_is_not_replaced_silently(paths):
    signing_key(*paths)
    paths[0].unlink()
    with pytest.raises(InvalidInput, match=r"ledger\.key"):
        signing_key(*paths)


def test_a_lost_public_key_is_derived_again(paths):
    name = signing_key(*paths).name
    paths[1].unlink()
    assert signing_key(*paths).name == name


def test_a_key_that_is_not_trusted_is_not_signed_with(paths, tmp_path):
    signing_key(*paths)
    other = tmp_path / "other.key", tmp_path / "other.pub"
    signing_key(*other)
    with pytest.raises(InvalidInput, match=r"ledger\.pub"):
        signing_key(other[0], paths[1])
    paths[1].write_bytes(paths[1].read_bytes() + other[1].read_bytes())
    signing_key(other[0], paths[1])
    assert len(trusted_keys(paths[1]).keys) == 2


def test_other_kinds_of_key_are_refused(paths):
    signing_key(*paths)
    rsa = generate_private_key(65537, 2048)
    paths[0].write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(InvalidInput, match="Ed25519"):
        signing_key(*paths)
    paths[1].write_bytes(rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InvalidInput, match="Ed25519"):
        trusted_keys(paths[1])


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_file_without_keys_is_refused(tmp_path, content):
    path = tmp_path / "pub"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="pub"):
        trusted_keys(path)


def test_a_missing_public_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="nowhere"):
        trusted_keys(tmp_path / "nowhere")
