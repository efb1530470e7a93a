import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.texts.align import misaligned, slots_of, spans_of, tags_of, words_of
from components.data.texts.corpus import Slot, Utterance


def words(text):
    return [text[start:end] for start, end in words_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("play Aspro Mavro, please", ["play", "Aspro", "Mavro", ",", "please"]),
        ("don't", ["don", "'", "t"]),
        ("  \t ", []),
        ("打开灯 lamp2", ["打", "开", "灯", "lamp2"]),
        ("cafe\u0301 bar", ["cafe\u0301", "bar"]),
        ("20%", ["20", "%"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text(max_size=60))
def test_words_cover_all_but_white_space_in_order(text):
    spans = words_of(text)
    covered = "".join(text[start:end] for start, end in spans)
    assert covered == "".join(mark for mark in text if not mark.isspace())
    assert all(first[1] <= second[0] for first, second in zip(spans, spans[1:], strict=False))


@st.composite
def tagged_utterances(draw):
    """Random words, with slots of whole words that do not overlap."""
    text = " ".join(draw(st.lists(st.text("abzé1", min_size=1, max_size=4), min_size=1, max_size=12)))
    spans = words_of(text)
    borders = sorted(draw(st.sets(st.integers(0, len(spans)), max_size=8)))
    slots = []
    for first, after in zip(borders[::2], borders[1::2], strict=False):
        slots.append(Slot(draw(st.sampled_from(["city", "time"])), spans[first][0], spans[after - 1][1]))
    return Utterance("1", text, "go", tuple(slots))


@given(tagged_utterances())
def test_slots_survive_tags_and_back(utterance):
    spans = words_of(utterance.text)
    assert misaligned(utterance, spans) is None
    assert slots_of(tags_of(utterance, spans), spans) == utterance.slots


@given(tagged_utterances())
def test_tags_agree_with_slots_word_by_word(utterance):
    for (start, _), tag in zip(words_of(utterance.text), tags_of(utterance, words_of(utterance.text)), strict=True):
        inside = [slot for slot in utterance.slots if slot.start <= start < slot.end]
        expected = f"{'B' if inside[0].start == start else 'I'}-{inside[0].name}" if inside else "O"
        assert tag == expected


def test_neighbouring_slots_of_one_name_stay_apart():
    assert spans_of(["B-a", "B-a", "I-a", "O", "I-b"]) == [("a", 0, 1), ("a", 1, 3), ("b", 4, 5)]


def test_a_slot_that_ends_within_a_word_is_found():
    utterance = Utterance("1", "at one pmnear here", "go", (Slot("time", 3, 9),))
    assert misaligned(utterance, words_of(utterance.text)) == Slot("time", 3, 9)
