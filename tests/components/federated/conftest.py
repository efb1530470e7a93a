"""Members and a collector in one process, with members lost at any step; and owners as processes."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from components.federated.batch import Batch, least_survivors
from components.federated.channel import Files
from components.federated.collector import Collection, LaterSum, Sum
from components.federated.content import Content
from components.federated.federation import Federation
from components.federated.identity import Identity, issued
from components.federated.member import Member
from components.federated.secure_batch import SecureBatch
from components.federated.violation import ProtocolViolation
from components.parties.certificates import make_authority, pem

TRIAL = Path(__file__).with_name("trial_owner.py")
OWNERS = ("hospital", "insurer", "registry")
LENGTH = 50_000
VECTOR = np.arange(4, dtype=np.uint64)
FIRST, SECOND, THIRD = "owner00", "owner01", "owner02"
STEPS = ("advertise", "share", "receive", "mask", "sign", "unmask")


@dataclass
class Project:
    """An authority and parties it has certified, made as they are asked for."""

    authority: object = field(default_factory=make_authority)
    identities: dict[str, Identity] = field(default_factory=dict)

    def identity(self, name: str) -> Identity:
        if name not in self.identities:
            self.identities[name] = issued(name, self.authority)
        return self.identities[name]

    def member(self, name: str, names: tuple[str, ...], *, threshold: int | None = None, roster: int = 0) -> Member:
        return Member(
            self.identity(name),
            authority=self.authority.certificate,
            members=names,
            threshold=threshold or least_survivors(len(names)),
            run="run",
            roster=roster,
        )


@dataclass
class Trial:
    """A batch of some members. `heard` is every octet string the collector got: (step, message, sender, content)."""

    project: Project
    count: int = 3
    threshold: int | None = None
    messages: int = 1
    number: int = 0
    heard: list[tuple[str, int | None, str, bytes]] = field(default_factory=list)

    def __post_init__(self):
        self.names = tuple(f"owner{number:02}" for number in range(self.count))
        self.threshold = self.threshold or least_survivors(self.count)
        self.members = {name: self.project.member(name, self.names, threshold=self.threshold) for name in self.names}
        batch = Batch("run", self.number, self.names, self.threshold, self.messages)
        self.collection = Collection(batch, authority=self.project.authority.certificate)
        self.gone: set[str] = set()

    def there(self, names, lost: Mapping[str, str], step: str) -> list[str]:
        """Who of `names` still answers at a step; who is lost there is lost for good."""
        self.gone |= {name for name, when in lost.items() if when == step}
        return [name for name in names if name not in self.gone]

    def hear(self, step: str, name: str, content: bytes, message: int | None = None) -> bytes:
        self.heard.append((step, message, name, content))
        return content

    def set_up(self, lost: Mapping[str, str] | None = None) -> "Trial":
        """Keys and shares."""
        lost, collection = lost or {}, self.collection
        announcement = collection.announcement()
        for name in self.there(self.names, lost, "advertise"):
            collection.advertised(name, self.hear("advertise", name, self.members[name].advertise(announcement)))
        advertisements = collection.close_advertising()
        for name in self.there(collection.agreement.by_name, lost, "share"):
            collection.shared(name, self.hear("share", name, self.members[name].share(advertisements)))
        deliveries = collection.close_sharing()
        for name in self.there(collection.sharers, lost, "receive"):
            self.members[name].receive(deliveries[name])
        return self

    def sum(
        self,
        vectors: Mapping[str, np.ndarray],
        lost: Mapping[str, str] | None = None,
        *,
        message: int = 0,
        tamper: Callable[[str, str, bytes], bytes] = lambda step, name, content: content,
    ) -> Sum:
        """One sum; `lost` says at which step a member's answer is missing."""
        lost, summing = lost or {}, self.collection.sum(message, len(next(iter(vectors.values()))))
        for name in self.there(summing.of, lost, "mask"):
            content = self.hear("mask", name, self.members[name].mask(message, vectors[name]), message)
            summing.masked(name, tamper("mask", name, content))
        if isinstance(summing, LaterSum):
            return summing.close()
        survivors = summing.close_masked()
        for name in self.there(summing.survivors, lost, "sign"):
            content = self.hear("sign", name, self.members[name].sign(survivors), message)
            summing.signed(name, tamper("sign", name, content))
        signatures = summing.close_signed()
        for name in self.there(summing.survivors, lost, "unmask"):
            content = self.hear("unmask", name, self.members[name].unmask(signatures), message)
            summing.revealed(name, tamper("unmask", name, content))
        return summing.close()


class Talk:
    """One batch up to a step, with what the first member is about to get."""

    def __init__(self, trial, **options):
        self.trial = trial(**options)
        self.member, self.collection = self.trial.members[FIRST], self.trial.collection
        self.others = [name for name in self.trial.names if name != FIRST]

    def until(self, step: str) -> bytes:
        """The message with which the collector asks for `step`."""
        members, collection = self.trial.members, self.collection
        asked = collection.announcement()
        if step == "advertise":
            return asked
        for name in members:
            collection.advertised(name, members[name].advertise(asked))
        asked = collection.close_advertising()
        if step == "share":
            return asked
        for name in members:
            collection.shared(name, members[name].share(asked))
        deliveries = collection.close_sharing()
        for name in self.others:
            members[name].receive(deliveries[name])
        if step == "receive":
            return deliveries[FIRST]
        self.member.receive(deliveries[FIRST])
        self.summing = collection.sum(0, len(VECTOR))
        for name in members:
            self.summing.masked(name, members[name].mask(0, VECTOR))
        asked = self.summing.close_masked()
        if step == "sign":
            return asked
        self.signatures = {name: members[name].sign(asked) for name in members}
        for name, signature in self.signatures.items():
            self.summing.signed(name, signature)
        return self.summing.close_signed()

    def spent(self) -> bool:
        """Whether the first member ended its part: its secrets are gone and nothing more is answered."""
        with pytest.raises(ProtocolViolation, match="ended or never begun"):
            self.member.mask(0, VECTOR)
        return self.member._held is None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Site:
    """Certificates, an address, a federation, and owners' processes, of which none is left in the end."""

    def __init__(self, folder: Path):
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self.processes: dict[str, subprocess.Popen] = {}
        self.certify(folder / "files", [*OWNERS, "aggregator", "dealer"])

    @staticmethod
    def certify(folder: Path, names) -> None:
        """Write certificates and keys of an authority of their own."""
        authority = make_authority()
        folder.mkdir()
        (folder / "authority.pem").write_bytes(pem(authority.certificate))
        for name in names:
            certificate, key = authority.issue(name)
            (folder / f"{name}.pem").write_bytes(certificate)
            (folder / f"{name}.key").touch(mode=0o600)
            (folder / f"{name}.key").write_bytes(key)

    def files(self, name: str) -> Files:
        return Files(*(self.folder / "files" / file for file in (f"{name}.pem", f"{name}.key", "authority.pem")))

    def federation(self, **options) -> Federation:
        settings = {"members": OWNERS, "timeout": 4, "grace": 1, "patience": 20}
        files = self.files("aggregator")
        return Federation(name="aggregator", address=self.address, files=files, **settings | options)

    def sums(self, federation, messages=(0, 1), batch=None, patience=None) -> list[Sum]:
        """The sums of a batch, each compared with what it must be."""
        batch = batch or SecureBatch(federation, max(messages) + 1)
        results = []
        for message in messages:
            document = {"message": message, "length": LENGTH}
            result = batch.sum("vector", Content(document), message=message, length=LENGTH, patience=patience)
            np.testing.assert_array_equal(result.total, self.expected(result.survivors, message))
            results.append(result)
        return results

    def expected(self, survivors, message: int) -> np.ndarray:
        """What the vectors of `trial_owner.py` add up to."""
        once = sum((OWNERS.index(name) + 1) * (message + 1) for name in survivors)
        return np.arange(LENGTH, dtype=np.uint64) * np.uint64(len(survivors)) + np.uint64(once)

    def start(self, name: str, *, key: str = "", **job) -> subprocess.Popen:
        path = self.folder / f"{key or name}.json"
        common = {"name": name, "folder": str(self.folder / "files"), "address": self.address, "members": OWNERS}
        path.write_text(json.dumps(common | job))
        self.processes[key or name] = subprocess.Popen(
            [sys.executable, str(TRIAL), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self.processes[key or name]

    def start_all(self, **accidents) -> None:
        for name in OWNERS:
            self.start(name, accident=accidents.get(name, {}))

    def ending(self, name: str) -> dict:
        """The last line of a process that ends by itself."""
        out, err = self.processes[name].communicate(timeout=30)
        assert out.strip(), err
        return json.loads(out.strip().splitlines()[-1])

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def project() -> Project:
    return Project()


@pytest.fixture(scope="session")
def stranger() -> Project:
    """A project with an authority of its own."""
    return Project()


@pytest.fixture(scope="session")
def trial(project):
    """A function that makes a trial."""
    return lambda count=3, **options: Trial(project, count, **options)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()
