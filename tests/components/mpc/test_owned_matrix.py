"""Products with an owner's matrix, against NumPy's, and what the others get to see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.owned_matrix import OwnedMatrix, apply_all, own_matrices
from components.mpc.ring import WORD, matmul
from components.mpc.simulate import simulate

EXTREMES = np.array([0, 1, 2**64 - 1, 2**61, 2**64 - 2**61, 2**63, 2**63 - 1], dtype=WORD)


def exact(left, right):
    return (left.astype(object) @ right.astype(object)) % 2**64


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 13),
    st.integers(1, 300),
    st.sampled_from([np.uint64, np.int8, np.uint16]),
    st.data(),
)
def test_the_matrix_product_of_the_ring_is_exact(rows, inner, columns, dtype, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    left = rng.choice(EXTREMES, (rows, inner)) + rng.integers(0, 3, (rows, inner), dtype=WORD)
    bounds = np.iinfo(dtype)
    right = rng.integers(bounds.min, bounds.max, (inner, columns), dtype=dtype, endpoint=True)
    assert np.array_equal(matmul(left, right).astype(object), exact(left, right))


def test_the_matrix_product_refuses_floats():
    with pytest.raises(TypeError, match="float64"):
        matmul(np.ones((2, 2), dtype=WORD), np.ones((2, 2)))


def apply_in_a_simulation(parties, described, vectors):
    """`described` (owner, matrix); shares of the vectors are random, so no party's share is zero."""

    def program(engine):
        shared = [engine.zeros(words.shape, 20) for words in vectors]
        for x, words in zip(shared, vectors, strict=True):
            share = engine.dealt(lambda words=words: words, words.shape)
            x.words = share
        matrices = own_matrices(
            engine,
            [(owner, matrix if engine.party == owner else None, matrix.shape) for owner, matrix in described],
            site="matrices",
        )
        rounds = 0 if engine.deals else engine.network.traffic.rounds
        products = apply_all(engine, list(zip(matrices, shared, strict=True)), site="products")
        again = apply_all(engine, list(zip(matrices, shared, strict=True)), site="products")
        assert engine.deals or engine.network.traffic.rounds == rounds + 2
        assert engine.deals or all(x.fraction == 20 for x in products)
        return [x.words for x in products], [x.words for x in again]

    shares, _ = simulate(program, parties)
    return [[sum(terms) for terms in zip(*(share[k] for share in shares), strict=True)] for k in (0, 1)]


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), st.data())
def test_products_of_all_owners_are_exact(parties, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    described, vectors = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        n, m, v = (int(k) for k in rng.integers(1, 9, 3))
        blocks = tuple(int(k) for k in rng.integers(1, 4, rng.integers(0, 2)))
        matrix = rng.integers(-100, 100, (*blocks, n, m)).astype(rng.choice([np.int8, np.int64]))
        described.append((int(rng.integers(parties)), matrix))
        vectors.append(rng.choice(EXTREMES, (*blocks, v, n)))
    first, second = apply_in_a_simulation(parties, described, vectors)
    for got, again, (_, matrix), words in zip(first, second, described, vectors, strict=True):
        assert np.array_equal(got.astype(object), exact(words, matrix))
        assert np.array_equal(again, got)


@pytest.mark.parametrize("parties", [2, 3])
def test_all_that_is_received_is_uniform_and_of_the_same_size(parties, harness):
    def program(value, times=1):
        def run(engine):
            matrix = np.full((60, 70), value, dtype=np.int8)
            shape = matrix.shape
            for _ in range(times):
                matrices = own_matrices(
                    engine, [(owner, matrix if engine.party == owner else None, shape) for owner in (0, 1)], site="own"
                )
                x = engine.share(0, np.full((50, 60), value, dtype=float), (50, 60))
                apply_all(engine, [(matrix, x) for matrix in matrices], site="products")

        return run

    zeros, ones = (harness.run_recorded(program(value), parties) for value in (0, 1))
    harness.assert_uniform([zeros])
    harness.assert_uniform([ones])
    harness.assert_same_schedule(zeros, ones)
    harness.assert_fresh(harness.run_recorded(program(1, times=2), parties))


def test_only_the_owner_is_sent_a_vector():
    def program(engine):
        matrix = OwnedMatrix(engine, 1, np.eye(5, dtype=np.int8) if engine.party == 1 else None, (5, 5), site="matrix")
        apply_all(engine, [(matrix, engine.share(0, np.ones((2, 5)), (2, 5)))], site="product")
        return None if engine.deals else dict(engine.network.traffic.by_site)

    sizes, _ = simulate(program, 3)
    assert sizes == [{"product": 80}, {"matrix": 400}, {"product": 80}]


def test_a_matrix_of_another_shape_is_refused():
    def program(engine):
        OwnedMatrix(engine, 0, np.eye(3, dtype=np.int8) if engine.party == 0 else None, (3, 4), site="matrix")

    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        simulate(program, 2, timeout=1)
