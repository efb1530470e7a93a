"""Very many owners on one machine, of whom only those exist who are asked: their own code, without connections.

An owner is made when a round asks it and forgotten after it, as devices come and go. Certificates, keys and masks are
as between machines, so bytes and processor time are those of real owners; but all of it happens in one process, from
whose eyes nothing is hidden: it is for trying out, never for other people's rows.
"""

import itertools
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import numpy as np
from cryptography import x509

from components.federated.answering import Answer, Answering, Vector
from components.federated.batch import least_survivors
from components.federated.collector import Sum
from components.federated.content import Content
from components.federated.federation import Loss, Payload, Take
from components.federated.identity import issued
from components.federated.member import Member
from components.parties.certificates import make_authority

AGGREGATOR = "aggregator"


class Handlers(Protocol):
    """What an owner answers."""

    answers: Mapping[str, Answer]
    sums: Mapping[str, Vector]


class Population(Protocol):
    """All owners there could be: what those say of themselves who have anything now, and each of them when asked."""

    def describe(self) -> Mapping[str, Content]: ...

    def owner(self, name: str) -> Handlers: ...


class SimulatedFederation:
    """The aggregator's end, as `Federation` is; nobody is ever lost."""

    def __init__(self, population: Population, members: Collection[str]):
        self.members, self.threshold = tuple(sorted(members)), least_survivors(len(members))
        self.run, self.batches, self.losses = secrets.token_hex(16), itertools.count(), list[Loss]()
        self.timeout = self.patience = 0.0
        self._population, self._project, self._round = population, make_authority(), 0
        self._there: dict[str, Handlers] = {}
        self._members: dict[str, Member] = {}

    @property
    def authority(self) -> x509.Certificate:
        return self._project.certificate

    def next_round(self) -> None:
        """Forget everybody: whoever is asked again comes as a new owner, with what it has by then."""
        self._there.clear()
        self._members.clear()
        self._round += 1

    def present(self) -> dict[str, str]:
        """Everybody who has anything now."""
        return dict.fromkeys(self._population.describe(), str(self._round))

    def ask(self, question: str, content: Content, *, members: Iterable[str] | None = None) -> dict[str, Content]:
        """Answers to a question; what all say of themselves is known without making them."""
        if members is None:
            return dict(self._population.describe()) if question == "describe" else {}
        return {name: self._owner(name).answers[question](content) for name in members}

    def exchange(self, step: str, payloads: Mapping[str, Payload], take: Take, **about) -> list[str]:
        """Let each take its step in a secure sum, one after the other."""
        for name, (document, parts) in payloads.items():
            if step == "advertise":
                self._members[name] = self._member(name, tuple(payloads))
            owner = self._owner(name)
            answering = Answering(self._members[name], owner.answers, owner.sums, AGGREGATOR)
            answer, octets = answering.answer(step, dict(document), [memoryview(part) for part in parts])
            take(name, answer, [memoryview(part) for part in octets])
        return list(payloads)

    def vector(self, name: str, handler: str, content: Content) -> np.ndarray:
        """What an owner would give to a sum, in the open."""
        return self._owner(name).sums[handler](content)

    def _owner(self, name: str) -> Handlers:
        if name not in self._there:
            self._there[name] = self._population.owner(name)
        return self._there[name]

    def _member(self, name: str, roster: tuple[str, ...]) -> Member:
        # To know all names there are would take each of very many members as much memory as there are members.
        return Member(
            issued(name, self._project),
            authority=self.authority,
            members=roster,
            threshold=least_survivors(len(roster)),
            run=self.run,
        )


class OpenBatch:
    """Sums in the open, else as `SecureBatch`: for a simulation only, where nobody else is there to hide from."""

    set_up_bytes = 0

    def __init__(self, federation: SimulatedFederation, messages: int, roster: Collection[str]):
        self._federation, self.members = federation, tuple(sorted(roster))
        self.number = next(federation.batches)

    def sum(self, name: str, content: Content | None = None, *, message: int, length: int) -> Sum:
        """The sum of what the members' handlers `name` return."""
        total = np.zeros(length, dtype=np.uint64)
        for member in self.members:
            total += self._federation.vector(member, name, content or Content())
        return Sum(total, message, self.members, self.members, (), total.nbytes * len(self.members), 0)
