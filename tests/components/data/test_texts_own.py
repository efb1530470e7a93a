import csv
import json

import pytest

from components.data.texts.corpus import labels_of
from components.data.texts.own import read_corpus, read_labels
from components.data.texts.split import TextSplit, checked_split
from components.errors import InvalidInput

FLY = {"utterance": "fly to New York today", "intent": "fly", "slots": [{"slot": "city", "start": 7, "end": 15}]}


def jsonl(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows))
    return path


def test_jsonl_with_slots_groups_and_users(tmp_path):
    path = jsonl(tmp_path / "own.jsonl", FLY | {"group": "en", "user": 7}, "", {"utterance": " ja \n", "intent": "yes"})
    one, two = read_corpus(path).utterances
    assert one.frame == (("city", "New York"),)
    assert (one.group, one.user, one.row_id) == ("en", "7", "own.jsonl@1")
    assert (two.text, two.group, two.user, two.row_id) == ("ja", "unknown", "", "own.jsonl@3")


def test_csv_and_jsonl_and_tags_say_the_same(tmp_path):
    with (tmp_path / "own.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["intent", "utterance", "slots", "ignored"])
        writer.writeheader()
        writer.writerow(FLY | {"slots": json.dumps(FLY["slots"])})
        writer.writerow(FLY | {"slots": "O O B-city I-city O"})
    from_csv = read_corpus(tmp_path / "own.csv").utterances
    from_tags = read_corpus(
        jsonl(tmp_path / "t.jsonl", FLY | {"slots": ["O", "O", "B-city", "I-city", "O"]})
    ).utterances
    assert len({utterance.slots for utterance in (*from_csv, *from_tags)}) == 1
    assert from_csv[0].frame == (("city", "New York"),)


def test_spans_count_from_the_text_as_written(tmp_path):
    path = jsonl(tmp_path / "own.jsonl", {"utterance": "  to Rome", "intent": "fly", "slots": FLY["slots"][:0]})
    assert read_corpus(path).utterances[0].text == "to Rome"
    row = {"utterance": "  to Rome", "intent": "fly", "slots": [{"slot": "city", "start": 5, "end": 9}]}
    assert read_corpus(jsonl(path, row)).utterances[0].frame == (("city", "Rome"),)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ('{"utterance": "a", "intent": }', "line 2 .*not valid JSON.* character 30"),
        ("[1, 2]", "line 2 .*list"),
        ({"utterance": "a"}, "line 2 .*'intent'"),
        ({"utterence": "a", "intent": "b"}, "line 2 .*'utterance'.*utterence"),
        ({"utterance": " \t ", "intent": "b"}, "line 2 .*empty utterance"),
        ({"utterance": "a", "intent": " "}, "line 2 .*empty intent"),
        ({"utterance": ["a"], "intent": "b"}, "line 2 .*'utterance' is of type list"),
        ({"utterance": "a " * 121, "intent": "b"}, "line 2 .*121 words"),
        (FLY | {"slots": [{"slot": "city", "start": 8, "end": 15}]}, r"line 2 .*'city' at \[8, 15\)"),
        (FLY | {"slots": [{"slot": "city", "start": 7, "end": 150}]}, r"line 2 .*'city' is at \[7, 150\)"),
        (FLY | {"slots": [{"slot": "city", "start": 7, "end": 7}]}, r"line 2 .*\[7, 7\)"),
        (FLY | {"slots": [{"slot": "city", "start": "7", "end": 15}]}, "line 2 .*start or end"),
        (FLY | {"slots": [{"start": 7, "end": 15}]}, "line 2 .*no name"),
        (
            FLY | {"slots": [*FLY["slots"], {"slot": "day", "start": 11, "end": 21}]},
            "line 2 .*'city' and 'day' overlap",
        ),
        (FLY | {"slots": "O O B-city O"}, "line 2 .*4 slot tags for 5 words"),
        (FLY | {"slots": "O O I-city O O"}, "line 2 .*tag 3 is 'I-city' and follows 'O'"),
        (FLY | {"slots": "O O X-city O O"}, "line 2 .*tag 3 is 'X-city'"),
        (FLY | {"slots": 5}, "line 2 .*'slots' is of type int"),
        (FLY | {"slots": "[{"}, "line 2 .*'slots' is not valid JSON"),
    ],
)
def test_every_mistake_names_file_line_and_value_and_no_text(tmp_path, row, named):
    path = jsonl(tmp_path / "own.jsonl", FLY, row)
    with pytest.raises(InvalidInput, match=named) as raised:
        read_corpus(path)
    assert "own.jsonl" in str(raised.value)
    assert "York" not in str(raised.value)


def test_files_that_are_no_texts(tmp_path):
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(json.dumps(FLY).encode() + b'\n{"utterance": "caf\xe9", "intent": "b"}\n')
    (tmp_path / "empty.csv").write_text(" ")
    (tmp_path / "header.csv").write_text("utterance,intent\n")
    (tmp_path / "ragged.csv").write_text("utterance,intent\nhello,b\nhello, you,b\n")
    (tmp_path / "quote.csv").write_text('utterance,intent\n"hello,b\n')
    (tmp_path / "other.csv").write_text("text,intent\nhello,b\n")
    for name, named in {
        "latin.jsonl": "line 2 of latin.jsonl is not UTF-8.*0xe9",
        "empty.csv": "empty",
        "header.csv": "no rows",
        "ragged.csv": "line 3 of ragged.csv",
        "quote.csv": "quote.csv is not CSV",
        "other.csv": "header of other.csv has no 'utterance'",
        "missing.csv": "does not exist",
        "texts.xlsx": "'.xlsx'",
    }.items():
        with pytest.raises(InvalidInput, match=named):
            read_corpus(tmp_path / name)


def test_files_of_parts_without_users_share_none(tmp_path):
    other = {"utterance": "stay", "intent": "stay"}
    files = [jsonl(tmp_path / f"{part}.jsonl", FLY, FLY, other, other) for part in ("train", "selection", "gate")]
    parts = [read_corpus(path) for path in files]
    split = checked_split(TextSplit(*parts, labels_of(parts[0])))
    assert len({user for part in split.parts.values() for user in part.users}) == 12


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(FLY).encode())
    assert read_corpus(path).utterances[0].text == FLY["utterance"]


def test_declared_labels_are_public(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"intents": ["fly", "stay"], "slots": ["city"]}))
    labels = read_labels(path)
    assert labels.public
    assert labels.tags == ("O", "B-city", "I-city")
    for wrong in ({"intents": ["fly"], "slots": []}, {"intents": ["a", "a"], "slots": []}, {"intents": ["a", "b"]}, []):
        path.write_text(json.dumps(wrong))
        with pytest.raises(InvalidInput, match="labels file"):
            read_labels(path)
