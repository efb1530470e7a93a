"""One door for the proxy: a trained model and a user's keys in, the server's artifact and the user's client out.

`read_model` and `read_client` are the doors of the other two: whatever the mode, a server has `answer(query)` and a
client `encrypt(rows)` and `decrypt(answer)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import xgboost

from components.boosting.model import model_digest
from components.encryption import hidden_client, hidden_model, order_client, order_model
from components.encryption.forest import Forest, read_forest
from components.encryption.grid import Grid, code_count, grid_with_decoys, public_grid
from components.encryption.hidden_client import HiddenClient, read_hidden_client
from components.encryption.hidden_model import HiddenModel, read_hidden_model
from components.encryption.hidden_publish import publish_hidden
from components.encryption.keys import IssuedKeys
from components.encryption.order_client import OrderClient, read_order_client
from components.encryption.order_model import OrderModel, read_order_model
from components.encryption.order_publish import publish_order
from components.encryption.refusal import Malformed
from components.encryption.stored import kind_of
from components.errors import InvalidInput

EncryptedModel = OrderModel | HiddenModel
Client = OrderClient | HiddenClient

MODES = ("order", "hidden")
CutPoints = Literal["decoys", "untold"] | Mapping[str, Sequence[float]]
"""What the client is told of cut points: a grid with decoys, nothing, or a grid that is public: feature → edges."""


@dataclass(frozen=True)
class Publication:
    """What came of one publication; `forest` and `client` never leave the proxy unsealed."""

    mode: str
    grid: Grid = field(repr=False)
    """What the client is told, or chosen from; without edges where it is told nothing."""
    diluted: bool
    """Whether decoys are mixed into the grid."""
    former: Mapping[str, Sequence[float]] = field(repr=False)
    """Edges of the grid that earlier champions brought, by feature."""
    forest: Forest = field(repr=False)
    model: EncryptedModel = field(repr=False)
    client: Client = field(repr=False)


def publish(
    booster: xgboost.Booster,
    keys: IssuedKeys,
    *,
    mode: str = "order",
    cut_points: CutPoints = "decoys",
    former: Mapping[str, Sequence[float]] | None = None,
) -> Publication:
    """Encrypt a model for one user; with decoys the grid holds the `former` one, of earlier champions of this name.

    Raises
    ------
    InvalidInput
        The keys are another model's; the mode or cut points cannot be; or the model has what the mode does not take,
        which is named.
    """
    if mode not in MODES:
        raise InvalidInput(f"mode is '{mode}'; a model is published in mode {' or '.join(MODES)}")
    if (digest := model_digest(booster)) != keys.model:
        raise InvalidInput(f"the keys are for model {keys.model[:12]}, not {digest[:12]}; issue them for this model")
    forest = read_forest(booster)
    if mode == "hidden" and cut_points == "untold":
        raise InvalidInput(
            "cut_points is 'untold', but in mode 'hidden' clients answer for cut points; publish with decoys"
        )
    make = publish_order if mode == "order" else publish_hidden
    grid = _grid(forest, keys, cut_points, former or {})
    model, client = make(forest, keys, grid)
    return Publication(mode, grid, cut_points == "decoys", former or {}, forest, model, client)


def _grid(forest: Forest, keys: IssuedKeys, cut_points: CutPoints, former: Mapping[str, Sequence[float]]) -> Grid:
    if cut_points == "decoys":
        return grid_with_decoys(forest, keys.decoys, former)
    if cut_points == "untold":
        return Grid(np.empty((len(forest.features), 0), dtype=np.float32), code_count(forest))
    if isinstance(cut_points, str):
        raise InvalidInput(f"cut_points is '{cut_points}'; it is 'decoys', 'untold', or public edges by feature")
    return public_grid(forest, cut_points)


def read_model(content: bytes) -> EncryptedModel:
    """The artifact of either mode.

    Raises
    ------
    Malformed
        It is none, or damaged.
    """
    match kind_of(content):
        case order_model.KIND:
            return read_order_model(content)
        case hidden_model.KIND:
            return read_hidden_model(content)
    raise Malformed("the file is no encrypted model; fetch it again")


def read_client(content: bytes) -> Client:
    """The client of either mode, from its opened bundle.

    Raises
    ------
    Malformed
        It is none, or damaged.
    """
    match kind_of(content):
        case order_client.KIND:
            return read_order_client(content)
        case hidden_client.KIND:
            return read_hidden_client(content)
    raise Malformed("the file is no client's bundle; ask the proxy for it again")
