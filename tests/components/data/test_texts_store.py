"""What is written is what is read, whatever people write."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.texts.corpus import Corpus, Slot, Utterance
from components.data.texts.store import read_part, write_part
from components.errors import InvalidInput

ONE = Utterance("own.jsonl@1", "to Rome", "fly", (Slot("city", 3, 7),), "en", "ada")
WRITTEN = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    "mark", ["\u2028", "\u2029", "\x85", "\r", "\r\n", "\n", "\x0b", "\x0c", "\x1c", "\x1e", "\x00"]
)
def test_what_ends_a_line_elsewhere_ends_none_here(tmp_path, mark):
    corpus = Corpus((replace(ONE, text=f"to{mark} Rome", group=mark, user=f"ada{mark}"), ONE))
    digest = write_part(tmp_path / "part.jsonl", corpus)
    assert read_part(tmp_path / "part.jsonl", corpus.grouping, digest) == corpus


@given(st.lists(st.tuples(WRITTEN, WRITTEN, WRITTEN), max_size=4))
def test_everything_that_can_be_written_comes_back(tmp_path_factory, rows):
    corpus = Corpus(tuple(replace(ONE, text=text, intent=intent, user=user) for text, intent, user in rows))
    path = tmp_path_factory.mktemp("owner") / "part.jsonl"
    digest = write_part(path, corpus)
    assert read_part(path, corpus.grouping, digest) == corpus
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_part_is_told_and_written_again(tmp_path):
    path, corpus = tmp_path / "part.jsonl", Corpus((ONE, replace(ONE, row_id="own.jsonl@2")))
    with pytest.raises(InvalidInput, match="does not exist"):
        read_part(path, corpus.grouping, corpus.digest)
    digest = write_part(path, corpus)
    for content, named in ((path.read_text()[:-9], "damaged"), (path.read_text().splitlines()[0], "other utterances")):
        path.write_text(content)
        with pytest.raises(InvalidInput, match=named):
            read_part(path, corpus.grouping, digest)
    assert write_part(path, corpus) == digest
    assert read_part(path, corpus.grouping, digest) == corpus
