"""A user's model in mode `hidden`, as the server holds it: it adds encrypted bits along every path of every tree.

    Enc(b_e), the client's answer to question e;  cost of going left w_e b_e, of going right w'_e (1 - b_e)
    cost of a leaf = Enc(0) + sum of the costs along its path: 0 for the leaf that is reached, else random
    answer: of each leaf r cost and Enc(leaf) + mask_t + r' cost, the leaves of a tree in a random order;
            over the trees of an output the masks add up to 0 modulo the order of the group

The client finds the one zero of each tree and adds what stands beside the zeros: it learns the sum and nothing else.
The server sees the shape of the trees and which nodes ask the same; it sees no bit, path, leaf, threshold or result,
and two equal queries look different. The fresh Enc(0) at each root keeps the client, who knows the randomness of its
own bits, from computing costs from r cost; the weights w, fresh for every query, keep "bits" that are no bits from
cancelling each other out, so that at most one leaf a tree opens (but for a chance of 2^-252).
Does not withstand: a client who may ask freely learns the function by asking (Tramer et al., USENIX Security 2016), so
limit the rate; a server that deviates can answer anything, since nothing proves its sums.
Source: Tai, Ma, Zhao and Chow, ESORICS 2017 (path costs); Wu, Feng, Naehrig and Lauter, PoPETs 2016 (malicious bits).
"""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.encryption.elgamal import (
    CIPHERTEXT_BYTES,
    ORDER,
    POINT_BYTES,
    Ciphertext,
    add,
    encryption_of_zero,
    multiple,
    multiple_of_base,
    random_scalar,
    scalar,
    scaled,
    sum_of,
)
from components.encryption.frame import HIDDEN_ANSWER, HIDDEN_QUERY, MOST_ROWS, framed, unframed
from components.encryption.keys import TAG_BYTES, fingerprint
from components.encryption.refusal import Malformed
from components.encryption.stored import octets, require_indices, require_trees, restore, store

KIND = "encrypted model of mode hidden"
_LAYOUT = {
    "public": ("uint8", 1),
    "binding": ("uint8", 1),
    "roots": ("int32", 1),
    "output": ("int32", 1),
    "question": ("int32", 1),
    "children": ("int32", 2),
    "leaf": ("int32", 1),
    "leaves": ("uint8", 2),
}
_ARRAYS = ("roots", "output", "question", "children", "leaf")

LEAF_BYTES = 2 * CIPHERTEXT_BYTES


@dataclass(frozen=True)
class HiddenModel:
    """N nodes of T trees that ask Q questions."""

    public: bytes
    binding: bytes
    """The client's tag over what it assumes of this model."""
    questions: int
    roots: np.ndarray
    output: np.ndarray
    """(T,) the output a tree adds to."""
    question: np.ndarray
    """(N,); -1 in leaves."""
    children: np.ndarray
    """(N, 2): where a bit of 0 leads, and one of 1."""
    leaf: np.ndarray
    """(N,) row of `leaves`; 0 in inner nodes."""
    leaves: np.ndarray
    """(L, 64) uint8."""

    @cached_property
    def fingerprint(self) -> bytes:
        return fingerprint("hidden", self.public, self.binding)

    def prepare(self) -> None:
        """Compute what the first answer would have to compute before it."""
        _ = self._asked, self._trees, self._leaves

    def query_length(self, rows: int) -> int:
        """Bytes of a query's payload."""
        return rows * self.questions * CIPHERTEXT_BYTES

    def answer(self, query: bytes, *, threads: int = 1, most_rows: int = MOST_ROWS) -> bytes:
        """The encrypted answer to an encrypted query; its length depends on the number of rows alone.

        Raises
        ------
        Malformed, WrongKey
            The query is not what this model's client would send.
        """
        rows, payload = unframed(query, HIDDEN_QUERY, self.fingerprint, self.query_length, most_rows=most_rows)
        size = self.questions * CIPHERTEXT_BYTES
        # libsodium's multiplications run outside of the interpreter's lock, so threads are enough.
        with ThreadPoolExecutor(threads) as pool:
            answers = [self._row(bytes(payload[row * size : (row + 1) * size]), pool.map) for row in range(rows)]
        return framed(HIDDEN_ANSWER, self.fingerprint, rows, b"".join(answers))

    def _row(self, bits: bytes, parallel: Callable) -> bytes:
        costs = dict(
            zip(self._asked, parallel(lambda place: _edges(_ciphertext(bits, place)), self._asked), strict=True)
        )
        return b"".join(parallel(lambda tree: self._tree(*tree, costs), zip(self._trees, self._masks(), strict=True)))

    @cached_property
    def _asked(self) -> list[int]:
        """The questions that are no decoys."""
        return np.unique(self.question[self.question >= 0]).tolist()

    @cached_property
    def _trees(self) -> list[list[tuple[int, int, int, int]]]:
        """(node, question, children) of each tree, parents first."""
        trees = []
        for root in self.roots.tolist():
            order = [root]
            for node in order:
                if self.question[node] >= 0:
                    order += self.children[node].tolist()
            trees.append([(node, int(self.question[node]), *self.children[node].tolist()) for node in order])
        return trees

    @cached_property
    def _leaves(self) -> list[Ciphertext]:
        return [_ciphertext(one.tobytes(), 0) for one in self.leaves]

    def _masks(self) -> list[bytes]:
        """A scalar for each tree; they add up to 0 over the trees of an output."""
        masks = [secrets.randbelow(ORDER) for _ in self.output]
        for output in np.unique(self.output):
            first, *others = np.flatnonzero(self.output == output)
            masks[first] = -sum(masks[other] for other in others)
        return [scalar(mask) for mask in masks]

    def _tree(self, nodes: list, mask: bytes, costs: dict[int, tuple[Ciphertext, Ciphertext]]) -> bytes:
        at = {nodes[0][0]: encryption_of_zero(self.public)}
        shown, masked = [], multiple_of_base(mask)
        for node, question, zero, one in nodes:
            cost = at.pop(node)
            if question >= 0:
                at[zero], at[one] = sum_of(cost, costs[question][0]), sum_of(cost, costs[question][1])
                continue
            blinded = sum_of(scaled(random_scalar(), cost), self._leaves[self.leaf[node]])
            shown.append(b"".join((*scaled(random_scalar(), cost), blinded[0], add(blinded[1], masked))))
        secrets.SystemRandom().shuffle(shown)
        return b"".join(shown)

    def to_bytes(self) -> bytes:
        """The artifact: all a server needs, and nothing it must not see."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {"public": octets(self.public), "binding": octets(self.binding), "leaves": self.leaves}
        return store(KIND, {"questions": self.questions}, arrays)


def _ciphertext(content: bytes, place: int) -> Ciphertext:
    start = place * CIPHERTEXT_BYTES
    return content[start : start + POINT_BYTES], content[start + POINT_BYTES : start + CIPHERTEXT_BYTES]


def _edges(bit: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
    """Costs of a bit's two branches: w b for the branch of 0, w' (1 - b) for that of 1."""
    weight = random_scalar()
    first, second = scaled(scalar(-int.from_bytes(weight, "little")), bit)
    return scaled(random_scalar(), bit), (first, add(second, multiple_of_base(weight)))


def read_hidden_model(content: bytes) -> HiddenModel:
    """The model of an artifact, with every index and point checked.

    Raises
    ------
    Malformed
        The artifact is damaged, of another kind or version, or holds what no publication writes.
    """
    facts, arrays = restore(content, KIND, _LAYOUT)
    nodes, trees, questions = len(arrays["question"]), len(arrays["roots"]), facts.get("questions")
    shapes = {
        "public": (POINT_BYTES,),
        "binding": (TAG_BYTES,),
        "output": (trees,),
        "children": (nodes, 2),
        "leaf": (nodes,),
    }
    shapes["leaves"] = (len(arrays["leaves"]), CIPHERTEXT_BYTES)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise Malformed(f"array '{name}' has shape {arrays[name].shape}, not {shape}; publish the model again")
    if not isinstance(questions, int) or questions < 0:
        raise Malformed(f"the number of questions is {questions!r}; publish the model again")
    require_indices("roots", arrays["roots"], nodes)
    require_indices("children", arrays["children"], nodes)
    require_indices("output", arrays["output"], max(trees, 1))
    require_indices("leaf", arrays["leaf"], len(arrays["leaves"]))
    require_indices("question", arrays["question"] + 1, questions + 1)
    require_trees(arrays["roots"], arrays["children"], arrays["question"] >= 0)
    public, binding = (arrays.pop(name).tobytes() for name in ("public", "binding"))
    multiple(scalar(1), public)
    for one in arrays["leaves"]:
        scaled(scalar(1), _ciphertext(one.tobytes(), 0))
    return HiddenModel(public=public, binding=binding, questions=questions, **arrays)
