"""Who is let in: parties of this project and roster, with the same settings, over TLS 1.3, and nobody else."""

import socket
import ssl
import time
from contextlib import suppress

import pytest

from components.errors import InvalidInput
from components.federated.channel import caller
from components.federated.federation import Federation
from components.federated.owner import AggregatorLost, Owner
from components.federated.violation import TooFewMembers

OWNERS = ("hospital", "insurer", "registry")


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_who_does_not_belong_is_turned_away_with_a_reason_and_disturbs_nobody(site, tmp_path):
    site.certify(tmp_path / "theirs", ["insurer"])
    site.start("hospital", gather=5)
    site.start("registry", gather=5)
    site.start("insurer", key="other authority", folder=str(tmp_path / "theirs"))
    site.start("insurer", key="other settings", agreement={"trees": 7}, gather=5)
    site.start("insurer", key="other members", members=("hospital", "insurer", "someone"))
    site.start("dealer", key="dealer", members=(*OWNERS, "dealer"))
    site.start("insurer", key="wrong aggregator", aggregator="registry")
    with site.federation(agreement={"trees": 5}) as federation:
        with pytest.raises(TooFewMembers, match="'hospital', 'insurer', 'registry' did not come"):
            federation.gather(0.1)
        assert "trees = None" in site.ending("hospital")["sentence"]
        for name in ("hospital", "registry"):
            site.start(name, agreement={"trees": 5})
        wait_for(lambda: sorted(federation.present()) == ["hospital", "registry"])
        assert site.sums(federation)[0].survivors == ("hospital", "registry")
    parts = {
        "other authority": "certificate",
        "other settings": "trees = 7 where here it is 5",
        "other members": "someone",
        "dealer": "none of the members",
        "wrong aggregator": "another certificate",
    }
    for key, part in parts.items():
        ending = site.ending(key)
        assert ending["ended"] == "AggregatorLost"
        assert part in ending["sentence"], ending


def test_only_tls_1_3_with_a_certificate_of_the_project_is_spoken(site):
    files = site.files("hospital")
    host, port = site.address.split(":")

    def call(**versions) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(str(files.authority))
        context.set_alpn_protocols(["h2"])
        if versions.pop("certificate", True):
            context.load_cert_chain(str(files.certificate), str(files.key))
        for name, value in versions.items():
            setattr(context, name, value)
        raw = socket.create_connection((host, int(port)), timeout=5)
        with raw, suppress(OSError), context.wrap_socket(raw, server_hostname="aggregator") as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            return connection.recv(100)
        return b""

    with site.federation():
        assert call(minimum_version=ssl.TLSVersion.TLSv1_3)
        assert not call(certificate=False)


@pytest.mark.parametrize(
    "shown",
    [
        {"ssl_tls_version": [b"TLSv1.2"], "x509_subject_alternative_name": [b"hospital"]},
        {"ssl_tls_version": [b"TLSv1.3"], "x509_subject_alternative_name": [b"hospital", b"insurer"]},
        {"ssl_tls_version": [b"TLSv1.3"], "x509_subject_alternative_name": [b"dealer"]},
        {"ssl_tls_version": [b"TLSv1.3"]},
        {"x509_subject_alternative_name": [b"hospital"]},
        {},
    ],
)
def test_a_caller_is_believed_by_one_name_over_tls_1_3_alone(shown):
    class Turned(Exception):
        pass

    class Call:
        def auth_context(self):
            return shown

        def abort(self, code, details):
            raise Turned(details)

    with pytest.raises(Turned):
        caller(Call(), OWNERS)


def test_an_address_in_use_is_refused(site):
    with site.federation(), pytest.raises(InvalidInput, match="cannot listen"):
        site.federation().__enter__()


def test_an_owner_whose_aggregator_is_not_there_says_so(site):
    owner = Owner(
        name="hospital",
        files=site.files("hospital"),
        address=site.address,
        aggregator="aggregator",
        members=OWNERS,
        gather=0.2,
    )
    with pytest.raises(AggregatorLost, match="does not answer"):
        owner.take_part()


def test_files_of_somebody_else_are_refused_before_anything_starts(site):
    with pytest.raises(InvalidInput, match="'registry', not of 'hospital'"):
        Owner("hospital", site.files("registry"), site.address, "aggregator", OWNERS)
    with pytest.raises(InvalidInput, match="nobody.pem is missing"):
        Federation("nobody", site.address, site.files("nobody"), OWNERS)
