import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from components.data.texts.align import spans_of
from components.language.metrics import slot_counts, slots_right, text_metrics

TAGS = st.sampled_from(["O", "B-city", "I-city", "B-day", "I-day"])


@st.composite
def pairs(draw):
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    return tuple([draw(st.lists(TAGS, min_size=n, max_size=n)) for n in lengths] for _ in range(2))


@given(st.lists(TAGS, max_size=9))
def test_spans_are_those_of_seqeval(tags):
    assert spans_of(tags) == [(name, first, last + 1) for name, first, last in get_entities(tags)]


@settings(max_examples=60)
@given(pairs())
@pytest.mark.filterwarnings("ignore::Warning")
def test_figures_are_those_of_seqeval(pair):
    truth, told = pair
    counts = slot_counts(truth, told)
    assert counts.f1 == pytest.approx(f1_score(truth, told, zero_division=0))
    assert counts.precision == pytest.approx(precision_score(truth, told, zero_division=0))
    assert counts.recall == pytest.approx(recall_score(truth, told, zero_division=0))


def test_a_border_off_by_one_is_wrong():
    truth = [["B-city", "I-city", "O"]]
    assert slot_counts(truth, [["B-city", "O", "O"]]).f1 == 0
    assert slot_counts(truth, truth).f1 == 1


def test_a_frame_is_right_when_intent_and_every_slot_are():
    truth = [["B-a"], ["O"], ["B-a"], ["B-a"]]
    told = [["B-a"], ["O"], ["O"], ["I-a"]]
    assert slots_right(truth, told).tolist() == [True, True, False, True]
    figures = text_metrics(np.array([True, False, True, True]), truth, told)
    assert (figures.utterances, figures.intent_accuracy, figures.exact_match) == (4, 0.75, 0.5)
    assert figures.slot_f1 == pytest.approx(2 * 2 / (2 + 3))
