"""The proxy's side of mode `order`: a forest and a user's keys become the server's model and the user's client.

Nodes, trees and leaves are shuffled, so that their places say nothing of class, round or left and right. The
fixed point follows from the largest sum of leaves: 64-bit slots never carry into one another.
"""

import secrets

import numpy as np

from components.encryption.forest import Forest
from components.encryption.grid import Grid
from components.encryption.keys import IssuedKeys, derive
from components.encryption.meaning import meaning_of
from components.encryption.order_client import OrderClient
from components.encryption.order_columns import OrderColumns
from components.encryption.order_model import SLOT, OrderModel, slots_of
from components.errors import InvalidInput

MOST_FRACTION = 40
"""Bits of a leaf's fraction, fewer where sums are large: 1000 trees are exact to 5e-10, or to 1e-16 of such a sum."""

_CHECK_BITS = 61


def publish_order(forest: Forest, keys: IssuedKeys, grid: Grid) -> tuple[OrderModel, OrderClient]:
    """The two halves. A grid without edges stands for the float32 domain, in which no cut point is told.

    Raises
    ------
    InvalidInput
        The outputs do not fit into a ciphertext.
    """
    secret = keys.paillier
    key = secret.public
    if forest.outputs > slots_of(key.bits):
        raise InvalidInput(
            f"the model has {forest.outputs} outputs; a ciphertext of {key.bits} bits holds "
            f"{slots_of(key.bits)}, so train one model for each part of the classes"
        )
    # A slot has a sign, and a bit to spare for rounded leaves.
    fraction = min(MOST_FRACTION, SLOT - 2 - int(np.ceil(np.log2(max(forest.bound, 1.0)))))
    columns = OrderColumns(forest.features, forest.categorical, grid, keys.key("names"), keys.key("order"))
    check = 1 + int.from_bytes(derive(keys.root, "check")) % (2**_CHECK_BITS - 1)

    nodes, trees = list(range(len(forest.number))), list(range(len(forest.root)))
    leaves = np.flatnonzero(forest.is_leaf).tolist()
    for shuffled in (nodes, trees, leaves):
        secrets.SystemRandom().shuffle(shuffled)
    place = np.empty(len(nodes), dtype=np.int32)
    place[nodes] = np.arange(len(nodes), dtype=np.int32)

    column, token, split, children, members = _nodes(forest, columns)
    leaf = np.zeros(len(nodes), dtype=np.int32)
    leaf[leaves] = np.arange(len(leaves), dtype=np.int32)
    # A category's position among sorted tokens says nothing of its code.
    order = np.argsort(columns.category_tokens, axis=1)
    split_features = forest.feature[split >= 0].tolist()
    members = [row[order[columns.category_row(feature)]] for feature, row in zip(split_features, members, strict=True)]

    def leaf_number(node: int) -> int:
        return round(float(forest.value[node]) * 2.0**fraction) << (SLOT * int(forest.output[forest.tree[node]]))

    client = OrderClient(meaning_of(forest), columns, secret, check, fraction)
    model = OrderModel(
        key=key,
        binding=client.binding,
        outputs=forest.outputs,
        depth=forest.depth,
        pseudonyms=np.frombuffer(b"".join(columns.pseudonyms), dtype=np.uint8).reshape(columns.count, -1),
        roots=place[forest.root[trees]],
        column=column[nodes],
        token=token[nodes],
        split=split[nodes],
        children=place[children[nodes]],
        leaf=leaf[nodes],
        category_columns=columns.categories.astype(np.int32),
        category_tokens=np.take_along_axis(columns.category_tokens, order, axis=1),
        members=np.array(members, dtype=bool).reshape(len(members), grid.codes + 2),
        ciphertexts=tuple(secret.encrypt(leaf_number(node)) for node in leaves),
        check=secret.encrypt(check << (SLOT * slots_of(key.bits))),
    )
    return model, client


def _nodes(forest: Forest, columns: OrderColumns) -> tuple[np.ndarray, ...]:
    """Column, token, split, children (not below, below) and members of the forest's nodes, in its own order."""
    count = len(forest.number)
    column, token = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.uint64)
    split, children = np.full(count, -1, dtype=np.int32), forest.children[:, ::-1].copy()
    inner = ~forest.is_leaf
    in_sets = np.array([one is not None for one in forest.right_set])
    numeric = np.flatnonzero(inner & ~in_sets)
    column[numeric], token[numeric], turn = columns.thresholds(
        forest.feature[numeric], forest.threshold[numeric], forest.default_left[numeric]
    )
    turned = numeric[turn]
    children[turned] = children[turned][:, ::-1]

    members = []
    for row, node in enumerate(np.flatnonzero(in_sets)):
        codes = columns.grid.codes
        below = np.ones(codes + 2, dtype=bool)
        below[list(forest.right_set[node])] = False
        below[codes + 1] = forest.default_left[node]
        column[node], split[node] = columns.places[int(forest.feature[node]), "category"], row
        if secrets.randbits(1):
            below, children[node] = ~below, children[node][::-1].copy()
        members.append(below)
    return column, token, split, children, members
