"""SNIPS and CLINC150 in the form they are published in, on small files; on the real ones where a folder is named."""

import json
import os
from pathlib import Path

import pytest

from components.data.texts.align import misaligned, words_of
from components.data.texts.clinc import read_clinc
from components.data.texts.snips import from_segments, read_snips
from components.errors import InvalidInput

PLAY = [{"text": "play "}, {"text": " Té Para Tres ", "entity": "track"}, {"text": "\n"}]
RATE = [{"text": "rate "}, {"text": "this", "entity": "select"}, {"text": " "}, {"text": "book", "entity": "type"}]
TORN = [{"text": "around "}, {"text": "one pm", "entity": "time"}, {"text": "near Rome"}]


def snips(folder, **intents):
    for name, entries in intents.items():
        document = {name.split("_")[1]: [{"data": data} for data in entries]}
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False))
    return folder


@pytest.fixture
def folder(tmp_path):
    return snips(
        tmp_path,
        train_PlayMusic_full=[PLAY] * 150,
        validate_PlayMusic=[PLAY, TORN],
        train_RateBook_full=[RATE] * 150,
        validate_RateBook=[RATE],
    )


def test_snips_segments_become_spans(folder):
    split = read_snips(folder)
    assert split.gate.utterances[0].text == "play  Té Para Tres"
    assert split.gate.utterances[0].frame == (("track", "Té Para Tres"),)
    assert split.labels.slots == ("select", "track", "type")
    assert split.labels.public
    assert len(split.train) + len(split.selection) == 300
    assert 0 < len(split.selection) < 60


def test_snips_utterances_whose_slots_tear_words_are_left_out(folder):
    assert [utterance.intent for utterance in read_snips(folder).gate.utterances] == ["PlayMusic", "RateBook"]


def test_a_text_of_more_words_than_models_read_is_named(folder):
    path = folder / "validate_RateBook.json"
    path.write_text(json.dumps({"RateBook": [{"data": [{"text": "rate " * 121}]}]}))
    with pytest.raises(InvalidInput, match=r"entry 1 of .*validate_RateBook\.json .* 121 words"):
        read_snips(folder)


def test_a_latin_1_byte_amid_utf_8_is_read_as_what_it_is(folder):
    path = folder / "train_PlayMusic_full.json"
    path.write_bytes(path.read_bytes().replace("Té".encode(), b"T\xe9", 1))
    texts = {utterance.text for part in read_snips(folder).parts.values() for utterance in part.utterances}
    assert texts == {"play  Té Para Tres", "rate this book"}


def test_leading_white_space_moves_no_span():
    utterance = from_segments("1", "x", [("  \n", None), (" Rome", "city"), (" now ", None)])
    assert utterance.frame == (("city", "Rome"),)
    assert utterance.text == "Rome now"


def test_snips_mistakes(folder, tmp_path_factory):
    with pytest.raises(InvalidInput, match="validate_INTENT.json"):
        read_snips(tmp_path_factory.mktemp("empty"))
    (folder / "validate_RateBook.json").write_text('{"RateBook": [{"text": 1}]}')
    with pytest.raises(InvalidInput, match=r"validate_RateBook.json.*'RateBook'"):
        read_snips(folder)
    for wrong in ({"text": 1}, {"text": "rate", "entity": 1}, {"entity": "type"}, 5):
        (folder / "validate_RateBook.json").write_text(json.dumps({"RateBook": [{"data": [wrong]}]}))
        with pytest.raises(InvalidInput, match=r"validate_RateBook.json.*'RateBook'"):
            read_snips(folder)
    (folder / "validate_RateBook.json").write_text('{"RateBook": [{"data": [{"text": "rate \\ud83d"}]}]}')
    with pytest.raises(InvalidInput, match=r"validate_RateBook.json.*surrogate"):
        read_snips(folder)
    (folder / "validate_RateBook.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"validate_RateBook.json.*character 2"):
        read_snips(folder)
    (folder / "train_RateBook_full.json").unlink()
    with pytest.raises(InvalidInput, match="train_RateBook_full.json"):
        read_snips(folder)


def clinc(folder, **parts):
    given = {key: [["pay my bill", "pay"], ["hello", "greet"]] * 2 for key in ("train", "val", "test")}
    given |= {key: [["what is love", "oos"]] * 2 for key in ("oos_train", "oos_val", "oos_test")}
    (folder / "data_full.json").write_text(json.dumps(given | parts))
    return folder


def test_clinc_with_and_without_what_is_out_of_scope(tmp_path):
    split = read_clinc(clinc(tmp_path))
    assert split.labels.intents == ("greet", "oos", "pay")
    assert [len(part) for part in split.parts.values()] == [6, 6, 6]
    assert read_clinc(tmp_path, out_of_scope=False).labels.intents == ("greet", "pay")


def test_clinc_mistakes(tmp_path):
    with pytest.raises(InvalidInput, match="data_full.json does not exist"):
        read_clinc(tmp_path)
    with pytest.raises(InvalidInput, match="'oos_val'"):
        read_clinc(clinc(tmp_path, oos_val=[["alone"]]))
    with pytest.raises(InvalidInput, match="'val'"):
        read_clinc(clinc(tmp_path, val=[[5, "pay"]]))
    with pytest.raises(InvalidInput, match=r"'refund' of the gate part"):
        read_clinc(clinc(tmp_path, test=[["money back", "refund"]]))


@pytest.mark.skipif("SNIPS_FOLDER" not in os.environ, reason="name the real files' folder to read them")
def test_the_real_snips():
    split = read_snips(Path(os.environ["SNIPS_FOLDER"]))
    assert [len(split.train) + len(split.selection), len(split.gate)] == [13784, 697]
    assert (len(split.labels.intents), len(split.labels.slots)) == (7, 39)
    for part in split.parts.values():
        assert all(misaligned(utterance, words_of(utterance.text)) is None for utterance in part.utterances)


@pytest.mark.skipif("CLINC_FOLDER" not in os.environ, reason="name the real file's folder to read it")
def test_the_real_clinc():
    split = read_clinc(Path(os.environ["CLINC_FOLDER"]))
    assert [len(part) for part in split.parts.values()] == [15100, 3100, 5500]
    assert len(split.labels.intents) == 151
