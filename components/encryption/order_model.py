"""A user's model in mode `order`, as the server holds it: it walks the trees by comparing words and adds ciphertexts.

    at a node: below = q[column] < token (numeric), or membership[q[column]] (categorical);  to children[below]
    answer of a row: product over the trees of the reached leaves' ciphertexts = Enc(sum of leaves, class k at bit 64 k)
    answer of a batch: rows' answers, shifted by 64 K bits each, in one ciphertext; times Enc(check at the highest slot)

The server sees the shape of the trees, the order of everything in a column, equality of categories and of thresholds,
and which path a query takes; it sees no threshold, leaf, feature name, direction of a column or class, and no result.
Does not withstand: what order reveals (`order_preserving`); a server that answers something else, since nothing proves
its sums. Answers are not randomised anew: rows of equal paths have equal answers, for anyone who sees them.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import gmpy2
import numpy as np

from components.encryption.frame import MOST_ROWS, ORDER_ANSWER, ORDER_QUERY, framed, unframed
from components.encryption.keys import TAG_BYTES, fingerprint
from components.encryption.order_columns import PSEUDONYM_BYTES
from components.encryption.paillier import PaillierKey, public_key
from components.encryption.refusal import Malformed
from components.encryption.stored import octets, require_indices, require_trees, restore, store

KIND = "encrypted model of mode order"
SLOT = 64
"""Bits of a slot: a signed sum of leaves in fixed point."""

_LAYOUT = {
    "fingerprint": ("uint8", 1),
    "modulus": ("uint8", 1),
    "binding": ("uint8", 1),
    "pseudonyms": ("uint8", 2),
    "roots": ("int32", 1),
    "column": ("int32", 1),
    "token": ("uint64", 1),
    "split": ("int32", 1),
    "children": ("int32", 2),
    "leaf": ("int32", 1),
    "category_columns": ("int32", 1),
    "category_tokens": ("uint64", 2),
    "members": ("bool", 2),
    "ciphertexts": ("uint8", 2),
    "check": ("uint8", 1),
}


def slots_of(bits: int) -> int:
    """Slots of a plaintext that are free for sums; the highest one is the check."""
    return (bits - 2) // SLOT - 1


_GROUP_PRODUCTS, _ALL_PRODUCTS = 512, 2**15
"""Products of leaves that a server keeps for a group of trees, and in all (24 MB at 3072 bits)."""


def _grouped(leaves: list[int], limit: int) -> list[list[int]]:
    """Neighbouring trees in groups, each with at most `limit` choices of a leaf in every tree of it, if one allows."""
    groups, size = [], limit + 1
    for tree, count in enumerate(leaves):
        size *= count
        if size > limit:
            groups.append([])
            size = count
        groups[-1].append(tree)
    return groups


@dataclass(frozen=True)
class OrderModel:
    """N nodes over C columns; in leaves `children` point to the node itself."""

    key: PaillierKey
    binding: bytes
    """The client's tag over what it assumes of this model."""
    outputs: int
    depth: int
    pseudonyms: np.ndarray
    """(C, 16) uint8."""
    roots: np.ndarray
    column: np.ndarray
    token: np.ndarray
    split: np.ndarray
    """(N,) row of `members` for categorical nodes; -1 elsewhere."""
    children: np.ndarray
    """(N, 2): where a row goes that is not below, and that is."""
    leaf: np.ndarray
    """(N,) the ciphertext of a leaf; 0 elsewhere."""
    category_columns: np.ndarray
    category_tokens: np.ndarray
    """(categorical columns, W) increasing."""
    members: np.ndarray
    """(categorical nodes, W) whether the category of a token is below."""
    ciphertexts: tuple[gmpy2.mpz, ...]
    check: gmpy2.mpz

    @cached_property
    def fingerprint(self) -> bytes:
        return fingerprint("order", self.key.octets, self.binding)

    @property
    def group(self) -> int:
        """Rows whose answers share a ciphertext."""
        return slots_of(self.key.bits) // self.outputs

    def prepare(self) -> None:
        """Compute what the first answer would have to compute before it."""
        _ = self._products, self._choices

    def query_length(self, rows: int) -> int:
        """Bytes of a query's payload."""
        return 8 * rows * len(self.pseudonyms)

    def answer(self, query: bytes, *, most_rows: int = MOST_ROWS) -> bytes:
        """The encrypted answer to an encrypted query; its length depends on the number of rows alone.

        Raises
        ------
        Malformed, WrongKey
            The query is not what this model's client would send.
        """
        rows, payload = unframed(query, ORDER_QUERY, self.fingerprint, self.query_length, most_rows=most_rows)
        reached = self.reached(np.frombuffer(payload, dtype="<u8").reshape(rows, len(self.pseudonyms)))
        sums = self._sums(reached)
        packed = []
        for start in range(0, rows, self.group):
            total, *earlier = sums[start : start + self.group][::-1]
            for one in earlier:
                total = self.key.shift(total, SLOT * self.outputs) * one % self.key.square
            packed.append(self.key.to_bytes(total * self.check % self.key.square))
        return framed(ORDER_ANSWER, self.fingerprint, rows, b"".join(packed))

    def reached(self, tokens: np.ndarray) -> np.ndarray:
        """(n, T) the leaf node each tree sends each row of `tokens` (n, C) to.

        Raises
        ------
        Malformed
            A categorical column holds a token of no category.
        """
        places = self._category_places(tokens)
        row = np.arange(len(tokens))[:, None]
        node = np.broadcast_to(self.roots, (len(tokens), len(self.roots)))
        for _ in range(self.depth):
            column = self.column[node]
            below = tokens[row, column] < self.token[node]
            if self.members.size:
                split = self.split[node]
                below = np.where(split >= 0, self.members[split, places[row, column]], below)
            node = self.children[node, below.view(np.int8)]
        return node

    @cached_property
    def _leaves(self) -> list[list[int]]:
        """The leaf nodes of each tree."""
        found = []
        for root in self.roots.tolist():
            order = [root]
            for node in order:
                order += [child for child in dict.fromkeys(self.children[node].tolist()) if child != node]
            found.append([node for node in order if self.children[node, 0] == node])
        return found

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Neighbouring trees, as many as few enough products allow."""
        counts, limit = [len(one) for one in self._leaves], _GROUP_PRODUCTS
        while len(groups := _grouped(counts, limit)) < len(counts):
            if sum(math.prod(counts[tree] for tree in group) for group in groups) <= _ALL_PRODUCTS:
                break
            limit //= 2
        return groups

    @cached_property
    def _products(self) -> list[list[gmpy2.mpz]]:
        """For each group the product of ciphertexts of every choice of one leaf a tree.

        Made once, so that a row costs one multiplication a group and not one a tree.
        """
        products, square = [], self.key.square
        for group in self._groups:
            table = [gmpy2.mpz(1)]
            for tree in group:
                leaves = [self.ciphertexts[self.leaf[node]] for node in self._leaves[tree]]
                table = [one * leaf % square for one in table for leaf in leaves]
            products.append(table)
        return products

    @cached_property
    def _choices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position of a leaf in its tree (N,), the weight of that in its group (T,), the first tree of each group."""
        rank, weights = np.zeros(len(self.leaf), dtype=np.int64), np.ones(len(self.roots), dtype=np.int64)
        for leaves in self._leaves:
            rank[leaves] = np.arange(len(leaves))
        for group in self._groups:
            for tree in group[-2::-1]:
                weights[tree] = weights[tree + 1] * len(self._leaves[tree + 1])
        return rank, weights, np.array([group[0] for group in self._groups])

    def _sums(self, reached: np.ndarray) -> list[gmpy2.mpz]:
        """Of each row, the product of the ciphertexts of the leaves it reached."""
        rank, weights, starts = self._choices
        places = np.add.reduceat(rank[reached] * weights, starts, axis=1)
        return [
            self.key.sum([table[place] for table, place in zip(self._products, row, strict=True)])
            for row in places.tolist()
        ]

    def _category_places(self, tokens: np.ndarray) -> np.ndarray:
        """(n, C) the position of categorical tokens among those of their column; 0 elsewhere."""
        places = np.zeros(tokens.shape if self.members.size else (1, 1), dtype=np.int64)
        for column, known in zip(self.category_columns.tolist(), self.category_tokens, strict=True):
            found = np.searchsorted(known, tokens[:, column]).clip(max=len(known) - 1)
            if (known[found] != tokens[:, column]).any():
                raise Malformed(f"column {column} of the query holds a token of no category")
            if self.members.size:
                places[:, column] = found
        return places

    def to_bytes(self) -> bytes:
        """The artifact: all a server needs, and nothing it must not see."""
        return store(
            KIND,
            {"outputs": self.outputs, "depth": self.depth},
            {
                "fingerprint": octets(self.fingerprint),
                "modulus": octets(self.key.octets),
                "binding": octets(self.binding),
                "ciphertexts": octets(b"".join(map(self.key.to_bytes, self.ciphertexts))).reshape(-1, self.key.length),
                "check": octets(self.key.to_bytes(self.check)),
            }
            | {name: getattr(self, name) for name in _LAYOUT if name in _ARRAYS},
        )


_ARRAYS = set(_LAYOUT) - {"fingerprint", "modulus", "binding", "ciphertexts", "check"}


def read_order_model(content: bytes) -> OrderModel:
    """The model of an artifact, with every index and ciphertext checked.

    Raises
    ------
    Malformed
        The artifact is damaged, of another kind or version, or holds what no publication writes.
    """
    facts, arrays = restore(content, KIND, _LAYOUT)
    key = public_key(int.from_bytes(arrays.pop("modulus").tobytes(), "big"))
    named, binding = (arrays.pop(name).tobytes() for name in ("fingerprint", "binding"))
    check = key.from_bytes(arrays.pop("check").tobytes())
    ciphertexts = arrays.pop("ciphertexts")
    if ciphertexts.shape[1] != key.length or len(check) != 1 or len(binding) != TAG_BYTES:
        raise Malformed(f"the ciphertexts are not of {key.length} bytes each; publish the model again")
    outputs, depth = facts.get("outputs"), facts.get("depth")
    if not (
        isinstance(outputs, int)
        and 1 <= outputs <= slots_of(key.bits)
        and isinstance(depth, int)
        and 0 <= depth < 2**16
    ):
        raise Malformed(f"outputs {outputs!r} or depth {depth!r} cannot be; publish the model again")
    nodes, columns = len(arrays["column"]), len(arrays["pseudonyms"])
    shapes = {
        "pseudonyms": (columns, PSEUDONYM_BYTES),
        "token": (nodes,),
        "split": (nodes,),
        "children": (nodes, 2),
        "leaf": (nodes,),
        "category_tokens": (len(arrays["category_columns"]), arrays["members"].shape[1]),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise Malformed(f"array '{name}' has shape {arrays[name].shape}, not {shape}; publish the model again")
    require_indices("roots", arrays["roots"], nodes)
    require_indices("children", arrays["children"], nodes)
    require_indices("column", arrays["column"], columns)
    require_indices("category_columns", arrays["category_columns"], columns)
    require_indices("leaf", arrays["leaf"], len(ciphertexts))
    require_trees(arrays["roots"], arrays["children"], (arrays["children"] != np.arange(nodes)[:, None]).any(axis=1))
    require_indices("split", arrays["split"] + 1, len(arrays["members"]) + 1)
    model = OrderModel(
        key=key,
        binding=binding,
        outputs=outputs,
        depth=depth,
        ciphertexts=tuple(key.from_bytes(ciphertexts.tobytes())),
        check=check[0],
        **arrays,
    )
    if model.fingerprint != named:
        raise Malformed("the fingerprint is not that of the key; publish the model again")
    return model
