"""Keys and certificates: what they carry, who may read them, and every way in which they can be the wrong ones."""

import datetime
import ssl
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from components.parties.certificates import DAYS, faults, make_authority, named_in, pem, tls_context


@pytest.fixture
def files(tmp_path):
    """A function that writes authority, certificate and key of a party, and returns the three paths."""
    authority = make_authority()

    def write(name="hospital", *, authority=authority, days=DAYS, folder="files"):
        paths = [tmp_path / folder / one for one in (f"{name}.pem", f"{name}.key", "authority.pem")]
        paths[0].parent.mkdir(exist_ok=True)
        contents = [*authority.issue(name, days=days), pem(authority.certificate)]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        paths[1].chmod(0o600)
        return paths

    return write


def test_files_made_together_are_in_order(files):
    assert faults("hospital", *files()) == []


def test_a_certificate_carries_one_name_and_ends_in_time(files):
    certificate = x509.load_pem_x509_certificate(files("insurer")[0].read_bytes())

    assert named_in(certificate) == ["insurer"]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= datetime.timedelta(days=825)
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_no_two_keys_are_alike(files):
    assert files(folder="one")[1].read_bytes() != files(folder="two")[1].read_bytes()


def test_the_wrong_files_are_named(files):
    certificate, key, authority = files()
    other_certificate, other_key, _ = files("insurer")
    *_, foreign = files("registry", authority=make_authority(), folder="elsewhere")

    assert str(other_key) in faults("hospital", certificate, other_key, authority)[0]
    assert "'insurer', not of 'hospital'" in faults("hospital", other_certificate, other_key, authority)[0]
    assert str(foreign) in faults("hospital", certificate, key, foreign)[0]


def test_an_expired_certificate_is_named_with_its_day(files):
    certificate, key, authority = files(days=0.02)
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1) + datetime.timedelta(days=0.02)

    (sentence,) = faults("hospital", certificate, key, authority)
    assert f"{certificate} expired on {ended:%Y-%m-%d}" in sentence


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_or_damaged_file_is_named(files, which):
    paths = files()
    content = paths[which].read_bytes()
    paths[which].write_bytes(content[: len(content) // 2])
    assert str(paths[which]) in faults("hospital", *paths)[0]
    paths[which].unlink()
    assert f"{paths[which]} is missing" in faults("hospital", *paths)[0]


def test_a_key_that_others_can_read(files):
    paths = files()
    paths[1].chmod(0o640)

    (sentence,) = faults("hospital", *paths)
    assert f"chmod 600 {paths[1]}" in sentence
    assert stat.S_IMODE(paths[1].stat().st_mode) == 0o640


@pytest.mark.parametrize("serve", [True, False])
def test_nothing_older_than_tls_1_3_and_nobody_unverified(files, serve):
    certificate, key, authority = files()
    context = tls_context(serve=serve, certificate=certificate, key=key, authority=authority)

    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname == (not serve)
    assert len(context.get_ca_certs()) == 1
