"""Which model, of what size: parameters as data, and the model they describe with its vocabulary and labels.

All models are one interface, `network(inputs, mask) -> (intent logits, slot logits)`, made of linear, embedding,
normalisation and LSTM layers alone, which is what exact per-example clipping has rules for.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from components.data.texts.corpus import Labels
from components.errors import InvalidInput
from components.language.adapters import AdaptedModel, with_adapters
from components.language.bilstm import BiLSTM
from components.language.frozen import FrozenModel, load_encoder
from components.language.heads import Heads
from components.language.projection import public_projection
from components.language.spelling import Spelling
from components.language.transformer import Transformer
from components.language.vocabulary import (
    PieceVocabulary,
    Vocabulary,
    WordVocabulary,
    encoder_pieces,
    public_words,
)

POSITIONS = 512


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BiLSTMParameters(_Frozen):
    """A bidirectional LSTM from scratch."""

    kind: Literal["bilstm"] = "bilstm"
    embedding: int = Field(100, ge=1, le=2000, description="Width of a word's embedding.")
    hidden: int = Field(128, ge=1, le=2000, description="Width of the state in each direction.")
    dropout: float = Field(0.3, ge=0, lt=1)
    words: int = Field(20_000, ge=1, le=1_000_000, description="Frequent words in the vocabulary, of all languages.")
    characters: bool = Field(False, description="Whether words are embedded by their letters, not each by itself.")


class TransformerParameters(_Frozen):
    """A small transformer from scratch."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(128, ge=1, le=4096, description="Of a token's features; a multiple of `heads`.")
    layers: int = Field(2, ge=1, le=48)
    heads: int = Field(4, ge=1, le=64)
    inner: int = Field(256, ge=1, le=16384, description="Width between the two feed-forward layers.")
    dropout: float = Field(0.1, ge=0, lt=1)
    words: int = Field(20_000, ge=1, le=1_000_000, description="Frequent words in the vocabulary, of all languages.")


class FrozenParameters(_Frozen):
    """Heads over the frozen encoder."""

    kind: Literal["frozen"] = "frozen"
    layers: tuple[Annotated[int, Field(ge=-7, le=6)], ...] = Field(
        (0, 2, 4, 6),
        min_length=1,
        max_length=7,
        description="Layers whose features stand side by side; 0 is the embeddings, 6 the last.",
    )
    width: int = Field(
        256,
        ge=0,
        le=384,
        description="Principal directions, of public texts, that are kept of the features; 0 for all.",
    )
    neighbours: int = Field(1, ge=0, le=5, description="Tokens on either side that a slot tag is read from.")
    context: bool = Field(True, description="Whether a slot tag is read from the mean of all tokens too.")
    hidden: int = Field(0, ge=0, le=4096, description="Width of a layer before the outputs; 0 for none.")
    dropout: float = Field(0.0, ge=0, lt=1)


class AdaptedParameters(_Frozen):
    """Heads over the encoder with low-rank adapters."""

    kind: Literal["adapted"] = "adapted"
    rank: int = Field(8, ge=1, le=384)
    alpha: float = Field(16, gt=0, le=1000, description="The adapter counts alpha / rank.")
    blocks: int = Field(6, ge=1, le=6, description="Last blocks of the encoder that are adapted.")
    neighbours: int = Field(2, ge=0, le=5)
    context: bool = True
    hidden: int = Field(0, ge=0, le=4096)
    dropout: float = Field(0.1, ge=0, lt=1)


ModelParameters = Annotated[
    BiLSTMParameters | TransformerParameters | FrozenParameters | AdaptedParameters, Field(discriminator="kind")
]


@dataclass(frozen=True)
class LanguageModel:
    """A network, and what its inputs and outputs mean."""

    parameters: ModelParameters
    vocabulary: Vocabulary
    labels: Labels
    network: nn.Module

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The weights that are learnt, by name."""
        return {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}

    @property
    def own(self) -> dict[str, nn.Parameter]:
        """The weights that no package holds, by name: those that are learnt, and a public projection."""
        named = self.network.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad or name.startswith("projection.")}


def new_model(
    parameters: ModelParameters,
    labels: Labels,
    *,
    seed: int,
    languages: tuple[str, ...] = ("en",),
    vocabulary: Vocabulary | None = None,
) -> LanguageModel:
    """A model before training, of public things alone: `languages`, and weights drawn with `seed`.

    Without `vocabulary` it is the encoder's pieces, or frequent words of the languages. Torch's own state of randomness
    stays as it is.

    Raises
    ------
    InvalidInput
        The parameters or the vocabulary do not fit, fewer than two intents, or a package is missing.
    """
    if vocabulary is None:
        on_encoder = isinstance(parameters, FrozenParameters | AdaptedParameters)
        vocabulary = encoder_pieces() if on_encoder else public_words(languages, size=parameters.words)
    model = blank_model(parameters, labels, vocabulary, seed=seed)
    network = model.network
    if isinstance(network, FrozenModel) and network.projection is not None:
        public_projection(
            network.projection, network.encoder, vocabulary, network.layers, seed=seed, languages=languages
        )
    return model


def blank_model(parameters: ModelParameters, labels: Labels, vocabulary: Vocabulary, *, seed: int) -> LanguageModel:
    """A model that is to be given its projection and learnt weights.

    Raises
    ------
    InvalidInput
        As `new_model`.
    """
    if len(labels.intents) < 2:
        raise InvalidInput(f"there are {len(labels.intents)} intents; a model needs two at least")
    on_encoder = isinstance(parameters, FrozenParameters | AdaptedParameters)
    if on_encoder and not isinstance(vocabulary, PieceVocabulary):
        raise InvalidInput(f"a model of kind {parameters.kind} reads the encoder's pieces; leave the vocabulary out")
    if getattr(parameters, "characters", False) and not isinstance(vocabulary, WordVocabulary):
        raise InvalidInput("characters is on, and the vocabulary has pieces of words; leave the vocabulary out")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(parameters, vocabulary, len(labels.intents), len(labels.tags))
    return LanguageModel(parameters, vocabulary, labels, network)


def _network(parameters: ModelParameters, vocabulary: Vocabulary, intents: int, tags: int) -> nn.Module:
    match parameters:
        case BiLSTMParameters(embedding=width, characters=characters):
            embedding = Spelling(vocabulary, width) if characters else nn.Embedding(len(vocabulary), width)
            shape = parameters.model_dump(include={"hidden", "dropout"})
            return BiLSTM(embedding, intents, tags, width=width, **shape)
        case TransformerParameters():
            if parameters.width % parameters.heads:
                raise InvalidInput(f"width {parameters.width} is not a multiple of heads {parameters.heads}")
            shape = parameters.model_dump(include={"width", "layers", "heads", "inner", "dropout"})
            return Transformer(len(vocabulary), intents, tags, positions=POSITIONS, **shape)
    encoder = load_encoder()
    shape = parameters.model_dump(include={"neighbours", "context", "hidden", "dropout"})
    width = encoder.tokens.embedding_dim
    if isinstance(parameters, FrozenParameters):
        width *= len(parameters.layers)
        projection = nn.Linear(width, parameters.width) if parameters.width else None
        heads = Heads(parameters.width or width, intents, tags, **shape)
        return FrozenModel(encoder, projection, heads, parameters.layers)
    adapted = with_adapters(encoder, rank=parameters.rank, alpha=parameters.alpha, layers=parameters.blocks)
    return AdaptedModel(adapted, Heads(width, intents, tags, **shape))
