import csv
import json
import re

import pytest

from components.data.texts.corpus import labels_of
from components.data.texts.own import read_corpus, read_labels, read_utterances
from components.data.texts.split import TextSplit, checked_split
from components.errors import InvalidInput

FLY = {"utterance": "fly to New York today", "intent": "fly", "slots": [{"slot": "city", "start": 7, "end": 15}]}

DEEP = '{"utterance": "York", "intent": "b", "ignored": %s}'


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
        ({"utterence": "York", "York": "b"}, "line 2 .*no 'utterance' among its 2 keys"),
        ({"utterance": " \t ", "intent": "b"}, "line 2 .*empty utterance"),
        ({"utterance": "a", "intent": " "}, "line 2 .*empty intent"),
        ({"utterance": ["a"], "intent": "b"}, "line 2 .*'utterance' is of type list"),
        ({"utterance": True, "intent": "b"}, "line 2 .*'utterance' is of type bool"),
        ({"utterance": 4711, "intent": "b"}, "line 2 .*'utterance' is of type int"),
        ({"utterance": {"York": 1}, "intent": "b"}, "line 2 .*'utterance' is of type dict"),
        ({"utterance": "a", "intent": False}, "line 2 .*'intent' is of type bool"),
        ({"utterance": "a", "intent": "b", "user": 1.5}, "line 2 .*'user' is of type float"),
        ({"utterance": "a", "intent": "b", "group": ["York"]}, "line 2 .*'group' is of type list"),
        ('{"utterance": "York \\ud800", "intent": "b"}', "line 2 .*surrogate"),
        ('{"utterance": "a", "intent": "York \\uDFFF"}', "line 2 .*surrogate"),
        (FLY | {"slots": ["O", "O", "B-\udc80", "O", "O"]}, "line 2 .*surrogate"),
        (DEEP % ("[" * 200_000 + "]" * 200_000), "line 2 .*nested too deep"),
        (DEEP % ("9" * 5000), "line 2 .*thousands of digits"),
        ('{"utterance": "York", "intent": "b", "utterance": "a"}', "line 2 .*twice"),
        ('{"utterance": "a", "intent": "b", "slots": [{"slot": "York", "slot": "a"}]}', "line 2 .*twice"),
        ({"utterance": "a " * 121, "intent": "b"}, "line 2 .*121 words"),
        (FLY | {"slots": [{"slot": "York", "start": 8, "end": 15}]}, r"line 2 .*slot at \[8, 15\)"),
        (FLY | {"slots": [{"slot": "York", "start": 7, "end": 150}]}, "line 2 .*slot 1 .*21 characters"),
        (FLY | {"slots": [{"slot": "York", "start": 7, "end": 7}]}, "line 2 .*slot 1 is empty"),
        (FLY | {"slots": [{"slot": "York", "start": "7", "end": 15}]}, "line 2 .*slot 1 .*start and end"),
        (FLY | {"slots": [*FLY["slots"], {"start": 7, "end": 15}]}, "line 2 .*slot 2 has no name"),
        (FLY | {"slots": [*FLY["slots"], "York"]}, "line 2 .*slot 2 has no name"),
        (
            FLY | {"slots": [*FLY["slots"], {"slot": "York", "start": 11, "end": 21}]},
            r"line 2 .*\[7, 15\) and \[11, 21\) overlap",
        ),
        (FLY | {"slots": "O O B-city O"}, "line 2 .*4 slot tags for 5 words"),
        (FLY | {"slots": "O O I-York O O"}, "line 2 .*tag 3 .*tag 2 is not in"),
        (FLY | {"slots": "O O Yorker O O"}, "line 2 .*tag 3 is none of O, B-slot and I-slot"),
        (FLY | {"slots": "O O York-city O O"}, "line 2 .*tag 3 is none of"),
        (FLY | {"slots": 5}, "line 2 .*'slots' is of type int"),
        (FLY | {"slots": "[{"}, "line 2 .*'slots' is not valid JSON"),
    ],
)
def test_every_mistake_names_file_and_line_and_nothing_the_file_says(tmp_path, row, named):
    rows = [row if isinstance(row, str) else json.dumps(row)]
    path = jsonl(tmp_path / "own.jsonl", FLY, *rows)
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
    (tmp_path / "twice.csv").write_text("utterance,intent,utterance\nhello,b,good bye\n")
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf")
    (tmp_path / "long.csv").write_text(f"utterance,{'intent' * 50_000}\nhello,b\n")
    for name, named in {
        "latin.jsonl": "line 2 of latin.jsonl is not UTF-8.*0xe9",
        "empty.csv": "empty",
        "header.csv": "no rows",
        "ragged.csv": "line 3 of ragged.csv",
        "quote.csv": "quote.csv is not CSV",
        "other.csv": "header of other.csv has no 'utterance' among its 2 columns",
        "twice.csv": "header of twice.csv has 'utterance' 2 times",
        "mark.csv": "names none of utterance, intent in its 0 columns",
        "long.csv": "long.csv is not CSV",
        "missing.csv": "does not exist",
        "texts.xlsx": "'.xlsx'",
    }.items():
        with pytest.raises(InvalidInput, match=named):
            read_corpus(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "call my doctor,call,anna@example.org\nhello,greet,bo@example.org\n",
            "names none of .*3 columns; begin .*header",
        ),
        ("utterance;intent;doctor\nhello;greet;1\n", "semicolons; .*commas"),
        ("call my doctor\tcall\nhello\tgreet\n", "tabs; .*commas"),
        ("doctor,intent\nhello,greet\n", "no 'utterance' among its 2 columns"),
        ("intent,utterances,doctor\nhello,greet,1\n", "no 'utterance' among its 3 columns"),
    ],
)
def test_a_header_that_is_none_is_told_and_not_repeated(tmp_path, text, named):
    path = tmp_path / "own.csv"
    path.write_text(text)
    for read in (read_corpus, read_utterances):
        with pytest.raises(InvalidInput, match=named) as raised:
            read(path)
        assert not {"doctor", "example", "utterances"} & set(re.findall(r"\w+", str(raised.value)))


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
    for text in (
        '{"intents": ["a", "b"], "intents": ["c", "d"], "slots": []}',
        '{"intents": ["\\ud800"]}',
        "{",
        "[" * 200_000,
    ):
        path.write_text(text)
        with pytest.raises(InvalidInput, match="labels file"):
            read_labels(path)
