import pytest
import torch

from components.errors import InvalidInput
from components.language.model import BiLSTMParameters, new_model
from components.language.spelling import Spelling
from components.language.vocabulary import PieceVocabulary, WordVocabulary

WORDS = WordVocabulary(("seven", "sevens", "oslo", "a"), endings=3)


def test_words_spelt_alike_are_embedded_alike_and_padding_as_nothing():
    torch.manual_seed(0)
    spelling = Spelling(WORDS, 64)
    seven, sevens, oslo = (spelling(torch.tensor(WORDS.encode([word])[0]))[0] for word in ("seven", "sevens", "oslo"))
    alike, unlike = (torch.cosine_similarity(seven, other, dim=0) for other in (sevens, oslo))
    assert alike > 0.5 > abs(unlike)
    assert not spelling(torch.tensor([0])).any()


def test_the_table_of_all_ids_is_what_each_gives():
    spelling = Spelling(WORDS, 5)
    tokens = torch.arange(len(WORDS)).reshape(2, 4)
    torch.testing.assert_close(spelling.weight[tokens], spelling(tokens))
    assert len({tuple(row) for row in spelling.weight[1:].tolist()}) == len(WORDS) - 1


def test_pieces_of_words_are_spelt_by_nobody(labels):
    with pytest.raises(InvalidInput, match="characters"):
        new_model(BiLSTMParameters(characters=True), labels, seed=0, vocabulary=PieceVocabulary("0" * 64))
