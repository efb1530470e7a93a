"""The models of `components.language` can all be trained privately: every layer has a rule that is right on it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from components.language.adapters import AdaptedModel, with_adapters
from components.language.bilstm import BiLSTM
from components.language.heads import Heads
from components.language.spelling import Spelling
from components.language.transformer import Encoder, Transformer
from components.language.vocabulary import WordVocabulary
from components.privacy.clipping import Automatic
from components.privacy.engines import BookKeeping, OneByOne
from components.privacy.randomness import SeededRandomness
from components.privacy.units import Utterances

torch.set_num_threads(1)
COUNT, WORDS, VOCABULARY, INTENTS, TAGS = 7, 5, 20, 3, 4
SPELT = WordVocabulary(tuple(f"{'ab' * number}c" for number in range(VOCABULARY - 4)), endings=3)


def adapted() -> nn.Module:
    encoder = Encoder(VOCABULARY, width=8, layers=2, heads=2, inner=12, positions=WORDS).requires_grad_(False)
    return AdaptedModel(
        with_adapters(encoder, rank=2, alpha=4.0, layers=1), Heads(8, INTENTS, TAGS, neighbours=1, hidden=6)
    )


MODELS = {
    "bilstm": lambda: BiLSTM(nn.Embedding(VOCABULARY, 6), INTENTS, TAGS, width=6, hidden=5, dropout=0.2),
    "bilstm by letters": lambda: BiLSTM(Spelling(SPELT, 6), INTENTS, TAGS, width=6, hidden=5, dropout=0.2),
    "transformer": lambda: Transformer(
        VOCABULARY, INTENTS, TAGS, width=8, layers=2, heads=2, inner=12, positions=WORDS, dropout=0.2
    ),
    "adapters": adapted,
}


@pytest.mark.parametrize("kind", MODELS)
def test_one_pass_gives_what_one_pass_an_utterance_gives(kind):
    torch.manual_seed(0)
    model = MODELS[kind]().double().eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    tokens = torch.randint(1, VOCABULARY, (COUNT, WORDS))
    mask = torch.arange(WORDS) < torch.randint(1, WORDS + 1, (COUNT, 1))
    intents, tags = torch.randint(0, INTENTS, (COUNT,)), torch.randint(0, TAGS, (COUNT, WORDS))

    def losses(model, rows):
        of_intents, of_tags = model(tokens[rows], mask[rows])
        tagged = functional.cross_entropy(of_tags.transpose(1, 2), tags[rows], reduction="none") * mask[rows]
        return functional.cross_entropy(of_intents, intents[rows], reduction="none") + tagged.sum(1)

    rows = Utterances(COUNT).sample(1.0, SeededRandomness(0))
    found, truth = (
        engine.clipped_sum(model, losses, rows, Automatic(), None) for engine in (BookKeeping(4), OneByOne())
    )
    torch.testing.assert_close(found.norms, truth.norms, rtol=1e-8, atol=1e-10)
    for parameter, expected in truth.total.items():
        torch.testing.assert_close(found.total[parameter], expected, rtol=1e-7, atol=1e-9)
