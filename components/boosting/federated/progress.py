"""A training so far, as the events that made it: what an aggregator keeps, one line each, and goes on from.

With whom something is begun is kept before anybody is asked to reveal anything of it. So a run that was stopped in the
middle goes on with the same owners or not at all: the same sums with fewer would show what those who left gave.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.boosting.federated.agreement import read_split
from components.boosting.histogram import Tree
from components.secret_file import create_once

CUTS, LABELS = "cut points", "labels"


@dataclass(frozen=True)
class Round:
    """What happened in one round of boosting: of whom its sums are, who was lost, training rows, bytes, seconds.

    Who is among both was lost in the middle. `loss` is the mean on the selection rows of `members`; None where it was
    not measured. `cut_short` counts trees that ended before their last level because somebody was lost. `disputed` are
    pairs (dealer, giver) of owners one of whom lied about a share, and was found out.
    """

    number: int
    members: tuple[str, ...]
    lost: tuple[str, ...]
    cut_short: int
    rows: int
    received: int
    sent: int
    seconds: float
    loss: float | None
    disputed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Begun:
    """A unit of work that was begun and not finished: with whom, of which roster."""

    unit: str
    members: tuple[str, ...]
    roster: tuple[str, ...] | None


@dataclass
class Progress:
    """A training so far: terms, where boosting began, trees and rounds; `begun` is not finished.

    `declared` are the owners whose rows and labels the terms allow for, `losses` who took no part in something and why.
    `traffic` are bytes (received, sent) and `seconds` the time of no round: before the first, before going on, after
    the last; `cut_points_short` says that the search for cut points ended early because somebody was lost.
    """

    terms: dict = field(default_factory=dict)
    declared: tuple[str, ...] = ()
    scores: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    traffic: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    cut_points_short: bool = False
    trees: list[Tree] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    begun: Begun | None = None
    losses: list[dict] = field(default_factory=list)

    def take(self, event: Mapping) -> None:
        """Go one event further."""
        match event:
            case {"begun": unit, "members": members, "roster": roster}:
                self.begun = Begun(unit, tuple(members), None if roster is None else tuple(roster))
                return
            case {"losses": losses}:
                self.losses += losses
                return
            case {"beside": traffic, "seconds": seconds}:
                self.spend(traffic, seconds)
                return
            case {"terms": terms, "short": short, "declared": declared}:
                self.terms, self.cut_points_short, self.declared = terms, short, tuple(declared)
            case {"scores": scores, "margins": margins}:
                self.scores, self.margins = scores, margins
            case {"round": record, "trees": trees}:
                self.rounds.append(_read_round(record))
                self.trees += map(_read_tree, trees)
        self.begun = None

    def spend(self, traffic: Sequence[int], seconds: float) -> None:
        """Count bytes (received, sent) and time that were of no round."""
        self.traffic = tuple(before + more for before, more in zip(self.traffic, traffic, strict=True))
        self.seconds += seconds


Keep = Callable[[dict], None]
"""Called with each event, JSON-ready; what it returned from is kept. Events hold sums, so they are not published."""


def begun_event(unit: str, members: Sequence[str], roster: Iterable[str] | None) -> dict:
    """That `unit` is now revealed to be of `members`."""
    return {"begun": unit, "members": list(members), "roster": None if roster is None else sorted(roster)}


def beside_event(traffic: Sequence[int], seconds: float) -> dict:
    """That so many bytes (received, sent) and seconds went into what is of no round."""
    return {"beside": list(traffic), "seconds": round(seconds, 4)}


def round_event(record: Round, trees: Sequence[Tree]) -> dict:
    """That a round ended."""
    return {"round": vars(record), "trees": [_tree_document(tree) for tree in trees]}


def best_round(rounds: Sequence[Round]) -> int:
    """The first round with the least loss, of those with the owners of the last: losses on others' rows say nothing.

    The last of all where no loss was measured.
    """
    measured = [one for one in rounds if one.loss is not None]
    comparable = [one for one in measured if one.members == measured[-1].members]
    return min(comparable, key=lambda one: one.loss).number if comparable else len(rounds) - 1


def progress_of(events: Iterable[Mapping]) -> Progress:
    """The training of events in their order."""
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress


def read_progress(path: Path) -> Progress:
    """The training of a file of events; a last line that was not finished counts for nothing, and is taken away."""
    if not path.exists():
        return Progress()
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return progress_of(map(json.loads, whole.splitlines()))


def kept_in(path: Path) -> Keep:
    """Keep events in a file, readable by its owner alone, each on the disk before anything else happens."""
    create_once(path, b"")

    def keep(event: dict) -> None:
        with path.open("ab") as file:
            file.write(json.dumps(event, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    return keep


def _read_round(record: Mapping) -> Round:
    disputed = tuple(tuple(pair) for pair in record["disputed"])
    return Round(**{**record, "members": tuple(record["members"]), "lost": tuple(record["lost"]), "disputed": disputed})


def _tree_document(tree: Tree) -> dict:
    return vars(tree) | {"splits": {node: vars(split) for node, split in tree.splits.items()}}


def _read_tree(document: Mapping) -> Tree:
    return Tree(
        **{name: value for name, value in document.items() if name not in ("splits", "gains", "sums")},
        sums=[tuple(pair) for pair in document["sums"]],
        splits={int(node): read_split(split) for node, split in document["splits"].items()},
        gains={int(node): gain for node, gain in document["gains"].items()},
    )
