"""Very many owners on one machine, of whom only those exist who are asked: their own code, without connections.

An owner is made when a round asks it and forgotten after it, as devices come and go. Certificates, keys and masks are
as between machines, so bytes and processor time are those of real owners; but all of it happens in one process, from
whose eyes nothing is hidden: it is for trying out, never for other people's rows.
"""

import itertools
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from cryptography import x509

from components.federated.answering import Answer, Answering, Vector
from components.federated.batch import least_survivors, survivors_of
from components.federated.collector import Sum
from components.federated.content import Content
from components.federated.federation import Loss, Payload, Take
from components.federated.frame import pack
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
        self._received = self._sent = 0

    @property
    def authority(self) -> x509.Certificate:
        return self._project.certificate

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent so far, as they would be between machines."""
        return self._received, self._sent

    def next_round(self) -> None:
        """Forget everybody: whoever is asked again comes as a new owner, with what it has by then."""
        self._there.clear()
        self._members.clear()
        self._round += 1

    def present(self) -> dict[str, str]:
        """Everybody who has anything now."""
        return dict.fromkeys(self._population.describe(), str(self._round))

    def ask(
        self,
        question: str,
        content: Content,
        *,
        members: Iterable[str] | None = None,
        sessions: Mapping[str, str] | None = None,
        check: Callable[[str, Content], None] = lambda name, content: None,
    ) -> dict[str, Content]:
        """Answers to a question; what all say of themselves is known without making them."""
        if members is None:
            answers = dict(self._population.describe()) if question == "describe" else {}
        else:
            answers = {name: self._owner(name).answers[question](content) for name in members}
        for name, answer in answers.items():
            check(name, answer)
        # Very many answers are as long as one of them.
        said = next(iter(answers.values()), Content())
        self._count(said.written(), content.written(), len(answers))
        return answers

    def exchange(self, step: str, payloads: Mapping[str, Payload], take: Take, **about) -> list[str]:
        """Let each take its step in a secure sum, one after the other."""
        for name, (document, parts) in payloads.items():
            if step == "advertise":
                self._members[name] = self._member(name, tuple(payloads))
            owner = self._owner(name)
            answering = Answering(self._members[name], owner.answers, owner.sums, AGGREGATOR)
            answer, octets = answering.answer(step, dict(document), [memoryview(part) for part in parts])
            self._count((answer, octets), (document, parts), 1)
            take(name, answer, [memoryview(part) for part in octets])
        return list(payloads)

    def vector(self, name: str, handler: str, content: Content) -> np.ndarray:
        """What an owner would give to a sum, in the open."""
        vector = self._owner(name).sums[handler](content)
        self._count(({}, [vector.data.cast("B")]), content.written(), 1)
        return vector

    def _count(self, received: Payload, sent: Payload, times: int) -> None:
        self._received += len(pack("", *received)) * times
        self._sent += len(pack("", *sent)) * times

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
            threshold=survivors_of(len(roster), members=len(self.members), threshold=self.threshold),
            run=self.run,
        )


class OpenBatch:
    """Sums in the open, else as `SecureBatch`: for a simulation only, where nobody else is there to hide from."""

    def __init__(
        self,
        federation: SimulatedFederation,
        messages: int,
        roster: Collection[str],
        *,
        opens: Callable[[tuple[str, ...]], None] = lambda survivors: None,
        **about,
    ):
        self._federation, self.members = federation, tuple(sorted(roster))
        self.survivors, self._number = self.members, next(federation.batches)
        opens(self.members)

    def sum(self, name: str, content: Content | None = None, *, message: int, length: int) -> Sum:
        """The sum of what the members' handlers `name` return."""
        total, asked = np.zeros(length, dtype=np.uint64), replace(content or Content(), batch=self._number)
        for member in self.members:
            total += self._federation.vector(member, name, asked)
        return Sum(total, message, self.members, self.members, (), total.nbytes * len(self.members), 0)
