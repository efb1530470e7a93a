"""The aggregator's side of federated boosting: it grows trees from sums over the owners, and sees nothing else of them.

A round of boosting is one batch of masked sums: one for each level of each of its trees. An owner that is lost ends the
tree where it is: its deepest level with all its members' rows becomes the leaves. To grow the tree anew without it
would show the aggregator the same sums with and without one owner, whose own they differ by. The next tree begins with
whoever is there, and who comes back is first told the trees it missed.
Source: Bonawitz et al. 2017; Chen and Guestrin, KDD 2016, algorithms 1 and 3.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import xgboost

from components.boosting.federated.agreement import (
    Agreement,
    level_document,
    read_split,
    start_document,
    terms_document,
)
from components.boosting.federated.edges import find_edges
from components.boosting.histogram import Level, Planner, Terms, Tree, intercept, to_booster
from components.boosting.model import class_order
from components.errors import InvalidInput
from components.federated import Content, Federation, SecureBatch, Sum, TooFewMembers
from components.federated.selection import Selection, choose

CURVE_POINTS = 20
"""Rounds at which the loss on selection rows is summed, where nothing is stopped by it."""

ROOM_TO_GROW = 8
"""How many times their rows at the start owners may have later, where what they have changes from round to round."""

TREES_A_PIECE = 64
"""Trees that whoever comes back is told at a time: a document has a limit."""


@dataclass(frozen=True)
class Round:
    """What happened in one round of boosting: who was in all of its trees, who was lost, bytes, seconds.

    `loss` is the mean on the selection rows of those who took part; None where it was not measured. `cut_short` counts
    trees that ended before their last level because somebody was lost.
    """

    number: int
    members: tuple[str, ...]
    lost: tuple[str, ...]
    cut_short: int
    received: int
    sent: int
    seconds: float
    loss: float | None


@dataclass
class Progress:
    """A training so far, from which it can go on: terms, where boosting began, trees and rounds."""

    terms: dict
    scores: list[float]
    margins: list[float]
    trees: list[Tree] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)


Keep = Callable[[Progress], None]


def train(
    federation: Federation,
    agreement: Agreement,
    *,
    start: Progress | None = None,
    keep: Keep = lambda progress: None,
    said: Callable[..., None] = lambda **facts: None,
    begins: Callable[[int], None] = lambda number: None,
    batches: Callable[..., SecureBatch] = SecureBatch,
) -> Progress:
    """Train with the members of a federation.

    Parameters
    ----------
    start
        A training to go on with.
    keep, begins
        Called after, and before, each round.
    said
        Called with what there is to say of progress.
    batches
        What makes sums; only a simulation has another reason than secrecy.

    Raises
    ------
    TooFewMembers
        Fewer owners than the threshold are left; what was kept can be gone on with.
    InvalidInput
        Owners have no rows, or too few for the bins asked for; early stopping lacks selection rows.
    """
    progress = start or _begun(federation, agreement, said, batches)
    terms = agreement.terms(progress.terms)
    return _Training(federation, agreement.selection, terms, progress, keep, said, begins, batches).run()


def model_of(agreement: Agreement, progress: Progress, *, publish_sums: bool = False) -> xgboost.Booster:
    """The model, up to its best round where training was to stop early."""
    terms = agreement.terms(progress.terms)
    kept = len(progress.trees)
    if terms.parameters.early_stopping_rounds:
        kept = (_best_round(progress.rounds) + 1) * terms.outputs
    booster = to_booster(terms, np.array(progress.scores), progress.trees[:kept], publish_sums=publish_sums)
    booster.set_attr(classes=class_order(agreement.schema_.label))
    return booster


def _begun(federation: Federation, agreement: Agreement, said: Callable[..., None], batches) -> Progress:
    """Cut points and intercept, found together."""
    described = {name: one.document for name, one in federation.ask("describe", Content()).items()}
    roster = _first_roster(described, agreement) if agreement.selection else None
    taking_part = [described[name] for name in roster] if roster else list(described.values())
    rows, held_out = (sum(int(one[what]) for one in taking_part) for what in ("rows", "held_out"))
    declared = _rows_in_all(described) * (ROOM_TO_GROW if agreement.selection else 1)
    if rows == 0:
        raise InvalidInput("no owner has rows to train on; give at least one owner rows")
    if agreement.parameters.early_stopping_rounds and held_out == 0:
        raise InvalidInput(
            f"early_stopping_rounds is {agreement.parameters.early_stopping_rounds} but no owner has selection rows to "
            "stop by; hold some out, or leave early_stopping_rounds empty"
        )
    agreement.require_many_rows(rows)
    ranges = [one["label_range"] for one in described.values() if one.get("label_range")]
    label_range = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0.0, 1.0)
    edges = agreement.public_edges() | dict(
        find_edges(
            federation,
            agreement,
            batches,
            roster=roster,
            counted=lambda done, most: said(phase="cut points", done=done, most=most),
        )
    )
    document = terms_document(edges, declared, label_range)
    terms = agreement.terms(document)
    federation.ask("prepare", Content(document), members=roster)
    total = batches(federation, 1, roster).sum("labels", message=0, length=2 + terms.outputs).total.view(np.int64)
    scores, margins = intercept(terms, total[2:], int(total[0]))
    return Progress(document, [float(one) for one in scores], [float(one) for one in margins])


class _Training:
    """The rounds of one training; `_ready` are the processes (name → session) that know all trees there are."""

    def __init__(
        self,
        federation: Federation,
        selection: Selection | None,
        terms: Terms,
        progress: Progress,
        keep: Keep,
        said: Callable[..., None],
        begins: Callable[[int], None],
        batches: Callable[..., SecureBatch],
    ):
        self.federation, self.selection, self.terms, self.progress = federation, selection, terms, progress
        self.keep, self.said, self.begins, self.batches = keep, said, begins, batches
        self.planner = Planner(terms)
        self._ready: dict[str, str] = {}
        self._cut_short = 0

    def run(self) -> Progress:
        parameters, rounds = self.terms.parameters, self.progress.rounds
        stopping = parameters.early_stopping_rounds
        while len(rounds) < parameters.rounds:
            if stopping and rounds and rounds[-1].number - _best_round(rounds) >= stopping:
                break
            rounds.append(self._round(len(rounds)))
            self.keep(self.progress)
        return self.progress

    def _round(self, number: int) -> Round:
        began, losses, self._cut_short = time.monotonic(), len(self.federation.losses), 0
        self.begins(number)
        roster = self._roster(number)
        self._bring_up_to_date(roster)
        batch = self.batches(self.federation, self.terms.outputs * self.terms.parameters.max_depth + 1, roster)
        sent = received = batch.set_up_bytes // 2
        for output in range(self.terms.outputs):
            for one in self._tree(batch, number * self.terms.outputs + output, output):
                received, sent = received + one.received, sent + one.sent
        loss = None
        if self._is_measured(number):
            one = batch.sum("loss", message=self.terms.outputs * self.terms.parameters.max_depth, length=2)
            total, rows = one.total.view(np.int64).tolist()
            loss = total / self.terms.loss_scale / rows if rows else None
        self.said(tree=number + 1, members=len(batch.members), received=received, loss=loss)
        lost = tuple(sorted({one.name for one in self.federation.losses[losses:]}))
        return Round(
            number, batch.members, lost, self._cut_short, received, sent, round(time.monotonic() - began, 4), loss
        )

    def _tree(self, batch: SecureBatch, number: int, output: int) -> Sequence[Sum]:
        """Grow a tree; the sums it took."""
        start, sums = self.planner.begin(number), []
        slots = int(self.terms.cuts.starts(start.features)[-1])
        members, level = (), None
        for depth in range(self.terms.parameters.max_depth):
            what, wanted = ("begin", 1) if level is None else ("descend", len(level.wanted))
            document = start_document(start) if level is None else level_document(level)
            message = output * self.terms.parameters.max_depth + depth
            one = batch.sum(what, Content(document), message=message, length=wanted * slots * 2)
            sums.append(one)
            if level is not None and set(one.survivors) != set(members):
                # Rows of whoever is lost are in the sums above and not in these.
                self._cut_short += 1
                level = Level((), (), self.planner.tree.leaves())
                break
            members = one.survivors
            level = self.planner.receive(one.total.view(np.int64).reshape(wanted, slots, 2))
            if not level.wanted:
                break
        finished = self.federation.ask("finish", Content(level_document(level)), members=batch.members)
        self.progress.trees.append(self.planner.tree)
        # Who has no part in it must be told of it.
        self._ready = {name: session for name, session in self._ready.items() if name in finished}
        return sums

    def _roster(self, number: int) -> list[str]:
        """Who takes part in a round: all, or those chosen by what each says it has by now."""
        if self.selection is None:
            return list(self.federation.members)
        described = {name: one.document for name, one in self.federation.ask("describe", Content()).items()}
        self.terms.require_rows(_rows_in_all(described))
        roster = _chosen(described, self.selection, number)
        if len(roster) < self.selection.owners:
            raise TooFewMembers(
                f"{len(roster)} owners have rows where {self.selection.owners} a round are asked for; start others "
                "again, or ask for fewer"
            )
        return roster

    def _bring_up_to_date(self, roster: Collection[str]) -> None:
        """Tell the trees there are to everybody of the roster who does not know them."""
        there = self.federation.present()
        behind = [name for name in roster if name in there and self._ready.get(name) != there[name]]
        if not behind:
            return
        self.federation.ask("prepare", Content(self.progress.terms), members=behind)
        trees = [level_document(Level(tuple(tree.splits.values()), (), tree.leaves())) for tree in self.progress.trees]
        told = behind
        for first in range(0, max(1, len(trees)), TREES_A_PIECE):
            piece = trees[first : first + TREES_A_PIECE]
            known = Content({"margins": self.progress.margins, "first": first, "trees": piece})
            told = list(self.federation.ask("catch_up", known, members=told))
        self._ready |= {name: there[name] for name in told}

    def _is_measured(self, number: int) -> bool:
        rounds = self.terms.parameters.rounds
        every = 1 if self.terms.parameters.early_stopping_rounds else -(-rounds // CURVE_POINTS)
        return (number + 1) % every == 0 or number + 1 == rounds


def _first_roster(described: Mapping[str, Mapping], agreement: Agreement) -> list[str]:
    """Who finds the cut points: as many more than take part in a round as it takes to have rows enough for them."""
    selection = agreement.selection
    while True:
        roster = _chosen(described, selection, 0)
        rows = sum(int(described[name]["rows"]) for name in roster)
        if rows >= agreement.rows_needed or len(roster) < selection.owners:
            return roster
        selection = selection.model_copy(update={"owners": selection.owners * 3 // 2 + 1})


def _rows_in_all(described: Mapping[str, Mapping]) -> int:
    return sum(int(one["rows"]) + int(one["held_out"]) for one in described.values())


def _chosen(described: Mapping[str, Mapping], selection: Selection, number: int) -> list[str]:
    """Names of those who take part in round `number`, by how many rows each has by now."""
    names = sorted(described)
    activity = np.array([int(described[name]["rows"]) for name in names], dtype=np.int64)
    return [names[one] for one in choose(activity, selection, number)]


def _best_round(rounds: Sequence[Round]) -> int:
    """The first round with the least loss."""
    return int(np.argmin([np.inf if one.loss is None else one.loss for one in rounds]))


def to_document(progress: Progress) -> dict:
    """A training so far, JSON-ready: what an aggregator keeps to go on from. It holds sums, so it is not published."""
    return asdict(progress)


def read_progress(document: Mapping) -> Progress:
    """The training of a document."""
    trees = [
        Tree(
            **{name: value for name, value in one.items() if name not in ("splits", "gains", "sums")},
            sums=[tuple(pair) for pair in one["sums"]],
            splits={int(node): read_split(split) for node, split in one["splits"].items()},
            gains={int(node): gain for node, gain in one["gains"].items()},
        )
        for one in document["trees"]
    ]
    rounds = [
        Round(**{**one, "members": tuple(one["members"]), "lost": tuple(one["lost"])}) for one in document["rounds"]
    ]
    return Progress(document["terms"], document["scores"], document["margins"], trees, rounds)
