"""Texts that were trained on under another name are known again by keyed digests, and by nothing without the key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.privacy.likeness import Likeness, digests, most_alike, read_digests, write_digests

SAID = [(f"user {number % 7}", f"sentence {number}") for number in range(60)]
KEY = b"k" * 32


def test_the_same_texts_are_the_same_in_any_order_and_once_each():
    found = digests(KEY, SAID)
    assert len(found) == 60
    np.testing.assert_array_equal(found, digests(KEY, [*reversed(SAID), *SAID]))


def test_another_key_another_user_or_another_text_is_another_digest():
    found = digests(KEY, SAID)
    assert not np.isin(digests(b"q" * 32, SAID), found).any()
    assert not np.isin(digests(KEY, [(f"{user}!", text) for user, text in SAID]), found).any()
    # What is joined is told apart: a user's name is no part of the text.
    assert not np.isin(digests(KEY, [(user + text[:1], text[1:]) for user, text in SAID]), found).any()


@given(st.lists(st.tuples(st.text(), st.text())))
def test_what_is_written_is_read(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("budgets") / "a.texts"
    assert len(read_digests(path)) == 0
    write_digests(path, digests(KEY, texts))
    np.testing.assert_array_equal(read_digests(path), digests(KEY, texts))
    assert path.stat().st_mode & 0o077 == 0


def test_the_name_with_the_largest_share_is_found():
    mine = digests(KEY, SAID)
    others = {"half": digests(KEY, SAID[:30]), "none": digests(KEY, [("a", "b")])}
    others["most"] = digests(KEY, [*SAID[:45], *((user, f"more {text}") for user, text in SAID)])
    assert most_alike(mine, {"most": others["most"]}) == Likeness(pytest.approx(0.75), "most", "ours")
    assert most_alike(mine, {}) == most_alike(mine[:0], others) == Likeness()
    assert most_alike(mine, {"none": others["none"], "empty": mine[:0]}).share == 0


def test_a_data_set_that_swallowed_another_is_found():
    """Of ours a third is theirs, but of theirs all is ours: trained on again, they would spend again."""
    mine, theirs = digests(KEY, SAID), digests(KEY, SAID[:20])
    assert most_alike(mine, {"may": theirs}) == Likeness(1.0, "may", "theirs")


def test_a_mixture_of_many_is_found():
    large = [[*SAID[start : start + 20], *((user, f"{start} {text}") for user, text in SAID)] for start in (0, 20)]
    found = most_alike(digests(KEY, SAID), {str(number): digests(KEY, part) for number, part in enumerate(large)})
    assert found == Likeness(pytest.approx(2 / 3), "0", "all")
