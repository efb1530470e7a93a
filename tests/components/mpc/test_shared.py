"""What parties do with shares by themselves, against the numbers they stand for; and what shares refuse."""

import numpy as np
import pytest

from components.mpc.fixed_point import decode
from components.mpc.ring import signed
from components.mpc.shared import SharedBits, concatenate, concatenate_bits
from components.mpc.simulate import simulate

A = np.array([[0.0, 1.5, -2.25], [2.0**20, -(2.0**-20), 3.0]])
B = np.array([[1.0, -1.0, 0.5], [4.0, 2.0**-19, -7.0]])

LOCAL = {
    "sum of two": (lambda a, b: a + b, A + B),
    "difference": (lambda a, b: a - b, A - B),
    "negation": (lambda a, b: -a, -A),
    "public number added": (lambda a, b: a + 2.5, A + 2.5),
    "public array, broadcast": (lambda a, b: b + np.arange(3), B + np.arange(3)),
    "from a public number": (lambda a, b: 1 - b, 1 - B),
    "public factor": (lambda a, b: a.times(-3), -3 * A),
    "public factors": (lambda a, b: a.times(np.array([1, -2, 0])), A * [1, -2, 0]),
    "a row": (lambda a, b: a[1], A[1]),
    "one number": (lambda a, b: a[0, 1], A[0, 1:2]),
    "another shape": (lambda a, b: a.reshape(3, 2), A.reshape(3, 2)),
    "sums": (lambda a, b: a.sum(axis=1), A.sum(axis=1)),
    "running sums": (lambda a, b: a.cumsum(axis=1), np.cumsum(A, axis=1)),
    "joined": (lambda a, b: concatenate([a, b], axis=1), np.hstack([A, B])),
    "more fraction bits": (lambda a, b: a.widened(30), A),
    "a power of two": (lambda a, b: a.rescaled(18), 4 * A),
}


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("name", LOCAL)
def test_local_steps_are_exact_and_send_nothing(harness, name, parties):
    step, wanted = LOCAL[name]

    def program(engine):
        shared = step(*(harness.split(engine, signed_words(values)) for values in (A, B)))
        return shared.words, shared.fraction

    results, engines = simulate(program, parties)
    (_, fraction), total = results[0], sum(words for words, _ in results)
    np.testing.assert_array_equal(decode(total, fraction), wanted)
    assert {engine.network.traffic.rounds for engine in engines} == {0}


def signed_words(values: np.ndarray) -> np.ndarray:
    return np.round(values * 2**20).astype(np.int64)


def test_bits_are_exact(harness):
    a, b = np.array([0, 0, 1, 1], dtype=np.uint8), np.array([0, 1, 0, 1], dtype=np.uint8)

    def program(engine):
        one, other = harness.split(engine, a), harness.split(engine, b)
        return concatenate_bits([one ^ other, ~one, other[2:].reshape(2)]).words

    results, _ = simulate(program, 3)
    assert np.bitwise_xor.reduce(results).tolist() == [0, 1, 1, 0, 1, 1, 0, 0, 0, 1]


def test_numbers_of_different_scale_are_never_mixed(harness):
    def program(engine):
        one = harness.split(engine, signed_words(A))
        for mix in (lambda: one + one.widened(30), lambda: concatenate([one, one.widened(30)])):
            with pytest.raises(TypeError, match="fraction bits"):
                mix()
        with pytest.raises(TypeError, match="uint8"):
            SharedBits(engine, one.words)

    simulate(program, 2)
    assert signed(np.zeros(1, dtype=np.uint64)).tolist() == [0]
