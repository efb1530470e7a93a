"""What a party sees of a training is noise, of a shape that public numbers fix; nothing comes out but what is declared.

Everything received is looked at, the dealer's words and opened values too. All of it is uniform octet by octet but
`bins.map`, which is uniform among the maps with as many slots in each chunk and is judged as that.
"""

import pickle
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, chi2
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.boosting.secret_shared import OPENED, open_model, train
from components.boosting.secret_shared.grow import Level
from components.boosting.secret_shared.objective import base_margins
from components.mpc.chunks import chunk_capacity
from components.mpc.randomness import Keystream
from components.mpc.simulate import simulate
from tests.components.boosting.secret_shared.consortium import assert_declared

MAP = "bins.map"
OBJECTIVES = ("binary:logistic", "reg:squarederror", "multi:softprob")


@pytest.fixture
def recorded(boosting, harness):
    """A function: the record of a whole training, opened to party 0 in the end."""

    def record(data, layout="vertical", parties=2, **parameters):
        agreement = boosting.agree(data, layout, parties, boosting.settings(**parameters))

        def program(engine):
            model = train(engine, agreement, boosting.held_by(agreement, data, engine.party))
            return open_model(engine, agreement, model, 0)

        return harness.run_recorded(program, parties)

    return record


def by_mode(monkeypatch, mode):
    monkeypatch.setattr("components.boosting.secret_shared.view.cheaper_mode", lambda *_: mode)


def judged(harness, runs, *, together: bool):
    """Without the map, which `assert_maps_uniform` judges; `together` judges sites of few octets as one."""
    count = defaultdict(int)
    for run in runs:
        for party, received in enumerate(run.received):
            for site, sender, octets in received.messages:
                count[party, site, sender] += len(octets)
    kept = []
    for run in runs:
        received = []
        for party, one in enumerate(run.received):
            messages = []
            for site, sender, octets in one.messages:
                small = together and count[party, site, sender] < harness.FEWEST
                if site != MAP:
                    messages.append(("few" if small else site, sender, octets))
            received.append(harness.Received(messages))
        kept.append(harness.Run(run.results, received, run.engines))
    return kept


def maps_received(agreement, runs):
    """By receiver, sender and map of the sender: all that arrived, (samples, slots), and the number of chunks."""
    maps = defaultdict(list)
    for run in runs:
        for party, received in enumerate(run.received):
            octets = defaultdict(list)
            for site, sender, content in received.messages:
                if site == MAP:
                    octets[sender].append(content)
            for sender, parts in octets.items():
                rest = np.concatenate(parts)
                for number, block in enumerate(agreement.blocks):
                    if block.owner != sender:
                        continue
                    capacity = chunk_capacity(block.rows)
                    chunks = -(-block.rows // capacity) + agreement.slots
                    slots = chunks * capacity
                    size = 2 * slots * len(block.features)
                    values, rest = rest[:size].view(np.uint16), rest[size:]
                    maps[party, number, chunks] += list(values.reshape(-1, slots))
                    padding = -size % 8
                    assert not rest[:padding].any()
                    rest = rest[padding:]
                assert len(rest) == 0
    return {(party, number): (np.array(found), chunks) for (party, number, chunks), found in maps.items()}


def assert_maps_uniform(agreement, runs, alarm):
    """As many slots in every chunk, and which they are is chance: neither bins nor rows have a place of their own."""
    found = maps_received(agreement, runs)
    for maps, chunks in found.values():
        samples, slots = maps.shape
        held = np.array([np.bincount(one, minlength=chunks) for one in maps])
        assert (held == slots // chunks).all()
        seen = np.array([np.bincount(maps[:, slot], minlength=chunks) for slot in range(slots)])
        # Of uniform permutations (slots - 1) / slots times the usual statistic is chi-square, about (Anderson 1959).
        expected = samples / chunks
        statistic = (slots - 1) / slots * np.sum((seen - expected) ** 2) / expected
        freedom = (slots - 1) * (chunks - 1)
        assert alarm < chi2.sf(statistic, freedom) < 1 - alarm, f"chi-square {statistic:.0f} of {freedom}"
    return len(found)


@pytest.mark.parametrize(
    ("mode", "layout", "parties"), [("permutation", "vertical", 2), ("dense", "mixed", 3)], ids=["pair", "three"]
)
def test_every_octet_received_is_uniform(boosting, harness, recorded, monkeypatch, mode, layout, parties):
    by_mode(monkeypatch, mode)
    data = boosting.draw_bins(300, 4, missing=0.1, categorical=1)
    # As unlike noise as rows can be: all alike.
    data.bins[:] = data.bins[0]
    data.labels[:] = 1.0
    runs = [recorded(data, layout, parties, rounds=3, max_depth=2) for _ in range(3)]
    harness.assert_uniform(judged(harness, runs, together=True))
    for run in runs:
        for received in run.received:
            assert_no_word_twice(received)


def assert_no_word_twice(received):
    """Nothing received repeats anything else received, at whatever site: chance has 2^-64 for each pair."""
    parts = [octets[: len(octets) // 8 * 8] for site, _, octets in received.messages if site != MAP]
    words = np.concatenate(parts).view(np.uint64)
    assert len(words) > 10**4
    assert len(np.unique(words)) == len(words)


def test_a_mask_used_at_two_sites_is_noticed(harness):
    def program(engine):
        mask = engine.uniform((2**14,))
        if not engine.deals:
            engine.open("one", mask + np.uint64(0))
            engine.open("two", mask + np.uint64(engine.party))

    received = harness.run_recorded(program).received
    assert_no_word_twice(received[0].__class__(received[0].messages[:1]))
    with pytest.raises(AssertionError):
        assert_no_word_twice(received[1])


def test_no_word_of_a_partys_stream_is_drawn_twice(boosting, harness, recorded, monkeypatch):
    """All randomness of all sites, the dealer's copies apart: two streams of one key, or one read again, would show."""
    draw, drawn = Keystream.draw, defaultdict(list)

    def noted(self, shape, dtype=np.uint64):
        values = draw(self, shape, dtype)
        drawn[self].append(values.view(np.uint8).reshape(-1))
        return values

    monkeypatch.setattr(Keystream, "draw", noted)
    run = recorded(boosting.draw_bins(300, 4, missing=0.1, categorical=1), "mixed", 3, rounds=2, max_depth=2)
    octets = [part[: len(part) // 8 * 8] for engine in run.engines for part in drawn[engine.stream]]
    words = np.concatenate(octets).view(np.uint64)
    assert len(words) > 10**5
    assert len(np.unique(words)) == len(words)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dense", "permutation"])
@pytest.mark.parametrize(
    ("objective", "layout"), list(zip(OBJECTIVES, ["vertical", "horizontal", "vertical"], strict=True))
)
def test_every_site_by_itself_is_uniform(boosting, harness, recorded, monkeypatch, objective, layout, mode):
    """Trees enough that each of their words is seen often; and intercepts, of which a training has one, of many."""
    by_mode(monkeypatch, mode)
    data = boosting.draw_bins(64, 3, objective=objective, missing=0.1, categorical=1)
    # One owner's bins as unlike noise as can be.
    data.bins[:, 0] = 3
    runs = [recorded(data, layout, rounds=8, max_depth=2, min_child_weight=0.5) for _ in range(32)]
    many = boosting.agree(data, layout, 2, boosting.settings()).model_copy(update={"outputs": 64})

    def intercepts(engine):
        labels = engine.share(0, np.ones((64, len(data))) if engine.party == 0 else None, (64, len(data)))
        engine.reveal("base", base_margins(many, labels).reshape(64), to=0)

    runs += [harness.run_recorded(intercepts) for _ in range(4)]
    harness.assert_uniform(judged(harness, runs, together=False))
    agreement = boosting.agree(data, layout, 2, boosting.settings())
    assert assert_maps_uniform(agreement, runs, harness.FALSE_ALARM) == (2 if mode == "permutation" else 0)


@pytest.mark.slow
def test_a_map_that_follows_the_rows_is_noticed(boosting, harness, recorded, monkeypatch):
    by_mode(monkeypatch, "permutation")
    monkeypatch.setattr(Keystream, "permutation", lambda self, size: np.arange(size, dtype=np.int32))
    data = boosting.draw_bins(64, 3, missing=0.1, categorical=1)
    runs = [recorded(data, rounds=1, max_depth=1) for _ in range(32)]
    with pytest.raises(AssertionError):
        assert_maps_uniform(boosting.agree(data, "vertical", 2, boosting.settings()), runs, harness.FALSE_ALARM)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("layout", "parties"), [("vertical", 2), ("horizontal", 3), ("mixed", 4)])
def test_messages_of_two_data_sets_are_of_one_shape(boosting, harness, recorded, objective, layout, parties):
    one = boosting.draw_bins(120, 4, objective=objective, missing=0.1, categorical=1)
    other = replace(one, bins=np.zeros_like(one.bins), labels=np.full_like(one.labels, 1.0))
    first, second = (recorded(data, layout, parties, rounds=2, max_depth=2) for data in (one, other))
    harness.assert_same_schedule(first, second)
    assert first.received[1].schedule() != []


def test_nothing_is_revealed_before_the_model_is_opened(boosting, harness):
    data = boosting.draw_bins(200, 4)
    agreement = boosting.agree(data, "vertical", 2, boosting.settings(rounds=2, max_depth=2))
    seen = []

    def program(engine):
        model = train(engine, agreement, boosting.held_by(agreement, data, engine.party))
        seen.append(dict(engine.revealed))
        opened = open_model(engine, agreement, model, 1)
        return opened is None

    run = harness.run_recorded(program)
    assert seen == [{}, {}, {}]
    assert run.results == [True, False]
    for engine in run.engines:
        assert set(engine.revealed) == set(OPENED)
        assert_declared(engine.revealed)
    at = [[site for site, _, _ in received.messages if site.startswith("reveal")] for received in run.received]
    assert at == [[], [f"reveal {name}" for name in OPENED]]
    assert run.received[1].messages[-1][0] == f"reveal {OPENED[-1]}"


def test_a_planted_value_never_arrives(boosting, recorded):
    """Owner 0's cuts and label, in every form a number may have, are in nothing that owner 1 receives."""
    data = boosting.draw_bins(400, 4, objective="reg:squarederror")
    data.labels[:50] = 123.456789
    patterns = []
    for value in (123.456789, (123.456789 - 65) / 95):
        patterns += [np.float64(value).tobytes(), np.int64(round(value * 2**20)).tobytes()]
    # A party's own bins as it stores them: eight rows of a feature.
    patterns += [np.ascontiguousarray(data.bins[start : start + 8, 0]).tobytes() for start in range(0, 400, 8)]
    run = recorded(data, rounds=2, max_depth=2)
    content = b"".join(octets.tobytes() for site, _, octets in run.received[1].messages)
    assert len(content) > 10**5
    assert [pattern for pattern in patterns if pattern in content] == []


def view_of(received) -> np.ndarray:
    """What a party received as numbers: for each site the share of every octet, and the first bits as they are."""
    parts = defaultdict(list)
    for site, sender, octets in received.messages:
        if site != MAP:
            parts[site, sender].append(octets)
    features = []
    for place in sorted(parts):
        octets = np.concatenate(parts[place])
        features.append(np.bincount(octets >> 4, minlength=16) / len(octets))
        features.append(np.unpackbits(octets[:8]))
    return np.concatenate(features)


def guesses(views, truth) -> int:
    """How many of the views a classifier attributes rightly, each judged by one that has not seen it."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return int(np.sum(cross_val_predict(model, np.array(views), truth, cv=folds) == truth))


def neighbours(boosting):
    """Two data sets that differ in owner 0's part of one row: its bins and its label."""
    one = boosting.draw_bins(24, 3, seed=9)
    other = replace(one, bins=one.bins.copy(), labels=one.labels.copy())
    other.bins[5, 0], other.labels[5] = (one.bins[5, 0] + 4) % boosting.BINS, 1 - one.labels[5]
    return one, other


@pytest.mark.slow
def test_a_classifier_cannot_tell_neighbouring_data_sets_apart(boosting, recorded):
    pair, views, truth = neighbours(boosting), [], np.arange(400) % 2
    for which in truth:
        views.append(view_of(recorded(pair[which], rounds=1, max_depth=1).received[1]))
    interval = binomtest(guesses(views, truth), len(truth)).proportion_ci(0.999)
    assert interval.low <= 0.5 <= interval.high


def test_the_classifier_can_tell_them_apart_where_nothing_is_masked(boosting, recorded, monkeypatch):
    """Party 0's stream all zeros leaves its part bare: the judge of the test above is no fool."""
    draw = Keystream.draw
    monkeypatch.setattr(Keystream, "draw", lambda self, shape, dtype=np.uint64: np.zeros_like(draw(self, shape, dtype)))
    pair, truth = neighbours(boosting), np.arange(10) % 2
    views = [view_of(recorded(pair[which], rounds=1, max_depth=1).received[1]) for which in truth]
    assert guesses(views, truth) == len(truth)


def refusals():
    return {
        "str in a format": lambda value: int(f"{value}"),
        "compared": lambda value: value == value,
        "ordered": lambda value: value < 1.0,
        "branched on": lambda value: bool(value),
        "iterated": lambda value: list(value),
        "an array": lambda value: np.asarray(value),
        "a float": lambda value: float(value),
        "an index": lambda value: [1, 2][value],
        "pickled": lambda value: pickle.dumps(value),
        "hashed": lambda value: hash(value),
    }


@pytest.mark.parametrize("use", refusals())
def test_a_trained_model_refuses_to_be_looked_at(boosting, use):
    data = boosting.draw_bins(60, 3)
    agreement = boosting.agree(data, "vertical", 2, boosting.settings(rounds=1, max_depth=1))

    def program(engine):
        model = train(engine, agreement, boosting.held_by(agreement, data, engine.party))
        return [model.base, model.rounds[0].leaves, *vars_of(model.rounds[0].levels[0])]

    for value in simulate(program, 2)[0][1]:
        words = str(value.words.reshape(-1)[0])
        assert words not in repr(value)
        assert words not in str(value)
        assert words not in f"{value}"
        with pytest.raises((TypeError, ValueError)):
            refusals()[use](value)


def vars_of(level: Level) -> list:
    return [level.tests, level.constants, level.chosen, level.thresholds, level.sums]


def test_only_the_owner_has_its_bins(boosting):
    data = boosting.draw_bins(80, 4)
    agreement = boosting.agree(data, "vertical", 2, boosting.settings(rounds=1, max_depth=1))

    def program(engine):
        from components.boosting.secret_shared.view import View

        view = View(engine, agreement, boosting.held_by(agreement, data, engine.party))
        matrices = [*view.columns, *view.cuts]
        return [block.bins is not None for block in view.bins], [one.matrix is not None for one in matrices]

    results, _ = simulate(program, 2)
    assert results == [([True, False], [True, False, True, False]), ([False, True], [False, True, False, True])]
