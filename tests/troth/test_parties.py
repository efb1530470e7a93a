"""`troth parties` as it is typed: what init leaves, and what check says of everything that can be wrong."""

import socket
import stat
import threading

import pytest
import yaml

from components.parties.certificates import make_authority, tls_context
from components.parties.file import read_parties


@pytest.fixture
def free():
    """A function that returns a port nobody uses."""

    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    return find


@pytest.fixture
def folder(troth, tmp_path, free):
    """A folder made by `troth parties init`."""
    path = tmp_path / "parties"
    hosts = [word for name in ("hospital", "insurer") for word in ("--host", f"{name}=127.0.0.1:{free()}")]
    said = troth("parties", "init", path, "--owner", "hospital", "--owner", "insurer", *hosts)
    assert said.code == 0, said.err
    return path


def test_init_says_who_gets_what(troth, tmp_path):
    words = (
        "--owner",
        "hospital",
        "--owner",
        "insurer",
        "--dealer",
        "notary",
        "--analyst",
        "insurer",
        "--timeout",
        "12",
    )
    said = troth("parties", "init", tmp_path / "p", *words)

    assert said.code == 0
    for word in ("'insurer' may open the model", "hospital.key", "insurer.pem", "notary", "keep_offline", "offline"):
        assert word in said.out
    parties = read_parties(tmp_path / "p")
    assert (parties.analyst, parties.dealer.name, parties.timeout) == ("insurer", "notary", 12)
    assert {stat.S_IMODE(key.stat().st_mode) for key in (tmp_path / "p").rglob("*.key")} == {0o600}


def test_init_replaces_nothing(troth, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    complaint = troth("parties", "init", folder, "--owner", "hospital", "--owner", "insurer").complaint

    assert str(folder) in complaint
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--owner", "hospital"], "two owners"),
        (["--owner", "hospital", "--owner", "hospital"], "'hospital' is named twice"),
        (["--owner", "hospital", "--owner", "dealer"], "'dealer' is named twice"),
        (["--owner", "hospital", "--owner", "The Insurer"], "'The Insurer'"),
        (["--owner", "hospital", "--owner", "insurer", "--host", "insurer=here"], "--host insurer=here"),
        (["--owner", "hospital", "--owner", "insurer", "--host", "insurer=here:99999"], "99999"),
        (["--owner", "hospital", "--owner", "insurer", "--host", "clinic=here:1"], "'clinic'"),
        (["--owner", "hospital", "--owner", "insurer", "--analyst", "clinic"], "'clinic'"),
        ([], "--owner"),
    ],
    ids=" ".join,
)
def test_init_of_what_makes_no_sense_leaves_nothing(troth, tmp_path, words, named):
    assert named in troth("parties", "init", tmp_path / "p", *words).complaint
    assert not (tmp_path / "p").exists()


def test_an_ipv6_address_in_brackets(troth, tmp_path):
    words = ("--owner", "hospital", "--owner", "insurer", "--host", "insurer=[::1]:7102")
    assert troth("parties", "init", tmp_path / "p", *words).code == 0
    assert (read_parties(tmp_path / "p").owners[1].address, read_parties(tmp_path / "p").owners[1].port) == (
        "::1",
        7102,
    )


def test_check_of_what_init_made(troth, folder):
    said = troth("parties", "check", folder)

    assert said.code == 0
    assert "in order" in said.out
    assert "warning" in said.out
    assert "keep_offline" in said.out


def test_on_a_party_s_machine_only_its_files_are_needed(troth, folder):
    for path in [*folder.glob("insurer.*"), *folder.glob("dealer.*"), *folder.glob("keep_offline/*")]:
        path.unlink()

    said = troth("parties", "check", folder, "--as", "hospital")
    assert said.code == 0
    assert "'insurer'" in said.out
    assert "nothing listens there" in said.out
    assert "keep_offline" not in said.out
    assert troth("parties", "check", folder).code == 2


def swap(folder):
    (folder / "hospital.key").write_bytes((folder / "insurer.key").read_bytes())


def expire(folder):
    authority = make_authority()
    certificate, key = authority.issue("hospital", days=0.01)
    (folder / "hospital.pem").write_bytes(certificate)
    (folder / "hospital.key").write_bytes(key)


def stop_time(folder):
    path = folder / "parties.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"timeout": "never"}))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda folder: (folder / "hospital.pem").unlink(), "hospital.pem is missing"),
        (lambda folder: (folder / "hospital.key").chmod(0o644), "chmod 600"),
        (swap, "does not belong to"),
        (expire, "expired on"),
        (expire, "not signed by"),
        (stop_time, "'timeout' is 'never'"),
        (lambda folder: (folder / "parties.yaml").unlink(), "does not exist"),
    ],
)
def test_check_names_what_is_wrong(troth, folder, harm, named):
    harm(folder)
    for words in ((), ("--as", "hospital")):
        said = troth("parties", "check", folder, *words)
        assert said.code == 2
        assert named in said.out + said.err


def test_check_as_nobody(troth, folder):
    assert "'clinic'" in troth("parties", "check", folder, "--as", "clinic").complaint


def test_check_names_a_port_in_use(troth, folder):
    place = yaml.safe_load((folder / "parties.yaml").read_text())["owners"][0]
    with socket.create_server((place["address"], place["port"])):
        said = troth("parties", "check", folder, "--as", "hospital")

    assert said.code == 2
    assert f"127.0.0.1:{place['port']}" in said.out


def serve(parties, files, check):
    """Run `check` while somebody with the files of `files` listens in place of the insurer; what it returns."""
    owner, holder = parties.owners[1], files
    context = tls_context(
        serve=True, certificate=holder[0].certificate, key=holder[0].key, authority=holder[1].authority
    )
    with socket.create_server((owner.address, owner.port)) as server:

        def answer():
            raw, _ = server.accept()
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                raw.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            return check()
        finally:
            thread.join(10)


def test_check_of_a_party_that_answers_and_of_one_with_others_files(troth, folder, tmp_path):
    parties = read_parties(folder)
    troth("parties", "init", tmp_path / "other", "--owner", "hospital", "--owner", "insurer")
    other = read_parties(tmp_path / "other")

    def check():
        return troth("parties", "check", folder, "--as", "hospital")

    said = serve(parties, (parties.owners[1], parties), check)
    assert said.code == 0
    assert "'insurer'" not in said.out
    # Its own name from another authority, the name of somebody else, and its own certificate with another trust.
    for files in ((other.owners[1], other), (parties.owners[0], parties), (parties.owners[1], other)):
        said = serve(parties, files, check)
        assert said.code == 2
        assert "party 'insurer'" in said.out
