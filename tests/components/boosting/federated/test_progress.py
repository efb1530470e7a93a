"""What an aggregator keeps: a line an event, from which the same training comes again; and what can be sent at all."""

import json

import pytest

from components.boosting.federated import Round, RowsOfOwner, kept_in, read_progress, train
from components.boosting.federated.progress import best_round
from components.boosting.federated.train import PIECE, _pieces
from components.boosting.histogram import Split, Tree
from components.errors import InvalidInput
from components.federated.channel import LARGEST
from tests.components.boosting.federated.conftest import dealt
from tests.components.boosting.federated.rehearsal import Rehearsal


def full_tree(depth: int) -> Tree:
    tree, open_ones = Tree(), [0]
    for _ in range(depth):
        below = []
        for node in open_ones:
            split = Split(node, len(tree), len(tree) + 1, 17, default_left=False, cut=123)
            tree.divide(split, 1.25, (1, 1), (1, 1))
            below += [split.left, split.right]
        open_ones = below
    return tree


def test_a_file_of_events_gives_the_training_again_and_grows_by_the_same_every_round(agreement, joint, tmp_path):
    table, path = joint(500), tmp_path / "grow" / "progress.jsonl"
    agreed, sizes = agreement(table.schema, rounds=6, max_depth=2, max_bin=4), []
    keep = kept_in(path)

    def kept(event):
        before = path.stat().st_size
        keep(event)
        if "round" in event:
            sizes.append(path.stat().st_size - before)

    owners = {name: RowsOfOwner(agreed, part) for name, part in zip("abc", dealt(table, 3), strict=True)}
    assert read_progress(path) == read_progress(tmp_path / "none")
    progress = train(Rehearsal(owners), agreed, keep=kept)
    assert read_progress(path) == progress
    assert sizes[-1] < 1.5 * sizes[0]
    assert path.stat().st_mode & 0o077 == 0

    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert len(read_progress(path).rounds) == 5
    keep({"begun": "round 6", "members": ["a", "b"], "roster": None})
    assert read_progress(path).begun.members == ("a", "b")
    assert [list(json.loads(line)) for line in path.read_text().splitlines()][-1] == ["begun", "members", "roster"]


@pytest.mark.parametrize(("depth", "count"), [(3, 5), (9, 60), (12, 7)])
def test_trees_are_told_in_pieces_that_can_be_sent(depth, count):
    trees = [full_tree(depth)] * count
    pieces = list(_pieces(trees, 2))
    assert [begin for begin, _ in pieces] == [2 + sum(len(one) for _, one in pieces[:at]) for at in range(len(pieces))]
    assert sum(len(piece) for _, piece in pieces) == count - 2
    assert all(len(json.dumps(piece)) < PIECE + 2 * len(json.dumps(piece[0])) for _, piece in pieces)
    assert list(_pieces(trees, count)) == [(count, [])]


def test_histograms_that_could_not_be_sent_are_refused_before_anything_is_asked(agreement, joint):
    table = joint(300)
    features = {f"x{number}": table.schema.features["dose"] for number in range(30)}
    schema = table.schema.model_copy(update={"features": features})

    # Of the deepest level that is summed half the nodes are: 2^9 of depth 11.
    octets = 30 * 257 * 16
    assert 2**9 * octets < LARGEST < 2**10 * octets
    agreement(schema, max_bin=256, max_depth=11).require_possible()
    small = agreement(table.schema)
    owners = {name: RowsOfOwner(small, part) for name, part in zip("ab", dealt(table, 2), strict=True)}
    for depth in (12, 16):
        rehearsal = Rehearsal(owners)
        with pytest.raises(InvalidInput, match="max_depth 11"):
            train(rehearsal, agreement(schema, max_bin=256, max_depth=depth))
        assert rehearsal.exchanges == 0


@pytest.mark.parametrize(
    ("told", "best"),
    [
        ("ab 5, ab 4, ab 3, ab 4, ab 3", 2),
        # With c gone the others' rows are harder, and nothing is said of the rounds before.
        ("abc 3, abc 2, ab 6, ab 5, ab 6", 3),
        ("abc 3, abc 2, ab 6, abc 4", 1),
        ("abc 3, abc 2, ab -, ab -, ab -", 1),
        ("ab -, ab -, ab -", 2),
    ],
)
def test_losses_are_compared_where_they_are_of_the_same_owners(told, best):
    rounds = []
    for number, (members, loss) in enumerate(one.split() for one in told.split(", ")):
        record = Round(number, tuple(members), (), 0, 100, 0, 0, 0.1, None if loss == "-" else float(loss))
        rounds.append(record)
    assert best_round(rounds) == best
