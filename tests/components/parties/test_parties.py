"""The file `parties.yaml`: what `make_parties` writes, and the sentence for everything that can be wrong in it."""

import stat

import pytest
import yaml

from components.errors import InvalidInput
from components.parties.certificates import faults
from components.parties.file import make_parties, read_parties


@pytest.fixture
def folder(tmp_path):
    make_parties(tmp_path / "parties", ["hospital", "insurer"], hosts={"insurer": ("10.0.0.7", 7500)})
    return tmp_path / "parties"


def test_everybody_has_a_place_and_files_that_fit(folder):
    parties = read_parties(folder)

    assert parties.names == ["hospital", "insurer"]
    assert [owner.place for owner in parties.owners] == ["127.0.0.1:7101", "10.0.0.7:7500"]
    assert (parties.analyst, parties.dealer.name) == ("hospital", "dealer")
    for member in (*parties.owners, parties.dealer):
        assert faults(member.name, member.certificate, member.key, parties.authority) == []


def test_keys_are_for_their_owner_alone(folder):
    keys = list(folder.rglob("*.key"))

    assert {key.name for key in keys} == {"hospital.key", "insurer.key", "dealer.key", "authority.key"}
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert {stat.S_IMODE(one.stat().st_mode) for one in (folder, folder / "keep_offline")} == {0o700}


def test_nothing_is_ever_replaced(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InvalidInput, match=str(folder)):
        make_parties(folder, ["hospital", "insurer"])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timout": 3}, "'timout'"),
        ({"timeout": "soon"}, "'timeout' is 'soon'"),
        ({"timeout": 0}, "'timeout' is 0"),
        ({"analyst": "registry"}, "'analyst' is 'registry'"),
        ({"analyst": "dealer"}, "'analyst' is 'dealer'"),
        ({"dealer": {"name": "hospital", "certificate": "a", "key": "b"}}, "'hospital' is named twice"),
        ({"dealer": None}, "'dealer'"),
        ({"owners": []}, "'owners'"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_named_with_its_file(folder, change, named):
    path = folder / "parties.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))

    with pytest.raises(InvalidInput) as refused:
        read_parties(folder)
    assert named in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"port": 7101}, "127.0.0.1:7101"),
        ({"port": 70000}, "'owners.1.port' is 70000"),
        ({"name": "The Insurer"}, "'owners.1.name' is 'The Insurer'"),
        ({"colour": "red"}, "'owners.1.colour'"),
    ],
    ids=str,
)
def test_an_owner_that_makes_no_sense(folder, change, named):
    path = folder / "parties.yaml"
    document = yaml.safe_load(path.read_text())
    document["owners"][1] = document["owners"][1] | {"address": "127.0.0.1"} | change
    path.write_text(yaml.safe_dump(document))

    with pytest.raises(InvalidInput) as refused:
        read_parties(folder)
    assert named in str(refused.value)


def test_a_name_that_is_none_of_theirs(folder):
    with pytest.raises(InvalidInput, match="'registry'.*hospital, insurer, dealer"):
        read_parties(folder).member("registry")


def test_an_address_for_nobody(tmp_path):
    with pytest.raises(InvalidInput, match="'dealer'"):
        make_parties(tmp_path / "p", ["hospital", "insurer"], hosts={"dealer": ("127.0.0.1", 1)})
    assert not (tmp_path / "p").exists()


def test_the_example_that_is_shipped_makes_sense(tmp_path):
    from pathlib import Path

    example = Path(__file__).parents[3] / "deploy" / "parties.example.yaml"
    assert read_parties(example).names == ["hospital", "insurer"]
