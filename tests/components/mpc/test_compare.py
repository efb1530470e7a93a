import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.compare import at_least, negative, negative_within

EDGES = [0, 1, -1, 15, 16, -16, 2**20, -(2**20), 2**61, -(2**61), 2**62, -(2**62), 2**63 - 1, -(2**63), -(2**63) + 1]
WORDS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from(EDGES), min_size=1, max_size=200)


@settings(max_examples=20, deadline=None)
@given(WORDS, st.integers(2, 4))
def test_negative_is_the_sign_of_every_word(computed, words, parties):
    words = np.array(words + EDGES, dtype=np.int64)
    np.testing.assert_array_equal(computed(lambda x: negative(x), words, parties=parties), words < 0)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("bits", [2, 3, 5, 6, 8, 9, 13, 16, 17, 18, 21, 24, 32, 33, 37, 48, 63, 64])
def test_narrow_words_need_fewer_digits(computed, bits, parties):
    half = 1 << (bits - 1)
    drawn = np.random.default_rng(bits).integers(-half, half - 1, 300, endpoint=True)
    words = np.concatenate([drawn, [0, -1, half - 1, -half, -half + 1]])
    found = computed(lambda x: negative_within(x, bits), words, parties=parties)
    np.testing.assert_array_equal(found, words < 0)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=70),
    st.lists(st.floats(-(2.0**41), 2.0**41), min_size=1, max_size=5),
)
def test_at_least_is_true_from_the_threshold_on(computed, words, thresholds):
    exact = np.rint(np.array(thresholds) * 2.0**20).astype(np.int64)
    near = exact[:, None] + np.array([-1, 0, 1])
    words = np.concatenate([np.array(words), near.ravel()])
    found = computed(lambda x: at_least(x, np.array(thresholds), site="s"), words)
    np.testing.assert_array_equal(found, words >= exact[:, None])


def test_shapes_stay_and_bounds_are_used(computed):
    words = np.arange(-30, 30).reshape(3, 4, 5) << 10
    thresholds = np.array([-0.01, 0.0, 1 / 2**20, 0.015])
    found = computed(lambda x: at_least(x, thresholds, bits=20), words)
    np.testing.assert_array_equal(found, words >= np.rint(thresholds * 2**20).reshape(-1, 1, 1, 1))
    assert computed(lambda x: negative(x), words).shape == (3, 4, 5)


@pytest.mark.parametrize(("bits", "rounds"), [(5, 1), (17, 2), (18, 3), (64, 3)])
def test_rounds(harness, bits, rounds):
    run = harness.run_recorded(lambda engine: negative_within(harness.hold(engine, np.arange(3)), bits))
    assert run.engines[0].network.traffic.rounds == rounds


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(
    "protocol",
    [
        lambda _, x: negative(x),
        lambda _, x: negative_within(x, 17),
        lambda _, x: negative_within(x, 30),
        lambda _, x: negative_within(x, 6),
        lambda _, x: at_least(x, np.array([0.0, 1.0, 2.0])),
    ],
    ids=["negative", "17 bits", "30 bits", "6 bits", "thresholds"],
)
def test_nothing_is_seen(harness, protocol, parties):
    harness.assert_oblivious(protocol, [np.zeros(2**14, dtype=int)], [np.full(2**14, -7)], parties=parties)
