import numpy as np
import pytest

from components.compatibility.flips import count_flips
from components.data.prediction_file import read_predictions, write_predictions
from components.data.texts.corpus import Corpus, Labels
from components.fairness.group_error import group_metrics
from components.language.answer import Answers, frame_predictions, intent_predictions, metrics_of, true_tags


def answers(corpus, labels, wrong_intents=(), wrong_slots=()):
    """The truth, but for the rows named."""
    scores = np.zeros((len(corpus), len(labels.intents)), dtype=np.float32)
    for row, utterance in enumerate(corpus.utterances):
        right = labels.intents.index(utterance.intent)
        scores[row, (right + (row in wrong_intents)) % len(labels.intents)] = 1
    tags = [("O",) * len(tags) if row in wrong_slots else tags for row, tags in enumerate(true_tags(corpus))]
    return Answers(labels, scores, tuple(tags))


def test_intents_are_predictions_with_language_as_the_group(corpus, labels):
    predictions = intent_predictions(answers(corpus, labels, wrong_intents={0, 3, 4}), corpus)
    assert predictions.right.tolist() == [row not in {0, 3, 4} for row in range(48)]
    assert predictions.rule.classes == labels.intents
    metrics = group_metrics(predictions, "error")
    assert {metric.group: (metric.n, metric.events) for metric in metrics} == {
        "language=en": (24, 2),
        "language=en-GB": (24, 1),
    }


def test_frames_are_right_when_intent_and_slots_are(corpus, labels):
    told = answers(corpus, labels, wrong_intents={1}, wrong_slots={0, 2})
    predictions = frame_predictions(told, corpus)
    # Row 2 says good morning: it has no slot to miss.
    assert np.flatnonzero(~predictions.right).tolist() == [0, 1]
    assert metrics_of(told, corpus).exact_match == pytest.approx(46 / 48)


def test_flips_between_two_models(corpus, labels):
    old = frame_predictions(answers(corpus, labels, wrong_intents={0, 1}), corpus)
    new = frame_predictions(answers(corpus, labels, wrong_slots={0, 3}), corpus)
    flips = count_flips(old.right, new.right)
    assert (flips.negative, flips.positive, flips.both_wrong) == (1, 1, 1)


def test_two_intents_are_a_binary_label(corpus, labels):
    two = Labels(("fly", "weather"), labels.slots, public=True)
    some = Corpus(tuple(utterance for utterance in corpus.utterances if utterance.intent != "hello"))
    predictions = intent_predictions(answers(some, two, wrong_intents={2}), some)
    assert predictions.rule.kind == "binary"
    assert np.flatnonzero(~predictions.right).tolist() == [2]


def test_predictions_of_texts_are_written_and_read_as_any(corpus, labels, tmp_path):
    for make in (intent_predictions, frame_predictions):
        predictions = make(answers(corpus, labels, wrong_intents={5}), corpus)
        write_predictions(predictions, tmp_path / "p.parquet")
        again = read_predictions(tmp_path / "p.parquet")
        assert again.rule == predictions.rule
        assert np.array_equal(again.right, predictions.right)
        assert again.groups["language"].levels == ("en", "en-GB")


def test_slots_of_answers_are_spans_of_the_text(corpus, labels):
    told = answers(corpus, labels)
    assert told.slots(corpus) == tuple(utterance.slots for utterance in corpus.utterances)
    assert told.intents == tuple(utterance.intent for utterance in corpus.utterances)
