"""What parties compare before they start: the same document passes, any other is named by its key."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.mpc.hello import PROTOCOL, Hello, decode, difference, resume_from
from components.mpc.network import PartyLost

AGREEMENT = {"rows": 920, "features": ["age", "dose"], "training": {"eta": 0.3, "max_depth": 4}}
SCALARS = st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(SCALARS, lambda below: st.lists(below) | st.dictionaries(st.text(), below), max_leaves=4),
    max_size=4,
)


def apart(theirs: dict) -> str | None:
    return difference(Hello("insurer", theirs), Hello("hospital", AGREEMENT))


@given(DOCUMENTS)
def test_a_document_agrees_with_itself_after_its_journey(document):
    hello = Hello("hospital", document)

    assert difference(decode(hello.encode()), hello) is None


@given(DOCUMENTS, DOCUMENTS)
def test_documents_agree_exactly_when_they_are_equal(one, other):
    assert (difference(Hello("a", one), Hello("b", other)) is None) == (one == other)


def test_numbers_agree_as_numbers_and_not_with_truths():
    assert difference(Hello("a", {"eta": 1}), Hello("b", {"eta": 1.0})) is None
    assert "eta = true" in difference(Hello("a", {"eta": True}), Hello("b", {"eta": 1}))


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (AGREEMENT | {"rows": 919}, "rows = 919 where 'hospital' has 920"),
        (AGREEMENT | {"features": ["age", "Dose"]}, 'features[1] = "Dose"'),
        (AGREEMENT | {"features": ["age"]}, "features (length) = 1"),
        (AGREEMENT | {"training": {"eta": 0.3}}, "training.max_depth = nothing where 'hospital' has 4"),
        (AGREEMENT | {"extra": True}, "extra = true where 'hospital' has nothing"),
        (AGREEMENT | {"rows": 1, "training": {"eta": 0.1, "max_depth": 4}}, "(and 1 more)"),
    ],
    ids=str,
)
def test_a_difference_is_named_by_its_key(theirs, named):
    assert named in apart(theirs)


def test_another_version_is_named_before_anything_else():
    ours = Hello("hospital", AGREEMENT)

    assert "troth 0.0.1" in difference(replace(ours, product="0.0.1", agreement={}), ours)
    assert f"protocol {PROTOCOL + 1}" in difference(replace(ours, protocol=PROTOCOL + 1), ours)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"agreement": {}, "colour": 1}', b"GET / HTTP/1.1"])
def test_what_is_no_hello(content):
    with pytest.raises(ValueError):  # noqa: PT011
        decode(content)


def test_owners_in_another_order_would_have_other_numbers():
    ours, theirs = (Hello(name, {}, owners=owners) for name, owners in [("a", ["a", "b"]), ("b", ["b", "a"])])
    assert "lists the owners b, a where 'a' lists a, b" in difference(decode(theirs.encode()), ours)
    assert difference(decode(replace(theirs, owners=["a", "b"]).encode()), ours) is None


def hellos(**finished) -> list[Hello]:
    """Of owners with steps, number → tag, and of the dealer, as they arrive and, the first, as it was made."""
    made = [Hello(name, {}, finished=sorted(steps.items())) for name, steps in finished.items()]
    return [made[0], *(decode(hello.encode()) for hello in [*made[1:], Hello("dealer", {})])]


@pytest.mark.parametrize(
    ("finished", "last"),
    [
        ({"a": {6: "x", 7: "y"}, "b": {6: "x", 7: "y"}}, 7),
        ({"a": {6: "x", 7: "y"}, "b": {5: "w", 6: "x"}}, 6),
        ({"a": {2: "x", 3: "y"}, "b": {2: "x", 3: "other"}, "c": {2: "x", 3: "y"}}, 2),
        ({"a": {2: "x", 3: "y"}, "b": {}}, 0),
        ({"a": {}, "b": {}}, 0),
    ],
    ids=str,
)
def test_all_go_on_from_the_last_step_of_the_same_tries(finished, last):
    assert resume_from(hellos(**finished)) == last


def test_steps_of_which_none_is_the_same_are_left_alone():
    with pytest.raises(PartyLost, match=r"'a' \[6, 7\], 'b' \[3, 4\].*restore"):
        resume_from(hellos(a={6: "x", 7: "y"}, b={3: "u", 4: "v"}))
