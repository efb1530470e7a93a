"""The aggregator's side of federated boosting: it grows trees from sums over the owners, and sees nothing else of them.

A round of boosting is one batch of masked sums: one for each level of each of its trees, all of the same owners. Who is
lost before the first of them is done without; who is lost later ends the round where it is: the deepest level that has
the rows of all becomes the leaves. To sum a level, or grow the tree anew, without an owner whose rows are in the sums
above it would show what that owner gave. The next round begins with whoever is there, and who comes back is first told
the trees it missed. With whom a round is begun is kept before it is revealed (`progress`).
Source: Bonawitz et al. 2017; Chen and Guestrin, KDD 2016, algorithms 1 and 3.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from components.boosting.federated.admission import Admission, Described, largest, rows_in_all
from components.boosting.federated.agreement import (
    Agreement,
    check_empty,
    check_prepared,
    level_document,
    start_document,
    state_after,
    state_of,
)
from components.boosting.federated.model import digest_of, kept_trees, trained_text
from components.boosting.federated.progress import Keep, Progress, Round, beside_event, best_round, round_event
from components.boosting.federated.start import Beginning, chosen, describe
from components.boosting.histogram import Level, Planner, Tree
from components.federated import Content, Federation, SecureBatch, Sum, TooFewMembers

CURVE_POINTS = 20
"""Rounds at which the loss on selection rows is summed, where nothing is stopped by it."""

PIECE = 4 << 20
"""Octets of trees that whoever comes back is told at a time: a document has a limit."""


def train(
    federation: Federation,
    agreement: Agreement,
    *,
    start: Progress | None = None,
    keep: Keep = lambda event: None,
    said: Callable[..., None] = lambda **facts: None,
    begins: Callable[[int], None] = lambda number: None,
    batches: Callable[..., SecureBatch] = SecureBatch,
    teaches: bool = False,
) -> Progress:
    """Train with the members of a federation.

    Parameters
    ----------
    start
        A training to go on with.
    keep
        Called with each event, before anything follows from it; see `progress`.
    said
        Called with what there is to say of progress.
    begins
        Called before each round.
    batches
        What makes sums; only a simulation has another reason than secrecy.
    teaches
        Whether owners that are there make the model at the end, of the trees they know.

    Raises
    ------
    TooFewMembers
        Fewer owners than the threshold are left, or not those that were begun with; what was kept can be gone on with.
    InvalidInput
        Owners have no rows, or too few for the bins asked for; early stopping lacks selection rows; histograms would be
        too large to be sent.
    """
    progress = start or Progress()
    beginning = Beginning(federation, agreement, progress, keep, said, batches)
    training = _Training(beginning, *beginning.run(), begins)
    training.run()
    if teaches:
        training.teach()
    return progress


class _Training:
    """The rounds of one training; `_ready` are the processes (name → session) that know all trees there are."""

    def __init__(self, beginning: Beginning, described: Described, admission: Admission, begins: Callable[[int], None]):
        self.beginning, self.admission, self.begins = beginning, admission, begins
        self.federation, self.agreement, self.progress = beginning.federation, beginning.agreement, beginning.progress
        self.terms = self.agreement.terms(self.progress.terms)
        self.planner = Planner(self.terms)
        there = self.federation.present()
        self._described = dict(described)
        # Of processes that have come since, nothing is known yet.
        self._known = {name: there[name] for name in {*described, *admission.left_out} if name in there}
        self._ready: dict[str, str] = {}
        self._state = ""

    def run(self) -> None:
        parameters, rounds = self.terms.parameters, self.progress.rounds
        stopping = parameters.early_stopping_rounds
        if self.progress.begun and self.agreement.noise:
            # Noise would be drawn anew, and more be spent than was promised: the round counts as lost.
            lost = Round(len(rounds), self.progress.begun.members, (), self.terms.outputs, 0, 0, 0, 0.0, None)
            self.beginning.record(round_event(lost, [Tree() for _ in range(self.terms.outputs)]))
        self._state = state_of(self.progress.terms, self.progress.margins)
        for tree in self.progress.trees:
            self._note(tree)
        while len(rounds) < parameters.rounds:
            if stopping and rounds and rounds[-1].number - best_round(rounds) >= stopping:
                break
            self._round(len(rounds))

    def teach(self) -> None:
        """Tell whoever is there what it lacks of the model, and what that must come to."""
        progress, before, began = self.progress, self.federation.traffic, time.monotonic()
        digest = digest_of(trained_text(self.agreement, progress))
        said = {"trees": kept_trees(self.agreement, progress), "scores": progress.scores, "digest": digest}
        knows: set[str] = set()
        # Once more for those whose connection broke the first time.
        for _ in range(2):
            self._bring_up_to_date([name for name in self.federation.members if name not in knows])
            if missing := {name: session for name, session in self._ready.items() if name not in knows}:
                asked = {"members": missing, "sessions": missing, "check": check_empty}
                knows |= set(self.federation.ask("learn", Content(said), **asked))
        for name, sentence in self.admission.left_out.items():
            self.federation.exclude(name, sentence)
        traffic = [end - begin for end, begin in zip(self.federation.traffic, before, strict=True)]
        self.beginning.record(beside_event(traffic, time.monotonic() - began))
        self.beginning.note_losses()

    def _round(self, number: int) -> None:
        began, losses, before = time.monotonic(), len(self.federation.losses), self.federation.traffic
        self.begins(number)
        unit, depth, outputs = f"round {number + 1}", self.terms.parameters.max_depth, self.terms.outputs
        roster = self.beginning.roster_of(unit, self._roster(number))
        self._bring_up_to_date(roster or self.federation.members)
        batch = self.beginning.batch(unit, outputs * depth + 1, roster, sessions=self._ready_ones())
        trees, sums, cut_short = [], [], 0
        for output in range(outputs):
            tree, is_whole = (Tree(), False) if cut_short else self._tree(batch, number, output, sums)
            trees.append(tree)
            self._note(tree)
            cut_short += not is_whole
        loss = None if cut_short else self._loss(batch, number)
        if cut_short:
            # Nobody was told how it ended.
            self._ready = {}
        received, sent = (end - begin for end, begin in zip(self.federation.traffic, before, strict=True))
        lost = tuple(sorted({one.name for one in self.federation.losses[losses:]}))
        disputed = tuple(sorted({pair for one in sums for pair in one.disputed}))
        seconds = round(time.monotonic() - began, 4)
        rows = sum(self._described[name]["rows"] for name in batch.survivors)
        record = Round(number, batch.survivors, lost, cut_short, rows, received, sent, seconds, loss, disputed)
        self.beginning.record(round_event(record, trees))
        self.beginning.note_losses()
        self.beginning.said(tree=number + 1, members=len(batch.survivors), received=received, loss=loss)

    def _tree(self, batch: SecureBatch, number: int, output: int, sums: list[Sum]) -> tuple[Tree, bool]:
        """Grow a tree as far as all its owners are there; whether that was to its end."""
        start = self.planner.begin(number * self.terms.outputs + output)
        slots = int(self.terms.cuts.starts(start.features)[-1])
        level = None
        for depth in range(self.terms.parameters.max_depth):
            what, wanted = ("begin", 1) if level is None else ("descend", len(level.wanted))
            asked = Content(start_document(start, self._state) if level is None else level_document(level))
            message = output * self.terms.parameters.max_depth + depth
            try:
                sums.append(batch.sum(what, asked, message=message, length=wanted * slots * 2))
            except TooFewMembers:
                if not sums:
                    raise
                return self.planner.tree, False
            level = self.planner.receive(sums[-1].total.view(np.int64).reshape(wanted, slots, 2))
            if not level.wanted:
                break
        finished = self.federation.ask(
            "finish",
            Content(level_document(level)),
            members=batch.members,
            sessions=self._ready,
            check=check_empty,
        )
        # Who did not hear of it must be told, and cannot go on with the others until then.
        batch.members = tuple(name for name in batch.members if name in finished)
        self._ready = {name: session for name, session in self._ready.items() if name in finished}
        return self.planner.tree, True

    def _note(self, tree: Tree) -> None:
        """Where the training stands, one tree later."""
        self._state = state_after(self._state, list(tree.splits.values()), tree.leaves())

    def _loss(self, batch: SecureBatch, number: int) -> float | None:
        """The mean loss on selection rows, if it is time to ask, and all who took part can say."""
        rounds = self.terms.parameters.rounds
        every = 1 if self.terms.parameters.early_stopping_rounds else -(-rounds // CURVE_POINTS)
        if (number + 1) % every and number + 1 < rounds:
            return None
        try:
            asked = Content({"state": self._state})
            one = batch.sum("loss", asked, message=self.terms.outputs * self.terms.parameters.max_depth, length=1)
        except TooFewMembers:
            return None
        rows = sum(self._described[name]["held_out"] for name in one.survivors)
        return int(one.total.view(np.int64)[0]) / self.terms.loss_scale / rows if rows else None

    def _roster(self, number: int) -> list[str] | None:
        """Who takes part in a round: all (None), or those chosen by what each says it has by now."""
        selection = self.agreement.selection
        if selection is None:
            return None
        there = self.federation.present()
        said = describe(self.federation, self.agreement, sessions=there)
        self._described = self.admission.admit_each(said)
        self._known = {name: there[name] for name in self._described if name in there}
        while True:
            roster = chosen(self._described, selection, number)
            if len(roster) < selection.owners:
                raise TooFewMembers(
                    f"{len(roster)} owners have rows where {selection.owners} a round are asked for; start others "
                    "again, or ask for fewer"
                )
            if rows_in_all({name: self._described[name] for name in roster}) <= self.terms.rows:
                return roster
            most = largest(self._described, roster)
            self.admission.leave_out(most)
            del self._described[most]

    def _bring_up_to_date(self, roster: Collection[str]) -> None:
        """Tell the trees there are to everybody of the roster who does not know them."""
        there = self.federation.present()
        behind = [name for name in roster if name in there and self._ready.get(name) != there[name]]
        self._meet([name for name in behind if self._known.get(name) != there[name]], there)
        behind = [name for name in behind if name in self._described]
        if not behind:
            return
        ask, terms = self.federation.ask, Content(self.progress.terms)
        prepared = ask("prepare", terms, members=behind, sessions=there, check=check_prepared)
        for first in {answer.document["trees"] for answer in prepared.values()}:
            told = [name for name, answer in prepared.items() if answer.document["trees"] == first]
            for begin, piece in _pieces(self.progress.trees, first):
                known = Content({"margins": self.progress.margins, "first": begin, "trees": piece})
                told = list(ask("catch_up", known, members=told, sessions=there, check=check_empty))
            self._ready |= {name: there[name] for name in told}

    def _ready_ones(self) -> dict[str, str]:
        """Of those who know all trees, who is still there."""
        there = self.federation.present()
        return {name: session for name, session in self._ready.items() if there.get(name) == session}

    def _meet(self, names: Sequence[str], there: Mapping[str, str]) -> None:
        """Ask those who are new what they have; with whom sums could overflow, nothing is summed."""
        if not names:
            return
        said = describe(self.federation, self.agreement, members=names, sessions=there)
        self._known |= {name: there[name] for name in said}
        if self.agreement.selection:
            self._described |= self.admission.admit_each(said)
        else:
            self._described = self.admission.admit(said, self._described)


def _pieces(trees: Sequence[Tree], first: int) -> Iterator[tuple[int, list[dict]]]:
    """Trees from `first` on as documents, as many at a time as may be sent; one piece at least."""
    begin, piece, size = first, [], 0
    for number in range(first, len(trees)):
        tree = trees[number]
        document = level_document(Level(tuple(tree.splits.values()), (), tree.leaves()))
        octets = len(json.dumps(document))
        if piece and size + octets > PIECE:
            yield begin, piece
            begin, piece, size = number, [], 0
        piece.append(document)
        size += octets
    yield begin, piece
