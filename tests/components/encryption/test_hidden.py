"""Mode `hidden` end to end, on small models: margins, what opens and what does not, and what is refused."""

import dataclasses

import numpy as np
import pytest

from components.encryption import Malformed, WrongKey, read_client, read_model
from components.encryption.elgamal import (
    ORDER,
    ZERO,
    ElGamalSecret,
    add,
    encrypt,
    multiple,
    multiple_of_base,
    negative,
    scalar,
)
from components.encryption.frame import HIDDEN_QUERY, framed
from components.encryption.grid import thresholds
from components.encryption.questions import cut_of, questions_of

ROWS = 3


@pytest.fixture(scope="module")
def made(published):
    return published("binary", "hidden")


@pytest.fixture(scope="module")
def answered(made, cases):
    """Rows, the query for them and its answer."""
    rows = cases["binary"].edges[:ROWS]
    query = made.client.encrypt(rows)
    return rows, query, made.model.answer(query)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "one-hot", "stumps", "constant"])
def test_margins_are_those_of_xgboost(cases, published, kind):
    made, case = published(kind, "hidden"), cases[kind]
    model, client = read_model(made.model.to_bytes()), read_client(made.client.to_bytes())
    rows = case.edges[:2]
    margins = client.decrypt(model.answer(client.encrypt(rows), threads=2))
    # Leaves are rounded to what a logarithm of 28 bits can hold.
    np.testing.assert_allclose(margins, case.margins(rows), rtol=1e-6, atol=1e-5)


def test_bits_say_for_every_cut_whether_a_row_goes_right(cases, published):
    for kind in cases:
        made, rows = published(kind, "hidden"), cases[kind].edges
        forest, questions = made.forest, made.client.questions
        bits = questions.bits(rows) ^ questions.turned
        place = {cut: number for number, cut in enumerate(questions.cuts)}
        for node in np.flatnonzero(~forest.is_leaf):
            expected = forest.goes_right(node, rows[:, forest.feature[node]])
            np.testing.assert_array_equal(bits[:, place[cut_of(forest, node)]], expected)


def test_one_leaf_of_each_tree_opens_and_shows_nothing_of_its_own(made, answered):
    _, query, answer = answered
    again = made.model.answer(query)
    leaves = [_pairs(one) for one in (answer, again)]
    secret, start, openings = made.client.secret, 0, []
    for count in made.client.leaves:
        zeros = [[at for at in range(start, start + count) if secret.is_zero(one[at][:2])] for one in leaves]
        assert [len(found) for found in zeros] == [1, 1]
        openings.append([secret.decrypt(one[at][2:]) for one, (at,) in zip(leaves, zeros, strict=True)])
        start += count
    # The same leaf of the same query is masked anew; only the sums agree.
    assert all(one != other for one, other in openings)
    sums = [ZERO, ZERO]
    for pair in openings:
        sums = [add(total, point) for total, point in zip(sums, pair, strict=True)]
    assert sums[0] == sums[1]


def _pairs(answer: bytes) -> list[tuple[bytes, ...]]:
    points = [answer[at : at + 32] for at in range(24, len(answer), 32)]
    return [tuple(points[at : at + 4]) for at in range(0, len(points), 4)]


def test_leaves_are_shuffled(published, cases):
    made = published("stumps", "hidden")
    query = made.client.encrypt(cases["stumps"].rows[:1])
    places = set()
    for _ in range(6):
        pairs = _pairs(made.model.answer(query))
        places.add(tuple(at for at, pair in enumerate(pairs) if made.client.secret.is_zero(pair[:2])))
    assert len(places) > 1


def test_a_client_who_knows_its_own_randomness_cannot_count_costs(published, cases):
    """In a tree of one cut r cost = +- (r randomness) / randomness, were no fresh zero added at the root."""
    made = published("stumps", "hidden")
    secret, questions = made.client.secret, made.client.questions
    bits, known, payload = questions.bits(cases["stumps"].rows[:1])[0], 987_654_321, b""
    shared = known * int.from_bytes(secret.x, "little")
    for bit in bits:
        payload += multiple_of_base(scalar(known)) + multiple_of_base(scalar(shared + int(bit)))
    answer = made.model.answer(framed(HIDDEN_QUERY, made.client.fingerprint, 1, payload))
    closed = [pair for pair in _pairs(answer) if not secret.is_zero(pair[:2])]
    assert len(closed) == len(made.client.leaves)
    for pair in closed:
        counted = multiple(scalar(pow(known, -1, ORDER)), pair[0])
        assert secret.decrypt(pair[:2]) not in (counted, negative(counted))


def test_bits_that_are_no_bits_open_no_leaf_below_them(made, answered):
    """In plain sums 2, -1 and -1 would cancel out; under random weights no cost is 0."""
    rows, _, _ = answered
    bits = made.client.questions.bits(rows[:1])[0].astype(int)
    crooked = np.where(bits == 0, -1, 2)
    payload = b"".join(part for bit in crooked for part in encrypt(made.model.public, int(bit)))
    answer = made.model.answer(framed(HIDDEN_QUERY, made.client.fingerprint, 1, payload))
    assert not any(made.client.secret.is_zero(pair[:2]) for pair in _pairs(answer))
    with pytest.raises(WrongKey):
        made.client.decrypt(answer)


def test_a_query_looks_new_every_time_and_sizes_are_constant(made, cases, answered):
    rows, query, answer = answered
    again = made.client.encrypt(rows)
    one, other = (np.frombuffer(content[24:], dtype=np.uint8).reshape(-1, 32) for content in (query, again))
    assert (one != other).any(axis=1).all()
    others = made.client.encrypt(cases["binary"].rows[:ROWS])
    assert len(others) == len(query)
    assert len(made.model.answer(others)) == len(answer)


def test_a_question_in_two_is_a_decoy_and_decoys_are_the_models(published, made):
    forest = made.forest
    asked = {cut_of(forest, node) for node in np.flatnonzero(~forest.is_leaf)}
    cuts = set(made.client.questions.cuts)
    assert asked < cuts
    assert len(cuts) >= 1.9 * len(asked)
    assert cuts == set(published("binary", "hidden", user="bob").client.questions.cuts)


def test_a_cut_brings_its_decoys_along_into_the_next_model(made, published):
    """So what two champions of a name share is no list of the cuts they share."""
    forest, grid, key = made.forest, made.grid, b"k" * 32
    inner = np.flatnonzero(~forest.is_leaf)
    fewer = dataclasses.replace(forest, feature=forest.feature.copy())
    gone = inner[forest.tree[inner] >= 4]
    fewer.feature[gone] = -1
    one, other = (set(questions_of(each, grid, key, key).cuts) for each in (forest, fewer))
    cuts = {cut_of(forest, node) for node in inner}
    assert cuts - other
    both = one & other
    assert len(both & cuts) / len(both) < 0.6
    assert len((one - other) & cuts) / len(one - other) < 0.6


def test_a_set_has_a_decoy_though_no_other_set_names_its_codes(published):
    """In one-hot splits each set is of one code."""
    made = published("one-hot", "hidden")
    cuts = {cut_of(made.forest, node) for node in np.flatnonzero(~made.forest.is_leaf)}
    sets = {cut for cut in cuts if isinstance(cut[1], frozenset)}
    decoys = {cut for cut in made.client.questions.cuts if isinstance(cut[1], frozenset)} - sets
    assert len(sets) > 1
    assert len(decoys) == len(sets)
    named = set().union(*(where for _, where, _ in sets))
    assert set().union(*(where for _, where, _ in decoys)) - named
    assert max(set().union(*(where for _, where, _ in decoys))) <= max(named)


def test_every_leaf_is_tried_whichever_opens(made, answered, monkeypatch):
    _, _, answer = answered
    tried, is_zero = [], ElGamalSecret.is_zero
    monkeypatch.setattr(ElGamalSecret, "is_zero", lambda self, pair: tried.append(1) or is_zero(self, pair))
    made.client.decrypt(answer)
    assert len(tried) == ROWS * made.client.leaves.sum()


def test_the_artifact_holds_no_threshold_leaf_or_name(made):
    artifact, forest = made.model.to_bytes(), made.forest
    values = np.concatenate([*thresholds(forest), forest.value[forest.is_leaf], forest.intercept])
    for value in values[values % 1 != 0]:
        assert np.float64(value).tobytes() not in artifact
        assert scalar(round(float(value) * 2**made.client.fraction)) not in artifact
    for name in (*forest.features, "ada"):
        assert name.encode() not in artifact


def test_a_key_of_another_user_reads_nothing_and_says_so(published, made, answered):
    _, query, answer = answered
    bob = published("binary", "hidden", user="bob")
    with pytest.raises(WrongKey, match=made.client.fingerprint.hex()):
        bob.client.decrypt(answer)
    with pytest.raises(WrongKey):
        bob.model.answer(query)
    with pytest.raises(WrongKey, match="no leaf of a tree opens"):
        bob.client.decrypt(answer[:4] + bob.client.fingerprint + answer[20:])


def test_points_that_are_none_are_refused(made, answered):
    _, query, answer = answered
    asked = 24 + 64 * made.model._asked[0]
    torsion = (2**255 - 20).to_bytes(32, "little")
    honest = query[asked : asked + 32]
    for point in (torsion, add(honest, torsion), b"\xff" * 32, (2).to_bytes(32, "little")):
        for place in (asked, asked + 32):
            with pytest.raises(Malformed):
                made.model.answer(query[:place] + point + query[place + 32 :])
    with pytest.raises((Malformed, WrongKey)):
        made.client.decrypt(answer[:24] + (b"\xff" * 32 + answer[56:]))
    for content in (query[:-1], query + bytes(64), answer):
        with pytest.raises(Malformed):
            made.model.answer(content)


def test_the_neutral_point_is_no_way_in(made, answered):
    """Zeros throughout are valid ciphertexts of 0 with no randomness; the answer is that row's, and no more opens."""
    _, query, _ = answered
    zeros = framed(HIDDEN_QUERY, made.client.fingerprint, 1, ZERO * (2 * made.model.questions))
    pairs = _pairs(made.model.answer(zeros))
    assert sum(made.client.secret.is_zero(pair[:2]) for pair in pairs) == len(made.client.leaves)


def test_indices_of_a_damaged_artifact_are_refused(made):
    children = made.model.children.copy()
    inner = np.flatnonzero(made.model.question >= 0)
    children[inner[0]] = inner[0]
    for changes in ({"children": children}, {"roots": made.model.roots + 10**6}, {"public": bytes(32)}):
        with pytest.raises(Malformed):
            read_model(dataclasses.replace(made.model, **changes).to_bytes())
