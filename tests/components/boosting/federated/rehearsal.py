"""Owners and an aggregator without connections, secure sums as they are, accidents at any step, and every sum seen.

Beside the real members, collector, owners and planner there is nothing here but who is lost when.
"""

import itertools
from collections.abc import Callable

import numpy as np

from components.boosting.federated import Agreement, train
from components.federated import Content, SecureBatch, TooFewMembers, least_survivors
from components.federated.answering import Answering
from components.federated.federation import Loss
from components.federated.identity import issued
from components.federated.member import Member
from components.federated.violation import ProtocolViolation
from components.parties.certificates import make_authority

PROJECT = make_authority()
IDENTITIES = {}

Loses = Callable[[int, str, str], bool]
"""(number of the exchange, step, owner) → whether it is lost."""


class Rehearsal:
    """The aggregator's end, as `Federation` is; `opened` are all sums it came to know: (batch, name, content, sum)."""

    timeout = patience = 0.0

    def __init__(
        self, owners: dict, *, loses: Loses = lambda number, step, name: False, hears: bool = False, roster: int = 0
    ):
        """`hears`: who is lost has heard what it was asked, and only its answer does not come.

        `roster` is the fewest that a sum may be asked of; all unless told.
        """
        self.roster = roster
        self.owners, self.loses, self.hears = owners, loses, hears
        self.members = tuple(sorted(owners))
        self.threshold = least_survivors(len(owners))
        self.authority, self.batches, self.run = PROJECT.certificate, itertools.count(), "run"
        self.losses: list[Loss] = []
        self.exchanges, self.traffic, self.opened = 0, (0, 0), []
        self.gone: set[str] = set()
        self.sessions = dict.fromkeys(owners, "first")
        for name in owners:
            IDENTITIES.setdefault(name, issued(name, PROJECT))
        self.ends = {name: self.end(name) for name in owners}

    def end(self, name: str) -> Answering:
        member = Member(
            IDENTITIES[name],
            authority=self.authority,
            members=self.members,
            threshold=self.threshold,
            run=self.run,
            roster=self.roster,
        )
        return Answering(member, self.owners[name].answers, self.owners[name].sums, "aggregator")

    def present(self) -> dict[str, str]:
        return {name: session for name, session in self.sessions.items() if name not in self.gone}

    def exclude(self, name: str, sentence: str) -> None:
        self.gone.add(name)
        self.losses.append(Loss(name, "excluded", sentence))

    def ask(self, question, content, *, members=None, sessions=None, check=lambda name, content: None):
        self.exchanges += 1
        answers = {}
        for name in self.present() if members is None else members:
            lost = self._lost(question, name)
            if lost and (name in self.gone or not self.hears):
                continue
            answer = self.owners[name].answers[question](content)
            if lost:
                continue
            try:
                check(name, answer)
                answers[name] = answer
            except ProtocolViolation as violation:
                self.exclude(name, str(violation))
        return answers

    def exchange(self, step, payloads, take, *, sessions, patience=0):
        self.exchanges += 1
        taken = []
        for name, (document, parts) in payloads.items():
            lost = name not in sessions or self._lost(step, name)
            if lost and (name not in sessions or name in self.gone or not self.hears):
                continue
            answer, octets = self.ends[name].answer(step, dict(document), [memoryview(part) for part in parts])
            if not lost:
                take(name, answer, [memoryview(octet) for octet in octets])
                taken.append(name)
        return taken

    def batch(self, *arguments, **options) -> SecureBatch:
        """A batch all sums of which are seen."""
        federation, number = self, len(self.opened)

        class Seen(SecureBatch):
            def sum(self, name, content=None, **about):
                one = super().sum(name, content, **about)
                federation.opened.append((number, name, content or Content(), one))
                return one

        return Seen(*arguments, **options)

    def _lost(self, step: str, name: str) -> bool:
        if name in self.gone:
            return True
        if self.loses(self.exchanges, step, name):
            self.losses.append(Loss(name, step, f"'{name}' is lost"))
            return True
        return False


def rehearsed(agreed: Agreement, owners: dict, *, loses=lambda number, step, name: False, hears=False, **options):
    """A training, or None where too few were left, and the rehearsal."""
    rehearsal = Rehearsal(owners, loses=loses, hears=hears)
    try:
        return train(rehearsal, agreed, batches=rehearsal.batch, **options), rehearsal
    except TooFewMembers:
        return None, rehearsal


def show_one_owner(*opened: list) -> bool:
    """Whether two sums that somebody knows are of the same question and of different owners.

    Nor may two sums of one batch be: what is below in a tree is of the same rows as what is above.
    """
    asked, batches, tree = {}, {}, -1
    for where, run in enumerate(opened):
        for batch, name, content, one in run:
            # Of one tree there are many levels, and of every round a loss.
            tree = content.document["number"] if name == "begin" else tree
            question = (tree, name, repr(content), None if content.array is None else content.array.tobytes())
            if asked.setdefault(question, one.survivors) != one.survivors:
                return True
            if batches.setdefault((where, batch), one.survivors) != one.survivors:
                return True
    return False


def difference(one, other) -> np.ndarray:
    """What two sums differ by."""
    return (one.total - other.total).view(np.int64)
