"""Cuts found without pooling against those of the pooled values, and what is revealed by finding them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.quantile import PER_BIN, STEPS, bin_indices, local_cuts, secure_cuts
from components.mpc.simulate import simulate

FLOATS = st.one_of(
    st.floats(width=32, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, float("nan"), 1.0, 2.0]),
)


def brute_force_splits(values, bin_count):
    """Which values lie to the left of each cut, from the definition by trying every value."""
    values = np.array([0 if abs(x) < np.finfo(np.float32).tiny else x for x in values if x == x], dtype=np.float32)
    cuts = set()
    for k in range(1, bin_count):
        for value in sorted(set(values)):
            below, upto = np.sum(values < value), np.sum(values <= value)
            if bin_count * upto >= k * len(values):
                nearer_above = bin_count * upto - k * len(values) < k * len(values) - bin_count * below
                cuts.add((value, nearer_above))
                break
    return [values <= value if above else values < value for value, above in cuts]


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS, max_size=40), st.integers(2, 12))
def test_local_cuts_follow_their_definition(values, bin_count):
    column = np.array(values, dtype=np.float32)
    cuts = local_cuts(column, bin_count)
    assert cuts.dtype == np.float32
    assert np.all(cuts[1:] > cuts[:-1])
    present = np.where(np.abs(column) < np.finfo(np.float32).tiny, np.float32(0), column)
    present = present[~np.isnan(present)]
    left = {bytes(present < cut) for cut in cuts}
    expected = {bytes(rows) for rows in brute_force_splits(values, bin_count)}
    # Above the greatest float there is no cut.
    assert left == expected or (left < expected and present.max() == np.finfo(np.float32).max)


@settings(max_examples=60, deadline=None)
@given(st.lists(FLOATS, min_size=2, max_size=30), st.integers(2, 9))
def test_two_values_are_kept_apart(values, bin_count):
    column = np.array(values, dtype=np.float32)
    present = np.unique(np.where(np.abs(column) < np.finfo(np.float32).tiny, np.float32(0), column))
    present = present[~np.isnan(present)]
    bins = bin_indices(present, local_cuts(column, bin_count), bin_count)
    assert len(present) < 2 or bins[0] < bins[-1]


def test_a_rare_value_has_a_bin_on_either_end():
    rare = np.zeros(1000, dtype=np.float32)
    rare[:10] = 1
    for column in (rare, 1 - rare):
        cuts = local_cuts(column, 10)
        assert len(set(bin_indices(np.array([0, 1]), cuts, 10))) == 2


def test_distinct_values_fill_the_bins_evenly():
    column = np.random.default_rng(0).permutation(np.arange(1000, dtype=np.float32))
    cuts = local_cuts(column, 8)
    assert len(cuts) == 7
    assert np.bincount(bin_indices(column, cuts, 8)).tolist() == [125] * 8


def test_bins_count_the_cuts_at_or_below():
    cuts = np.array([-1, 0, 2.5], dtype=np.float32)
    values = np.array([-2, -1, -0.5, -0.0, 0, 1e-42, 2.5, 9, np.nan])
    bins = bin_indices(values, cuts, 7)
    assert bins.dtype == np.uint16
    assert bins.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 7]


def find_cuts(parts, bin_count, rows):
    """`parts[party][feature]`."""

    def program(engine):
        columns = [None] * len(parts[0]) if engine.deals else parts[engine.party]
        return secure_cuts(engine, columns, bin_count, rows)

    return simulate(program, len(parts))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), st.integers(1, 4), st.integers(2, 9), st.data())
def test_secure_cuts_are_those_of_the_pooled_values(parties, features, bin_count, data):
    # Each value several times, so that some features have enough for every number of bins, and some have not.
    parts = [
        [np.repeat(np.array(data.draw(st.lists(FLOATS, max_size=15)), dtype=np.float32), 9) for _ in range(features)]
        for _ in range(parties)
    ]
    rows = sum(max(len(column) for column in columns) for columns in parts)
    results, engines = find_cuts(parts, bin_count, rows)
    for feature in range(features):
        own = [columns[feature][~np.isnan(columns[feature])] for columns in parts]
        pooled = np.concatenate([[], *(values for values in own if len(values) >= PER_BIN * bin_count)])
        for cuts in results:
            np.testing.assert_array_equal(cuts[feature], local_cuts(pooled, bin_count))
    # Nothing is revealed but 33 answers a cut.
    for engine in engines:
        assert dict(engine.revealed) == {"cuts": (STEPS + 1) * features * (bin_count - 1)}


def answers_of(parts, bin_count):
    """The cuts of one feature, and every answer that is opened on the way, (33 (B - 1),)."""
    seen = []

    def program(engine):
        if engine.party == 0:
            honest = engine.reveal_bits
            engine.reveal_bits = lambda name, bits: seen.append(honest(name, bits)) or seen[-1]
        return secure_cuts(engine, [None if engine.deals else parts[engine.party]], bin_count, 2**24)

    results, _ = simulate(program, len(parts))
    return results[0][0], np.concatenate([answers.reshape(-1) for answers in seen]).astype(bool)


@pytest.mark.parametrize("missing", [0, 3975])
def test_values_too_few_for_their_bins_are_named_to_nobody(missing):
    """Rows are many, but few have a value: as many bins as that would name every one of them."""
    values = np.random.default_rng(0).gamma(2.0, 30.0, 319).astype(np.float32)
    column = np.append(values, np.full(missing, np.nan, dtype=np.float32))
    cuts, answers = answers_of([column[::2], column[1::2]], 32)
    assert cuts.size == 0
    # No answer depends on them.
    assert answers.tolist() == [False] * (33 * 31)


@pytest.mark.parametrize("few", [1, 79])
def test_an_owner_of_few_values_tells_nothing_of_them(few):
    """With its own column in hand the other owner would read off between which of its values they lie."""
    random = np.random.default_rng(0)
    many, own = random.normal(size=80).astype(np.float32), random.normal(5, size=few).astype(np.float32)
    cuts, answers = answers_of([many, own], 8)
    _, others = answers_of([many, own - 100], 8)
    np.testing.assert_array_equal(cuts, local_cuts(many, 8))
    assert answers.tolist() == others.tolist()
    # With one more it takes part.
    cuts, _ = answers_of([many, np.resize(own, 80)], 8)
    np.testing.assert_array_equal(cuts, local_cuts(np.append(many, np.resize(own, 80)), 8))


def test_an_owner_may_hold_none_of_a_feature():
    column = np.arange(50, dtype=np.float32)
    results, _ = find_cuts([[column, None, None], [None, -column, None]], 5, 50)
    np.testing.assert_array_equal(results[1][0], local_cuts(column, 5))
    np.testing.assert_array_equal(results[0][1], local_cuts(-column, 5))
    assert results[0][2].size == 0


@pytest.mark.parametrize("parties", [2, 3])
def test_all_but_the_answers_is_uniform(parties, harness):
    def program(scale):
        def run(engine):
            column = np.arange(90, dtype=np.float32) * scale
            secure_cuts(engine, [None if engine.deals else column + engine.party] * 8, 17, 270)

        return run

    one, other = harness.run_recorded(program(1), parties), harness.run_recorded(program(-1000), parties)
    harness.assert_same_schedule(one, other)
    for run in (one, other):
        for received in run.received:
            received.messages = [message for message in received.messages if not message[0].startswith("reveal")]
        harness.assert_uniform([run])


def written_down(quantiles, above):
    """The answers of a search, by who knows what it found: (33, B - 1)."""
    octets = quantiles.astype(np.float32).view(np.uint32).astype(np.int64)
    images = np.where(octets >> 31, 2**32 - 1 - octets, octets + 2**31)
    low, high, answers = np.zeros_like(images), np.full_like(images, 2**32 - 1), []
    for _ in range(STEPS):
        middle = (low + high) // 2
        answers.append(images > middle)
        low, high = np.where(answers[-1], middle + 1, low), np.where(answers[-1], high, middle)
    return np.array([*answers, above])


@pytest.mark.parametrize("common", [0.0, 0.3, 0.34, 0.98])
def test_the_answers_follow_from_the_quantiles_and_sides(common):
    """They say nothing that whoever is told each rank's value and side could not write down; repeats are told."""
    random = np.random.default_rng(2)
    values = np.where(random.random(400) < common, 1.0, random.normal(size=400).round(1)).astype(np.float32) + 0.0
    bins = 9
    cuts, answers = answers_of([values[:150], values[150:]], bins)

    ranks = np.arange(1, bins)
    ordered = np.sort(values)
    quantiles = np.array([next(x for x in ordered if bins * np.sum(values <= x) >= k * 400) for k in ranks])
    upto, below = (np.array([np.sum(side(values, x)) for x in quantiles]) for side in (np.less_equal, np.less))
    above = bins * upto - 400 * ranks < 400 * ranks - bins * below
    assert answers.tolist() == written_down(quantiles, above).reshape(-1).tolist()
    # The cuts alone would say less: they are fewer than the ranks where values repeat.
    assert (len(cuts) < len(ranks)) == (common > 0)
