"""Attacks that need no order: reading ciphertexts, matching two users' artifacts, and what two who collude can do.

A guess between two is right half of the time for who knows nothing; `fair` says how much more chance alone allows.
"""

from collections import Counter

import numpy as np

from components.encryption.elgamal import discrete_logarithm
from components.encryption.hidden_client import LARGEST_SUM, HiddenClient
from components.encryption.hidden_model import HiddenModel
from components.encryption.order_client import OrderClient
from components.encryption.order_model import SLOT, OrderModel
from components.encryption.paillier import signed_slots


def concordance(guess: np.ndarray, truth: np.ndarray) -> float:
    """Share of pairs (of different truth) that `guess` puts in the right order; the attacker may turn it round."""
    upper = np.triu_indices(len(truth), 1)
    ahead, really = (np.sign(one[:, None] - one[None, :])[upper] for one in (guess, truth))
    agreed = ahead[really != 0] * really[really != 0]
    right = float(np.mean((agreed + 1) / 2)) if agreed.size else 0.5
    return max(right, 1 - right)


def fair(truth: np.ndarray, sigmas: float = 5.0) -> float:
    """The concordance of a random guess, five standard deviations up (Kendall 1945, with ties in `truth`)."""
    count, (_, ties) = len(truth), np.unique(truth, return_counts=True)
    pairs = count * (count - 1) / 2 - np.sum(ties * (ties - 1)) / 2
    if not pairs:
        return 1.0
    variance = (count * (count - 1) * (2 * count + 5) - np.sum(ties * (ties - 1) * (2 * ties + 5))) / 18
    return min(1.0, 0.5 + sigmas * float(np.sqrt(variance) / (2 * pairs)))


def leaf_numbers(model: OrderModel | HiddenModel, most: int) -> np.ndarray:
    """The ciphertexts of the first leaves of an artifact, each read as a number: their 53 or 48 highest bits."""
    if isinstance(model, OrderModel):
        return np.array([int(one >> (2 * model.key.bits - 53)) for one in model.ciphertexts[:most]], dtype=np.float64)
    return np.array([int.from_bytes(one[32:38].tobytes(), "big") for one in model.leaves[:most]], dtype=np.float64)


def leaf_values(model: OrderModel | HiddenModel, client: OrderClient | HiddenClient, most: int) -> np.ndarray:
    """The same leaves as the user's key reads them from the server's artifact: what two who collude find."""
    if isinstance(model, OrderModel):
        slots = [signed_slots(client.secret.decrypt(one), model.outputs, SLOT) for one in model.ciphertexts[:most]]
        return np.array([max(one, key=abs) for one in slots]) / 2**client.fraction
    pairs = [(one[:32].tobytes(), one[32:].tobytes()) for one in model.leaves[:most]]
    found = [_logarithm(client.secret.decrypt(pair)) for pair in pairs]
    return np.array(found) / 2**client.fraction


def _logarithm(point: bytes) -> int | None:
    """As the client finds it, but sooner where it is small: an attacker need not hide that."""
    bounds = (LARGEST_SUM >> 8, LARGEST_SUM >> 4, LARGEST_SUM)
    return next((found for bound in bounds if (found := discrete_logarithm(point, bound)) is not None), None)


def nodes_alike(model: OrderModel | HiddenModel) -> tuple[float, float]:
    """Shares of inner nodes whose column is seen, and that are seen to make another's cut."""
    inner = model.children[:, 0] != np.arange(len(model.children))
    if isinstance(model, HiddenModel):
        inner, seen = model.question >= 0, model.question
    else:
        # A set and what is outside of it are the same cut.
        sets = [hash(min(row.tobytes(), (~row).tobytes())) for row in model.members]
        words = [sets[split] if split >= 0 else token for split, token in zip(model.split, model.token, strict=True)]
        _, seen = np.unique(np.array([*map(hash, zip(model.column.tolist(), words, strict=True))]), return_inverse=True)
    if not inner.any():
        return 0.0, 0.0
    _, place, counts = np.unique(seen[inner], return_inverse=True, return_counts=True)
    return float(isinstance(model, OrderModel)), float(np.mean(counts[place] > 1))


def shared_words(one: OrderModel | HiddenModel, other: OrderModel | HiddenModel) -> float:
    """Share of an artifact's pseudonyms, tokens and ciphertexts that the other has too."""
    ours, theirs = _words(one), _words(other)
    return len(ours & theirs) / len(ours)


def _words(model: OrderModel | HiddenModel) -> set[bytes]:
    if isinstance(model, HiddenModel):
        return {model.public, *(one.tobytes() for one in model.leaves)}
    inner = model.children[:, 0] != np.arange(len(model.children))
    return {
        *(one.tobytes() for one in model.pseudonyms),
        *(one.tobytes() for one in model.token[inner & (model.split < 0)]),
        *(one.tobytes() for one in model.category_tokens.ravel()),
        *map(model.key.to_bytes, model.ciphertexts),
    }


def same_shapes(one: OrderModel | HiddenModel, other: OrderModel | HiddenModel) -> float:
    """Share of trees that have a tree of the same shape in the other artifact."""
    ours, theirs = Counter(_shapes(one)), Counter(_shapes(other))
    return (ours & theirs).total() / ours.total()


def _shapes(model: OrderModel | HiddenModel) -> list[str]:
    """Each tree as nested brackets, the same whichever child is called the left one."""
    children = model.children.tolist()

    def shape(node: int) -> str:
        left, right = children[node]
        return "." if left == node else "(" + "".join(sorted((shape(left), shape(right)))) + ")"

    return [shape(root) for root in model.roots.tolist()]
