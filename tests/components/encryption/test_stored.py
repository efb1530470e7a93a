"""Artifacts that are damaged, cut or made by somebody else: refused before anything is computed on them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encryption import Malformed, WrongKey, publish, read_client, read_model
from components.encryption.stored import octets, restore, store


@pytest.mark.parametrize("mode", ["order", "hidden"])
def test_an_artifact_read_and_written_is_the_same(published, mode):
    made = published("binary", mode)
    for content, read in ((made.model.to_bytes(), read_model), (made.client.to_bytes(), read_client)):
        assert read(content).to_bytes() == content
        assert read(content).fingerprint == made.client.fingerprint == made.model.fingerprint


@pytest.mark.parametrize("mode", ["order", "hidden"])
def test_publishing_again_fits_the_bundle_a_user_has(cases, issued, published, mode):
    case, first = cases["stumps"], published("stumps", mode)
    again = publish(case.booster, issued(case.booster), mode=mode)
    assert again.client.to_bytes() == first.client.to_bytes()
    margins = first.client.decrypt(again.model.answer(first.client.encrypt(case.rows[:2])))
    np.testing.assert_allclose(margins, case.margins(case.rows[:2]), atol=1e-5)


def test_a_bundle_of_another_grid_is_noticed(cases, issued, published):
    """The keys are the same, and so would be all lengths."""
    case, first = cases["stumps"], published("stumps")
    edges = first.client.columns.grid.edges.astype(float) + np.arange(first.client.columns.grid.edges.shape[1]) * 1e-3
    splits = case.booster.trees_to_dataframe()
    cuts = {name: splits[splits.Feature == name].Split.dropna().to_list() for name in first.forest.features}
    public = {name: [*row[: len(row) - len(cuts[name])], *cuts[name]] for name, row in zip(cuts, edges, strict=True)}
    again = publish(case.booster, issued(case.booster), cut_points=public)
    with pytest.raises(WrongKey):
        again.model.answer(first.client.encrypt(case.rows[:1]))


def test_what_is_no_artifact_is_refused(published):
    made = published("binary")
    for content in (b"", b"PK\x03\x04", made.client.to_bytes(), made.model.to_bytes()[:-200]):
        with pytest.raises(Malformed):
            read_model(content)
    with pytest.raises(Malformed):
        read_client(made.model.to_bytes())


def test_pickles_are_not_read():
    content = store("x", {}, {"a": octets(b"1")})
    assert restore(content, "x", {"a": ("uint8", 1)})[1]["a"].tobytes() == b"1"
    with pytest.raises(Malformed):
        restore(store("x", {}, {"a": np.array([{}], dtype=object)}), "x", {"a": ("O", 1)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roots", np.array([10**6], dtype=np.int32)),
        ("roots", np.array([-1], dtype=np.int32)),
        ("column", np.array([0], dtype=np.int32)),
        ("token", np.zeros(3, dtype=np.int64)),
        ("members", np.zeros((1, 1), dtype=bool)),
        ("outputs", 0),
        ("outputs", 31),
        ("depth", -1),
    ],
)
def test_arrays_that_do_not_fit_are_refused(published, name, value):
    model = dataclasses.replace(published("binary").model, **{name: value})
    with pytest.raises(Malformed):
        read_model(model.to_bytes())


def test_trees_with_circles_are_refused(published):
    model = published("binary").model
    inner = np.flatnonzero(model.children[:, 0] != np.arange(len(model.children)))
    children = model.children.copy()
    children[inner[1]] = model.roots[0]
    with pytest.raises(Malformed, match="no trees"):
        read_model(dataclasses.replace(model, children=children).to_bytes())


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 0.999), octet=st.integers(1, 255))
def test_a_changed_octet_is_refused_or_harmless(published, place, octet):
    content = bytearray(published("stumps").model.to_bytes())
    content[int(place * len(content))] ^= octet
    try:
        read_model(bytes(content))
    except Malformed:
        return
