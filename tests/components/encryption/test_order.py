"""Mode `order` end to end: the leaf and margin of XGBoost, artifacts that tell nothing, and what is refused."""

import dataclasses
import json
import struct

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encryption import Malformed, WrongKey, publish, read_client, read_model
from components.encryption.grid import thresholds
from components.encryption.order_model import SLOT, slots_of
from components.encryption.paillier import signed_slots
from components.errors import InvalidInput

CUT_POINTS = ("decoys", "untold")


@pytest.mark.parametrize("cut_points", CUT_POINTS)
def test_margins_are_those_of_xgboost_for_every_kind_of_model(cases, published, cut_points):
    for kind, case in cases.items():
        made = published(kind, cut_points=cut_points)
        model, client = read_model(made.model.to_bytes()), read_client(made.client.to_bytes())
        for rows in (case.rows[:8], case.edges[:64]):
            margins = client.decrypt(model.answer(client.encrypt(rows)))
            np.testing.assert_allclose(margins, case.margins(rows), rtol=1e-6, atol=1e-5)
            np.testing.assert_allclose(margins, made.forest.margins(rows), rtol=0, atol=1e-9)


@pytest.mark.parametrize("cut_points", CUT_POINTS)
def test_the_server_reaches_the_leaves_that_xgboost_names(cases, published, cut_points):
    for kind in ("binary", "multiclass", "one-hot"):
        made, case = published(kind, cut_points=cut_points), cases[kind]
        forest, model, client = made.forest, made.model, made.client
        # Leaves are known apart by what they hold; the server's trees come in another order.
        slots = [signed_slots(client.secret.decrypt(one), model.outputs, SLOT) for one in model.ciphertexts]
        held = np.array(slots, dtype=np.float64)[model.leaf] / 2**client.fraction
        wanted = np.zeros((len(forest.value), forest.outputs))
        wanted[np.arange(len(forest.value)), forest.output[forest.tree]] = forest.value
        number = {(int(t), int(n)): place for place, (t, n) in enumerate(zip(forest.tree, forest.number, strict=True))}
        for row, leaves in zip(case.edges[:120], case.leaves(case.edges[:120]), strict=True):
            reached = model.reached(client.columns.encrypt(row[None]))[0]
            expected = [number[tree, leaf] for tree, leaf in enumerate(leaves)]
            one, other = held[reached], wanted[expected]
            np.testing.assert_allclose(one[np.lexsort(one.T)], other[np.lexsort(other.T)], atol=1e-11)


def test_predictions_are_those_of_xgboost(cases, published):
    for kind in ("binary", "multiclass", "regression"):
        made, rows = published(kind), cases[kind].rows[:20]
        margins = made.client.decrypt(made.model.answer(made.client.encrypt(rows)))
        np.testing.assert_allclose(
            made.client.meaning.predict(margins), cases[kind].booster.inplace_predict(rows), rtol=1e-5, atol=1e-6
        )


def test_public_edges_serve_as_well(cases, issued):
    case = cases["regression"]
    made = publish(case.booster, issued(case.booster), cut_points=_own_edges(case))
    margins = made.client.decrypt(made.model.answer(made.client.encrypt(case.edges[:20])))
    np.testing.assert_allclose(margins, case.margins(case.edges[:20]), rtol=1e-6)


def _own_edges(case) -> dict:
    splits = case.booster.trees_to_dataframe()
    return {name: [*splits[splits.Feature == name].Split.dropna(), 0.0] for name in case.booster.feature_names}


def test_at_3072_bits_too(cases, issued):
    case = cases["stumps"]
    made = publish(case.booster, issued(case.booster, bits=3072))
    margins = made.client.decrypt(made.model.answer(made.client.encrypt(case.rows[:5])))
    np.testing.assert_allclose(margins, case.margins(case.rows[:5]), atol=1e-5)


def test_sizes_depend_on_the_number_of_rows_alone(cases, published):
    made, case = published("binary"), cases["binary"]
    for count in (1, 3, 30, 31):
        queries = [made.client.encrypt(rows[:count]) for rows in (case.rows, case.edges, case.edges[::-1])]
        assert len({len(query) for query in queries}) == 1
        assert len({len(made.model.answer(query)) for query in queries}) == 1
    assert made.model.group == 30
    assert len(made.model.answer(made.client.encrypt(case.rows[:30]))) == 24 + 512


def test_a_missing_value_looks_like_a_value(cases, published):
    """In each column missing ranks beside values: below all of them or above, in an interval like any other."""
    client = published("binary").client
    rows = np.repeat(cases["binary"].rows[:1], 2000, axis=0)
    rows[:, 0] = np.nan
    extreme = rows.copy()
    extreme[:, 0] = -np.inf
    place = client.columns.places[0, "low"]
    missing, lowest = (np.sort(client.columns.encrypt(one)[:, place].astype(float)) for one in (rows, extreme))
    assert len(np.unique(missing)) > 1990
    assert missing[-1] < lowest[0] or lowest[-1] < missing[0]
    cuts = client.columns.thresholds(np.zeros(1, int), thresholds(published("binary").forest)[0][:1], np.ones(1, bool))
    low, turned = float(cuts[1][0]), bool(cuts[2][0])
    # No cut of the model lies between the two.
    assert ((missing < low) != turned).all()
    assert ((lowest < low) != turned).all()


def test_the_artifact_holds_no_threshold_leaf_or_name(cases, published):
    for kind in ("binary", "multiclass"):
        made = published(kind)
        artifact, forest = made.model.to_bytes(), made.forest
        words = _words_of(made.model)
        values = np.concatenate([*thresholds(forest), forest.value[forest.is_leaf], forest.intercept])
        # Small whole numbers occur by chance: as sizes, indices, zeros.
        for value in values[values % 1 != 0]:
            assert np.float64(value).tobytes() not in artifact
            assert np.float32(value).tobytes() not in words
            assert np.float32(value).tobytes()[::-1] not in words
            assert len(text := f"{value:.6g}") < 5 or text.encode() not in words
            assert struct.pack("<q", round(float(value) * 2**40)) not in artifact
        for name in (*forest.features, "town", "ada", "bob"):
            assert name.encode() not in artifact


def _words_of(model) -> bytes:
    """Everything in the artifact but ciphertexts, in which four given bytes occur by chance."""
    plain = [getattr(model, one.name) for one in dataclasses.fields(model)]
    return b"".join(one.tobytes() for one in plain if isinstance(one, np.ndarray))


def test_the_grid_is_not_in_what_a_client_of_untold_cut_points_gets(published):
    bundle = published("binary", cut_points="untold").client.to_bytes()
    for value in np.concatenate(thresholds(published("binary").forest)):
        assert np.float32(value).tobytes() not in bundle or value == 0


def test_the_same_row_asked_twice_has_other_tokens(cases, published):
    client = published("binary").client
    numeric = client.columns.numeric
    first, second = (client.columns.encrypt(cases["binary"].rows[:1])[0, numeric] for _ in range(2))
    assert (first != second).all()


def test_a_key_of_another_user_reads_nothing_and_says_so(cases, published):
    ada, bob = (published("binary", user=user) for user in ("ada", "bob"))
    rows = cases["binary"].rows[:3]
    answer = ada.model.answer(ada.client.encrypt(rows))
    with pytest.raises(WrongKey, match=ada.client.fingerprint.hex()):
        bob.client.decrypt(answer)
    with pytest.raises(WrongKey, match=bob.client.fingerprint.hex()):
        ada.model.answer(bob.client.encrypt(rows))
    # Even where a server relabels what it sends.
    with pytest.raises((WrongKey, Malformed)):
        bob.client.decrypt(answer[:4] + bob.client.fingerprint + answer[20:])


def test_a_damaged_answer_is_noticed(cases, published):
    made = published("binary")
    answer = bytearray(made.model.answer(made.client.encrypt(cases["binary"].rows[:3])))
    answer[-5] ^= 1
    with pytest.raises(WrongKey, match="damaged"):
        made.client.decrypt(bytes(answer))
    width = made.model.key.length
    for ciphertext in (bytes(width), made.model.key.to_bytes(made.model.key.square), b"\xff" * width):
        with pytest.raises(Malformed):
            made.client.decrypt(bytes(answer[:24]) + ciphertext)


def test_queries_that_no_client_sends_are_refused(cases, published):
    made = published("binary")
    query = made.client.encrypt(cases["binary"].rows[:2])
    bad = [b"", query[:10], query[:-1], query + b"\0", b"XXXX" + query[4:], query[:20] + struct.pack("<I", 0)]
    bad += [query[:20] + struct.pack("<I", 2**32 - 1) + query[24:], query[:20] + struct.pack("<I", 1) + query[24:]]
    for content in bad:
        with pytest.raises(Malformed):
            made.model.answer(content)
    town = 24 + 8 * made.client.columns.places[3, "category"]
    with pytest.raises(Malformed, match="no category"):
        made.model.answer(query[:town] + bytes(8) + query[town + 8 :])
    with pytest.raises(Malformed, match="2 rows; send 1 to 1"):
        made.model.answer(query, most_rows=1)


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.floats(0, 1),
)
def test_any_damaged_query_is_answered_alike_or_refused(cases, published, changes, cut):
    made, rows = published("stumps"), cases["stumps"].rows[:2]
    query = bytearray(made.client.encrypt(rows))
    for place, octet in changes:
        query[int(place * len(query))] = octet
    content = bytes(query[: len(query) if cut is None else int(cut * len(query))])
    try:
        answer = made.model.answer(content)
    except (Malformed, WrongKey):
        return
    assert len(answer) == 24 + made.model.key.length


def test_the_artifact_holds_no_secret(published):
    for mode in ("order", "hidden"):
        made = published("binary", mode)
        artifact, client = made.model.to_bytes(), made.client
        if mode == "hidden":
            secrets = [client.secret.x]
        else:
            numbers = [client.secret.p, client.secret.q, client.secret.root, client.check]
            secrets = [client.columns.names_key, client.columns.order_key]
            for number in map(int, numbers):
                octets = number.to_bytes(-(-number.bit_length() // 8), "big")
                secrets += [octets, octets[::-1]]
        assert not [secret for secret in secrets if secret in artifact]
        assert all(secret in client.to_bytes() for secret in secrets[:2])


def test_rows_of_another_shape_are_refused(published):
    client = published("binary").client
    for rows in (np.zeros((2, 3)), np.zeros(4), np.zeros((0, 4)), [["a", 1, 2, 3]]):
        with pytest.raises(InvalidInput):
            client.encrypt(rows)


@pytest.mark.parametrize("size", [1e7, 3e14, 2e37])
def test_large_labels_fit_into_a_slot(trained, issued, size):
    case = trained("regression", rounds=3)
    document = json.loads(case.booster.save_raw("json").decode())
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        leaf = np.array(tree["left_children"]) == -1
        largest = np.abs(np.array(tree["split_conditions"])[leaf]).max()
        tree["split_conditions"] = [
            float(np.float32(one / largest * size)) if is_leaf else one
            for one, is_leaf in zip(tree["split_conditions"], leaf, strict=True)
        ]
        tree["base_weights"] = tree["split_conditions"]
    booster = xgboost.Booster(model_file=bytearray(json.dumps(document).encode()))
    made = publish(booster, issued(booster))
    margins = made.client.decrypt(made.model.answer(made.client.encrypt(case.rows[:40])))
    expected = booster.inplace_predict(case.rows[:40], predict_type="margin").reshape(-1, 1)
    np.testing.assert_allclose(margins, expected, rtol=1e-5, atol=1e-6 * size)


def test_more_classes_than_slots_are_refused(issued):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(100, 2)), np.arange(100) % 31
    wanted = {"objective": "multi:softprob", "num_class": 31, "max_depth": 1, "nthread": 1}
    booster = xgboost.train(wanted, xgboost.DMatrix(rows, labels), 1)
    assert slots_of(2048) == 30
    with pytest.raises(InvalidInput, match="31 outputs"):
        publish(booster, issued(booster))


def test_keys_of_another_model_are_refused(cases, issued):
    with pytest.raises(InvalidInput, match="keys are for model"):
        publish(cases["binary"].booster, issued(cases["dart"].booster))
    for options in ({"mode": "plain"}, {"cut_points": "none"}, {"mode": "hidden", "cut_points": "untold"}):
        with pytest.raises(InvalidInput):
            publish(cases["binary"].booster, issued(cases["binary"].booster), **options)
