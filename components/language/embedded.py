"""Models read from embeddings instead of ids: for attacks that search among words by their gradients."""

import torch
from torch import nn

from components.language.bilstm import BiLSTM
from components.language.frozen import FrozenModel
from components.language.loss import Outputs


def table_of(network: nn.Module) -> torch.Tensor:
    """(V, d) embeddings of all ids."""
    return (network.embedding if isinstance(network, BiLSTM) else network.encoder.tokens).weight


def read_embedded(network: nn.Module, embedded: torch.Tensor, mask: torch.Tensor) -> Outputs:
    """(B, T, d) embeddings, those of words or any others, and mask to the model's outputs."""
    match network:
        case BiLSTM():
            return network.read(embedded, mask)
        case FrozenModel():
            features = network.encoder.read(embedded, mask, network.layers)
            return network.heads(features if network.projection is None else network.projection(features), mask)
        case _:
            return network.heads(network.encoder.read(embedded, mask), mask)
