"""Frames: what goes in comes out, and nothing else is taken for one."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.federated.frame import bind, pack, unpack
from components.federated.violation import ProtocolViolation

FIELDS = st.one_of(st.integers(), st.text(), st.binary())


def by_hand(head: bytes) -> bytes:
    return b"TrF1" + struct.pack("<I", len(head)) + head


def test_a_frame_by_hand_is_taken():
    assert unpack(by_hand(b'["kind",{"here":0.5},[1]] ') + b"x", "kind", sender="x") == ({"here": 0.5}, [b"x"])


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.none())), st.lists(st.binary()))
def test_a_frame_comes_out_as_it_went_in(document, parts):
    found, octets = unpack(pack("kind", document, parts), "kind", sender="x")
    assert (found, [bytes(part) for part in octets]) == (document, parts)


def test_words_lie_where_the_processor_likes_them():
    for length in range(20):
        content = pack("k" * length, {}, [b"12345678"])
        assert (len(content) - 8) % 8 == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"XXXX" + content[4:],
        lambda content: content[:4] + struct.pack("<I", 2**32 - 1) + content[8:],
        lambda content: content.replace(b"[3]", b"[-]"),
        lambda content: content.replace(b"[3]", b"[4]"),
        lambda content: content.replace(b'"here":1', b'"here":N'),
        lambda content: content[:3],
        lambda content: b"",
        lambda content: pack("other", {"here": 1}, [b"abc"]),
        lambda content: b"TrF1" + struct.pack("<I", 5) + b"[[[[[",
        lambda content: b"TrF1" + struct.pack("<I", 100_000) + b"[" * 100_000,
        lambda content: by_hand(b'["kind",{"here":NaN},[]]'),
        lambda content: by_hand(b'["kind",{"here":1e999},[]]'),
        lambda content: by_hand(b'["kind",{},[-1]]'),
        lambda content: by_hand(b'["kind",{},[true]]') + b"x",
        lambda content: by_hand(b'["kind",{},null]'),
        lambda content: by_hand(b'["kind",[],[]]'),
        lambda content: by_hand(b'["kind",{}]'),
        lambda content: by_hand(b'["kind",{},[]]' + bytes(1)),
        lambda content: by_hand(b'["kind",{"here":' + b"9" * 5000 + b"},[]]"),
    ],
)
def test_anything_else_is_refused_in_the_sender_s_name(spoil):
    content = pack("kind", {"here": 1}, [b"abc"])
    with pytest.raises(ProtocolViolation, match="'hospital'"):
        unpack(spoil(content), "kind", sender="hospital")


@given(st.lists(FIELDS), st.lists(FIELDS))
def test_different_fields_never_read_the_same(one, other):
    assert (bind(*one) == bind(*other)) == (one == other)
