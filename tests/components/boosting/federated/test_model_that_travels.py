"""A model's text on its way to owners: whole, small, and never more than was agreed."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.boosting.federated import model as travelling
from components.boosting.federated.model import text_of, written_model
from components.errors import InvalidInput
from components.federated import Content


@given(st.text())
def test_a_text_arrives_as_it_was(text):
    assert text_of(written_model(text, number=3)) == text


def test_a_large_model_fits_into_a_message():
    text = '{"split_conditions":[' + ",".join(f"{number / 7:.9g}" for number in range(10_000)) + "]}"
    assert written_model(text * 20).array.nbytes < 20 * len(text) / 2


@pytest.mark.parametrize(
    "octets", [b"", b"{}", zlib.compress(b"{}")[:-1], zlib.compress(b"\xff"), zlib.compress(b" " * 2000)]
)
def test_what_is_no_model_or_blows_up_is_refused(octets, monkeypatch):
    monkeypatch.setattr(travelling, "LARGEST_MODEL", 1000)
    with pytest.raises(InvalidInput):
        text_of(Content({}, np.frombuffer(octets, dtype=np.uint8)))
    with pytest.raises(InvalidInput):
        text_of(Content({}))
