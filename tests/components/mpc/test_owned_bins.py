"""Histograms over an owner's bins, against counting, in both modes; and that the opened map says nothing."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from components.mpc import owned_bins
from components.mpc.owned_bins import OwnedBins, cheaper_mode, histograms, own_bins
from components.mpc.ring import WORD
from components.mpc.simulate import simulate

MODES = ("permutation", "dense")


def counted(words: np.ndarray, bins: np.ndarray, bin_count: int) -> np.ndarray:
    totals = np.zeros((len(words), bins.shape[1], bin_count), dtype=WORD)
    for feature in range(bins.shape[1]):
        for vector in range(len(words)):
            np.add.at(totals[vector, feature], bins[:, feature], words[vector])
    return totals


def histograms_in_a_simulation(parties, described, vectors, calls=1):
    """`described` (owner, bins, bin_count, mode); the total of the parties' shares, a list a call."""

    def program(engine):
        blocks = own_bins(
            engine,
            [
                (owner, bins if engine.party == owner else None, *bins.shape, bin_count, mode)
                for owner, bins, bin_count, mode in described
            ],
            site="bins",
        )
        results = []
        for _ in range(calls):
            shared = [engine.zeros(words.shape) for words in vectors]
            for x, words in zip(shared, vectors, strict=True):
                x.words = engine.dealt(lambda words=words: words, words.shape)
            results.append([x.words for x in histograms(engine, list(zip(blocks, shared, strict=True)), site="sums")])
        return results

    shares, engines = simulate(program, parties)
    totals = [[sum(parts) for parts in zip(*call, strict=True)] for call in zip(*shares, strict=True)]
    return totals, engines


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.data())
def test_sums_over_bins_are_exact(parties, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    described, vectors = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        rows, features, bin_count = int(rng.integers(1, 300)), int(rng.integers(1, 5)), int(rng.integers(1, 20))
        used = int(rng.integers(1, bin_count + 1))
        bins = rng.integers(0, used, (rows, features)).astype(np.uint16)
        described.append((int(rng.integers(parties)), bins, bin_count, data.draw(st.sampled_from(MODES))))
        vectors.append(rng.integers(0, 2**64, (int(rng.integers(1, 20)), rows), dtype=WORD))
    calls, engines = histograms_in_a_simulation(parties, described, vectors, calls=2)
    for totals in calls:
        for total, (_, bins, bin_count, _), words in zip(totals, described, vectors, strict=True):
            assert np.array_equal(total, counted(words, bins, bin_count))
    modes = {mode for *_, mode in described}
    assert engines[0].network.traffic.rounds == len(calls) + (2 if "permutation" in modes else 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parties", [2, 3])
def test_splits_of_one_table_give_the_same_histograms(parties, mode):
    rng = np.random.default_rng(1)
    bins = rng.integers(0, 7, (120, 6)).astype(np.uint16)
    words = rng.integers(0, 2**64, (3, 120), dtype=WORD)
    expected = counted(words, bins, 7)
    last = parties - 1

    by_rows, _ = histograms_in_a_simulation(
        parties, [(0, bins[:50], 7, mode), (last, bins[50:], 7, mode)], [words[:, :50], words[:, 50:]]
    )
    assert np.array_equal(by_rows[0][0] + by_rows[0][1], expected)

    by_features, _ = histograms_in_a_simulation(
        parties, [(0, bins[:, :2], 7, mode), (last, bins[:, 2:], 7, mode)], [words, words]
    )
    assert np.array_equal(np.concatenate(by_features[0], axis=1), expected)

    corners = [(slice(0, 50), slice(0, 2)), (slice(0, 50), slice(2, 6)), (slice(50, 120), slice(0, 6))]
    owners = (0, 1, last)
    mixed, _ = histograms_in_a_simulation(
        parties,
        [(owner, bins[corner], 7, mode) for owner, corner in zip(owners, corners, strict=True)],
        [words[:, rows] for rows, _ in corners],
    )
    first, second, third = mixed[0]
    assert np.array_equal(np.concatenate([first, second], axis=1) + third, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parties", [2, 3])
def test_what_is_received_is_uniform_but_for_the_map(mode, parties, harness):
    def program(bins, value, calls=1):
        def run(engine):
            block = OwnedBins(engine, 1, bins if engine.party == 1 else None, *bins.shape, 8, site="bins", mode=mode)
            x = engine.share(0, np.full((17, 90), value, dtype=float), (17, 90))
            for _ in range(calls):
                histograms(engine, [(block, x)], site="sums")

        return run

    def without(run, *sites):
        for received in run.received:
            received.messages = [message for message in received.messages if message[0] not in sites]
        return run

    zeros = np.zeros((90, 4), dtype=np.uint16)
    others = (np.arange(360).reshape(90, 4) % 8).astype(np.uint16)
    one, other = harness.run_recorded(program(zeros, 0), parties), harness.run_recorded(program(others, 1), parties)
    harness.assert_same_schedule(one, other)
    harness.assert_uniform([without(one, "bins.map")])
    harness.assert_uniform([without(other, "bins.map")])
    again = without(harness.run_recorded(program(others, 1, calls=2), parties), "bins.map", "bins.matrix")
    harness.assert_fresh(again)
    for party, received in enumerate(again.received):
        online = {site for site, _, _ in received.messages} - {"dealt"}
        assert online == ({"sums"} if party == 1 else set())


def maps_seen_by_another(bins: np.ndarray, bin_count: int) -> np.ndarray:
    def program(engine):
        block = OwnedBins(engine, 0, bins if engine.party == 0 else None, *bins.shape, bin_count, site="bins")
        if engine.party == 1:
            return block.chunk_of_slot - np.arange(bins.shape[1], dtype=np.uint32)[:, None] * np.uint32(block.chunks)

    return simulate(program, 2)[0][1]


@pytest.mark.parametrize("rows", [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 1, 0]])
def test_the_opened_map_is_uniform_whatever_the_bins(rows, monkeypatch):
    monkeypatch.setattr(owned_bins, "chunk_capacity", lambda _: 2)
    features, chunks, slots = 20000, 4, 8
    bins = np.repeat(np.array(rows, dtype=np.uint16)[:, None], features, axis=1)
    maps = maps_seen_by_another(bins, 2)
    assert maps.shape == (features, slots)
    assert np.array_equal(np.sort(maps, axis=1), np.tile(np.repeat(np.arange(chunks), 2), (features, 1)))
    # Each of the 8! / 2!^4 balanced maps is as likely as any other.
    seen = Counter(map(bytes, np.ascontiguousarray(maps.astype(np.uint8))))
    counts = np.zeros(2520)
    counts[: len(seen)] = list(seen.values())
    assert chisquare(counts).pvalue > 1e-6


def test_the_map_does_not_show_the_sizes_of_bins():
    one_bin = np.zeros((500, 30), dtype=np.uint16)
    many_bins = np.tile(np.arange(500, dtype=np.uint16)[:, None] % 16, 30)
    shapes = []
    for bins in (one_bin, many_bins):
        maps = maps_seen_by_another(bins, 16)
        chunks = int(maps.max()) + 1
        sizes = np.stack([np.bincount(feature, minlength=chunks) for feature in maps])
        assert len(np.unique(sizes)) == 1
        shapes.append((maps.shape, chunks))
    assert shapes[0] == shapes[1]


def test_bins_beyond_their_count_are_refused():
    def program(engine):
        OwnedBins(engine, 0, np.full((3, 1), 4, dtype=np.uint16) if engine.party == 0 else None, 3, 1, 4, site="bins")

    with pytest.raises(ValueError, match="up to 4"):
        simulate(program, 2, timeout=1)


def test_few_bins_are_dense_and_many_permuted():
    assert cheaper_mode(10_000, 20, 10) == "dense"
    assert cheaper_mode(25_000, 300, 128) == "permutation"
    assert cheaper_mode(10_000_000, 100, 4) == "permutation"
