from itertools import pairwise, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from components.language.decode import decode

TAGS = ("O", "B-city", "I-city", "B-day", "I-day")


def makes_spans(path: tuple[int, ...]) -> bool:
    tags = ["O", *(TAGS[position] for position in path)]
    return all(not tag.startswith("I") or before[2:] == tag[2:] for before, tag in pairwise(tags))


ALL = {words: [path for path in product(range(len(TAGS)), repeat=words) if makes_spans(path)] for words in range(5)}


@given(
    of_numpy.arrays(np.float32, (3, 4, len(TAGS)), elements=st.floats(-50, 50, width=32)),
    of_numpy.arrays(np.int64, 3, elements=st.integers(0, 4)),
)
def test_it_is_the_best_of_all_paths_that_make_spans(scores, counts):
    found = decode(scores, counts)
    for logits, count, tags in zip(scores.astype(np.float64), counts, found, strict=True):
        path = tuple(tags[:count].tolist())
        assert path in ALL[count]
        assert not tags[count:].any()
        best = max(sum(logits[word, tag] for word, tag in enumerate(other)) for other in ALL[count])
        assert np.isclose(sum(logits[word, tag] for word, tag in enumerate(path)), best)


@given(of_numpy.arrays(np.float32, (4, 3, len(TAGS)), elements=st.floats(-50, 50, width=32)))
def test_what_is_added_to_all_tags_of_a_word_changes_nothing(scores):
    # Whole numbers keep the sums exact, so that ties fall alike.
    scores = np.round(scores)
    counts = np.full(4, 3)
    np.testing.assert_array_equal(decode(scores + np.arange(12).reshape(4, 3, 1), counts), decode(scores, counts))


def test_a_doubtful_word_does_not_break_a_span():
    scores = np.zeros((1, 3, len(TAGS)))
    scores[0, 0, 1] = scores[0, 2, 2] = 2.0
    scores[0, 1, [2, 4]] = 0.9, 1.0
    assert [TAGS[tag] for tag in decode(scores, np.array([3]))[0]] == ["B-city", "I-city", "I-city"]


def test_there_may_be_no_slots_and_no_utterances():
    assert decode(np.ones((2, 3, 1)), np.array([3, 1])).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert decode(np.ones((0, 3, 5)), np.array([], dtype=int)).shape == (0, 3)
