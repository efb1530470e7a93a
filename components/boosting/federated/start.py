"""How a training begins: owners describe themselves, find cut points together and add up their labels.

Each of the two searches is one batch of sums, so of one set of owners, which is kept before anything is revealed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np

from components.boosting.federated.admission import Admission, Described, rows_in_all
from components.boosting.federated.agreement import (
    Agreement,
    check_description,
    check_prepared,
    state_of,
    terms_document,
)
from components.boosting.federated.edges import find_edges
from components.boosting.federated.progress import CUTS, LABELS, Keep, Progress, begun_event, beside_event
from components.boosting.histogram import intercept
from components.errors import InvalidInput
from components.federated import Content, Federation, SecureBatch
from components.federated.quantiles import MOST_ROUNDS
from components.federated.selection import Selection, choose

ROOM_TO_GROW = 8
"""How many times their rows at the start owners may have later, where not all are there or what they have changes."""


def describe(federation: Federation, agreement: Agreement, **which) -> dict[str, Mapping]:
    """What owners (all that are there, unless told which) say of themselves now."""
    check = check_description(agreement.schema_.label.kind == "regression")
    answers = federation.ask("describe", Content(), check=check, **which)
    return {name: answer.document for name, answer in answers.items()}


def chosen(described: Described, selection: Selection, number: int) -> list[str]:
    """Names of those who take part in round `number`, by how many rows each has by now."""
    names = sorted(described)
    activity = np.array([described[name]["rows"] for name in names], dtype=np.int64)
    return [names[one] for one in choose(activity, selection, number)]


class Beginning:
    """Cut points and intercept of a training, as far as `progress` does not have them yet.

    `keep` is called with each event, and `progress` then takes it.
    """

    def __init__(
        self,
        federation: Federation,
        agreement: Agreement,
        progress: Progress,
        keep: Keep,
        said: Callable[..., None],
        batches: Callable[..., SecureBatch],
    ):
        self.federation, self.agreement, self.progress = federation, agreement, progress
        self.said, self.batches = said, batches
        self._keep = keep
        self._before, self._began, self._noted = federation.traffic, time.monotonic(), 0

    def run(self) -> tuple[Described, Admission]:
        """Find what is missing; what those who take part say of themselves, and who may."""
        self.agreement.require_possible()
        described = describe(self.federation, self.agreement)
        if not self.progress.terms:
            self._find_terms(described)
        admission = Admission(self.federation, self.agreement.terms(self.progress.terms), self.progress)
        described = (admission.admit_each if self.agreement.selection else admission.admit)(described)
        if not self.progress.margins:
            self._find_intercept(described)
        traffic = [end - begin for end, begin in zip(self.federation.traffic, self._before, strict=True)]
        self.record(beside_event(traffic, time.monotonic() - self._began))
        self.note_losses()
        return described, admission

    def note_losses(self) -> None:
        """Keep who was lost since they were last noted."""
        new = [asdict(one) for one in self.federation.losses[self._noted :]]
        self._noted += len(new)
        if new:
            self.record({"losses": new})

    def record(self, event: dict) -> None:
        """Keep an event, and go on from it."""
        self._keep(event)
        self.progress.take(event)

    def batch(self, unit: str, messages: int, roster: list[str] | None, **about) -> SecureBatch:
        """The sums of a unit of work, of the owners that it was begun with, if it was."""
        begun = self.progress.begun
        if begun and begun.unit == unit:
            about["only"] = begun.members
            about["sessions"] = {
                name: session
                for name, session in about.get("sessions", self.federation.present()).items()
                if name in begun.members
            }
        return self.batches(
            self.federation,
            messages,
            roster,
            opens=lambda members: self.record(begun_event(unit, members, roster)),
            **about,
        )

    def roster_of(self, unit: str, otherwise: list[str] | None) -> list[str] | None:
        """That which the unit was begun with, if it was."""
        begun = self.progress.begun
        return list(begun.roster) if begun and begun.unit == unit and begun.roster else otherwise

    def _find_terms(self, described: Described) -> None:
        agreement, selection = self.agreement, self.agreement.selection
        self._refuse_noise_twice()
        roster = self.roster_of(CUTS, _first_roster(described, agreement) if selection else None)
        taking_part = [described[name] for name in roster if name in described] if roster else described.values()
        rows, held_out = (sum(one[what] for one in taking_part) for what in ("rows", "held_out"))
        if rows == 0:
            raise InvalidInput("no owner has rows to train on; give at least one owner rows")
        stopping = agreement.parameters.early_stopping_rounds
        if stopping and held_out == 0:
            raise InvalidInput(
                f"early_stopping_rounds is {stopping} but no owner has selection rows to stop by; hold some out, or "
                "leave early_stopping_rounds empty"
            )
        agreement.require_many_rows(rows, len(roster or described))
        room = ROOM_TO_GROW if selection or len(described) < len(self.federation.members) else 1
        ranges = [one["label_range"] for one in described.values() if one.get("label_range")]
        label_range = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0.0, 1.0)
        edges, whole = agreement.public_edges(), True
        if agreement.searched():
            found, whole = find_edges(
                self.batch(CUTS, MOST_ROUNDS, roster),
                agreement,
                counted=lambda done, most: self.said(phase="cut points", done=done, most=most),
            )
            edges |= found
        document = terms_document(edges, rows_in_all(described) * room, label_range)
        agreement.terms(document)
        self.record({"terms": document, "short": not whole, "declared": [] if selection else sorted(described)})

    def _find_intercept(self, described: Described) -> None:
        agreement, progress = self.agreement, self.progress
        self._refuse_noise_twice()
        terms = agreement.terms(progress.terms)
        roster = self.roster_of(LABELS, _first_roster(described, agreement) if agreement.selection else None)
        asked = [name for name in (roster or described) if name in described]
        sessions = self.federation.present()
        prepared = self.federation.ask(
            "prepare", Content(progress.terms), members=asked, sessions=sessions, check=check_prepared
        )
        sessions = {name: sessions[name] for name in prepared}
        question = Content({"state": state_of(progress.terms)})
        batch = self.batch(LABELS, 1, roster, sessions=sessions)
        one = batch.sum("labels", question, message=0, length=2 + terms.outputs)
        rows, sums = sum(described[name]["rows"] for name in one.survivors), one.total.view(np.int64)[2:]
        if agreement.noise and agreement.schema_.label.kind != "regression":
            sums = sums.clip(0, rows)
        scores, margins = ([float(value) for value in values] for values in intercept(terms, sums, rows))
        self.record({"scores": scores, "margins": margins})

    def _refuse_noise_twice(self) -> None:
        if self.agreement.noise and self.progress.begun:
            raise InvalidInput(
                f"the training was stopped while owners were asked for {self.progress.begun.unit}; to ask again would "
                f"spend more than epsilon {self.agreement.noise.epsilon:g}. Train with another seed, which spends its "
                "own beside what was spent"
            )


def _first_roster(described: Described, agreement: Agreement) -> list[str]:
    """Who finds the cut points: as many more than take part in a round as it takes to have rows enough for them."""
    selection = agreement.selection
    while True:
        roster = chosen(described, selection, 0)
        rows = sum(described[name]["rows"] for name in roster)
        if rows >= agreement.rows_needed or len(roster) < selection.owners:
            return roster
        selection = selection.model_copy(update={"owners": selection.owners * 3 // 2 + 1})
