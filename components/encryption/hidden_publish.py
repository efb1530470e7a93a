"""The proxy's side of mode `hidden`: a forest and a user's keys become the server's model and the user's client.

Leaves are ElGamal ciphertexts, so the server cannot read them either; their fixed point is as fine as a logarithm that
is found quickly allows, which the largest sum of leaves decides.
"""

import secrets

import numpy as np

from components.encryption.elgamal import encrypt
from components.encryption.forest import Forest
from components.encryption.grid import Grid
from components.encryption.hidden_client import LARGEST_SUM, HiddenClient
from components.encryption.hidden_model import HiddenModel
from components.encryption.keys import IssuedKeys, permutation
from components.encryption.meaning import meaning_of
from components.encryption.questions import cut_of, questions_of
from components.encryption.stored import octets
from components.errors import InvalidInput

MOST_FRACTION = 40
LARGEST_ERROR = 1e-4
"""Of a margin, relative to the largest: where rounding may reach it, a model is refused."""


def publish_hidden(forest: Forest, keys: IssuedKeys, grid: Grid) -> tuple[HiddenModel, HiddenClient]:
    """The two halves; decoys come from `grid`.

    Raises
    ------
    InvalidInput
        The model has so many trees that sums of leaves are too coarse.
    """
    secret, trees = keys.elgamal, len(forest.root)
    room = LARGEST_SUM - trees
    fraction = min(MOST_FRACTION, int(np.floor(np.log2(room / max(forest.bound, 2.0**-MOST_FRACTION)))))
    if trees / 2 ** (fraction + 1) > LARGEST_ERROR * max(forest.bound, 1.0):
        raise InvalidInput(
            f"the model's leaves add up to as much as {forest.bound:.3g} over {trees} trees, too many for mode "
            "'hidden'; publish it in mode 'order', or train fewer trees"
        )
    questions = questions_of(forest, grid, keys.decoys, keys.key("questions"))
    asked = {cut: place for place, cut in enumerate(questions.cuts)}

    # What the client knows too is keyed, so that publishing again fits the bundle the user has.
    order = permutation(keys.key("trees"), trees)
    nodes, leaves = list(range(len(forest.number))), np.flatnonzero(forest.is_leaf).tolist()
    for shuffled in (nodes, leaves):
        secrets.SystemRandom().shuffle(shuffled)
    place = np.empty(len(nodes), dtype=np.int32)
    place[nodes] = np.arange(len(nodes), dtype=np.int32)
    inner = np.flatnonzero(~forest.is_leaf)
    question, children = np.full(len(nodes), -1, dtype=np.int32), forest.children.copy()
    question[inner] = [asked[cut_of(forest, node)] for node in inner]
    turned = inner[questions.turned[question[inner]]]
    children[turned] = children[turned][:, ::-1]
    leaf = np.zeros(len(nodes), dtype=np.int32)
    leaf[leaves] = np.arange(len(leaves), dtype=np.int32)
    ciphertexts = [b"".join(encrypt(secret.public, round(forest.value[node] * 2**fraction))) for node in leaves]

    counts = np.bincount(forest.tree[leaves], minlength=trees).astype(np.int32)[order]
    client = HiddenClient(meaning_of(forest), questions, secret, forest.output[order], counts, fraction)
    model = HiddenModel(
        public=secret.public,
        binding=client.binding,
        questions=len(questions.cuts),
        roots=place[forest.root[order]],
        output=forest.output[order],
        question=question[nodes],
        children=place[children[nodes]],
        leaf=leaf[nodes],
        leaves=octets(b"".join(ciphertexts)).reshape(len(leaves), -1),
    )
    return model, client
