"""Who takes part, where each listens and by which certificate it is known: the file `parties.yaml`.

Every party has the same copy; names of certificates and keys are relative to it, so each machine needs, of the files
beside it, only the authority's certificate and its own two. The dealer listens nowhere: it dials every owner.
"""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.data.schema import read_yaml, validated
from components.errors import InvalidInput
from components.parties.certificates import make_authority, pem, private_pem
from components.secret_file import create_once

FILE = "parties.yaml"
FIRST_PORT = 7101
OFFLINE = "keep_offline"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
"""Lower case, digits and hyphens: a name that a certificate can carry."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dealer(_Section):
    """Who hands out correlated randomness, and must not be run by any of the owners."""

    name: Name
    certificate: Path
    key: Path


class Owner(_Section):
    """A data owner; others reach it at `address`:`port`, and it binds `listen` where that differs."""

    name: Name
    address: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    listen: str | None = None
    certificate: Path
    key: Path

    @property
    def place(self) -> str:
        """Where others reach it."""
        return _place(self.address, self.port)

    @property
    def listens_at(self) -> str:
        """What it binds."""
        return _place(self.listen or self.address, self.port)


class Aggregator(Owner):
    """Who adds up masked sums in mode `federated`; owners dial it at `address`:`port`, and nobody else listens."""


class Parties(_Section):
    """All parties of a project; an owner's number in the protocols is its position.

    `timeout`: seconds without a sign of life after which a party is given up; `gather`: seconds to wait at the start
    until all are there; `analyst`: the owner who may open the model; `threshold`: owners that must be left for a masked
    sum to be opened, more than half unless told.
    """

    analyst: Name
    timeout: float = Field(default=30, ge=1, le=3600)
    gather: float = Field(default=600, ge=1, le=86400)
    threshold: int | None = None
    authority: Path
    owners: tuple[Owner, ...] = Field(min_length=2)
    dealer: Dealer
    aggregator: Aggregator | None = None

    @model_validator(mode="after")
    def _everybody_once(self) -> Self:
        names = [member.name for member in self.members]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"'{min(twice)}' is named twice; everybody needs a name of their own")
        places = [member.place for member in self.members if isinstance(member, Owner)]
        if twice := {place for place in places if places.count(place) > 1}:
            raise ValueError(f"two parties listen at {min(twice)}; give each a port of its own")
        if self.analyst not in self.names:
            raise ValueError(f"'analyst' is '{self.analyst}', which is no owner; use one of {', '.join(self.names)}")
        if self.threshold is not None and not len(self.owners) // 2 < self.threshold <= len(self.owners):
            raise ValueError(
                f"'threshold' is {self.threshold} of {len(self.owners)} owners; use {len(self.owners) // 2 + 1} to "
                f"{len(self.owners)}, so that no two sets of survivors can both have that many"
            )
        return self

    @property
    def names(self) -> list[str]:
        """The owners' names, by number."""
        return [owner.name for owner in self.owners]

    @property
    def members(self) -> list[Owner | Dealer]:
        """Owners, dealer, and aggregator where there is one."""
        return [*self.owners, self.dealer, *([self.aggregator] if self.aggregator else [])]

    def member(self, name: str) -> Owner | Dealer:
        """The entry of an owner, the dealer or the aggregator.

        Raises
        ------
        InvalidInput
            Nobody has that name.
        """
        for member in self.members:
            if member.name == name:
                return member
        known = ", ".join(member.name for member in self.members)
        raise InvalidInput(f"'{name}' is none of the parties; use one of {known}")

    def title(self, name: str) -> str:
        """How sentences speak of a member: with its name and its place."""
        match self.member(name):
            case Aggregator(place=place):
                return f"aggregator '{name}' ({place})"
            case Owner(place=place):
                return f"party '{name}' ({place})"
            case _:
                return f"dealer '{name}'"


def listen(owner: Owner) -> socket.socket:
    """The socket on which an owner is found.

    Raises
    ------
    InvalidInput
        The address is not this machine's, or the port is taken.
    """
    address = owner.listen or owner.address
    try:
        family = socket.getaddrinfo(address, owner.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, owner.port), family=family, backlog=64)
    except OSError as error:
        raise InvalidInput(
            f"party '{owner.name}' cannot listen at {address}:{owner.port} ({(error.strerror or str(error)).lower()}); "
            "end what uses the port, or correct 'address', 'listen' and 'port' in parties.yaml"
        ) from None


def read_parties(path: Path) -> Parties:
    """The parties of a file, or of the `parties.yaml` in a folder; file names in it become absolute.

    Raises
    ------
    InvalidInput
        The file is missing or makes no sense; the sentence names file and key.
    """
    path = path / FILE if path.is_dir() else path
    parties = validated(Parties, read_yaml(path, what="parties"), path)
    folder = path.resolve().parent
    return parties.model_copy(
        update={
            "authority": folder / parties.authority,
            "owners": tuple(_placed(owner, folder) for owner in parties.owners),
            "dealer": _placed(parties.dealer, folder),
            "aggregator": parties.aggregator and _placed(parties.aggregator, folder),
        }
    )


def make_parties(
    folder: Path,
    owners: Sequence[str],
    *,
    dealer: str = "dealer",
    aggregator: str | None = None,
    analyst: str | None = None,
    threshold: int | None = None,
    hosts: Mapping[str, tuple[str, int]] | None = None,
    timeout: float = 30,
    gather: float = 600,
) -> Parties:
    """A new project: an authority, a key and a certificate for everybody, and `parties.yaml`, in an empty `folder`.

    Parameters
    ----------
    aggregator
        Its name, where owners are to train in mode `federated` too; `threshold` is of its sums.
    hosts
        Address and port by owner, and of the aggregator; the others get this machine and ports from 7101 on.

    Raises
    ------
    InvalidInput
        A name or address makes no sense, or the folder is not empty: nothing is ever written over.
    """
    hosts = dict(hosts or {})
    if len(owners) < 2:
        raise InvalidInput(f"{len(owners)} owner is named; secrets are kept between two owners at least")
    if strangers := sorted(hosts.keys() - {*owners, aggregator}, key=str):
        raise InvalidInput(
            f"'{strangers[0]}' has an address but is no owner or aggregator; the dealer needs none, for it only dials"
        )
    if threshold and not aggregator:
        raise InvalidInput("'threshold' is of an aggregator's sums, and none is named; name an 'aggregator' too")
    document = {
        "analyst": analyst or (owners[0] if owners else ""),
        "timeout": timeout,
        "gather": gather,
        "authority": "authority.pem",
        "owners": [
            {"name": name, **_address(hosts.get(name), number), **_files(name)} for number, name in enumerate(owners)
        ],
        "dealer": {"name": dealer, **_files(dealer)},
    }
    if aggregator:
        place = _address(hosts.get(aggregator), len(owners))
        document |= {"threshold": threshold} if threshold else {}
        document["aggregator"] = {"name": aggregator, **place, **_files(aggregator)}
    parties = validated(Parties, document, folder / FILE)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there and not an empty folder; choose a new one, keys are never replaced")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = make_authority()
    create_once(folder / OFFLINE / "authority.key", private_pem(authority.key))
    create_once(folder / parties.authority, pem(authority.certificate))
    for member in parties.members:
        certificate, key = authority.issue(member.name)
        create_once(folder / member.certificate, certificate)
        create_once(folder / member.key, key)
    create_once(folder / FILE, yaml.safe_dump(document, sort_keys=False).encode())
    return read_parties(folder)


def _address(host: tuple[str, int] | None, number: int) -> dict:
    address, port = host or ("127.0.0.1", FIRST_PORT + number)
    return {"address": address, "port": port}


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _files(name: str) -> dict:
    return {"certificate": f"{name}.pem", "key": f"{name}.key"}


def _placed(member, folder: Path):
    return member.model_copy(update={"certificate": folder / member.certificate, "key": folder / member.key})
