"""The user's side of mode `order`: rows in, tokens out; ciphertexts in, margins out.

    query: per row and column one 64-bit token; answer: signed 64-bit slots, margin_k = intercept_k + slot_k / 2^f

Every answer carries a secret number in its highest slot, so that decryption with another key is noticed (but for one
chance in 2^61). It does not prove that the server computed what was asked: sums can be shifted by anyone.
"""

from dataclasses import dataclass, field
from functools import cached_property

import gmpy2
import numpy as np

from components.encryption.frame import ORDER_ANSWER, ORDER_QUERY, framed, unframed
from components.encryption.grid import Grid
from components.encryption.keys import fingerprint, tag
from components.encryption.meaning import Meaning, meaning_from
from components.encryption.order_columns import OrderColumns
from components.encryption.order_model import SLOT, slots_of
from components.encryption.paillier import PaillierSecret, signed_slots
from components.encryption.refusal import WrongKey
from components.encryption.stored import octets, restore, store

KIND = "client of mode order"
_SECRETS = ("names_key", "order_key", "p", "q", "root", "check")
_LAYOUT = dict.fromkeys(_SECRETS, ("uint8", 1)) | {"edges": ("float32", 2)}


@dataclass(frozen=True)
class OrderClient:
    """All a user needs for one model and epoch: secret as a whole."""

    meaning: Meaning
    columns: OrderColumns = field(repr=False)
    secret: PaillierSecret = field(repr=False)
    check: int = field(repr=False)
    fraction: int

    @cached_property
    def binding(self) -> bytes:
        """What must be the same in the artifact: grid, categories and fixed point."""
        grid = self.columns.grid
        return tag(self.columns.names_key, "binding", grid.edges.tobytes(), f"{grid.codes} {self.fraction}")

    @cached_property
    def fingerprint(self) -> bytes:
        return fingerprint("order", self.secret.public.octets, self.binding)

    def encrypt(self, rows: np.ndarray) -> bytes:
        """A query for rows (n, F), NaN where missing, categories as codes.

        Raises
        ------
        InvalidInput
            The rows are not n >= 1 rows of F numbers.
        """
        rows = self.meaning.checked(rows)
        tokens = self.columns.encrypt(rows).astype("<u8", copy=False)
        return framed(ORDER_QUERY, self.fingerprint, len(rows), tokens.tobytes())

    def decrypt(self, answer: bytes) -> np.ndarray:
        """(n, K) float64 margins, intercept included.

        Raises
        ------
        Malformed
            The answer is not what a server would send, or a ciphertext in it is none.
        WrongKey
            It is under another key, or was made with another model's ciphertexts.
        """
        key, outputs = self.secret.public, self.meaning.outputs
        group = slots_of(key.bits) // outputs
        rows, payload = unframed(answer, ORDER_ANSWER, self.fingerprint, lambda rows: key.length * -(-rows // group))
        margins = np.empty((rows, outputs))
        for place, ciphertext in enumerate(key.from_bytes(bytes(payload))):
            *sums, check = signed_slots(self.secret.decrypt(ciphertext), slots_of(key.bits) + 1, SLOT)
            if check != self.check:
                raise WrongKey(
                    f"the answer does not decrypt under key {self.fingerprint.hex()}; "
                    "it was made for another key or damaged"
                )
            here = slice(place * group, min(rows, (place + 1) * group))
            slots = np.array(sums[: (here.stop - here.start) * outputs], dtype=np.float64)
            margins[here] = slots.reshape(-1, outputs) / 2**self.fraction
        return margins + self.meaning.intercept

    def to_bytes(self) -> bytes:
        """The bundle, in clear: seal it."""
        secret, columns = self.secret, self.columns
        numbers = {"p": secret.p, "q": secret.q, "root": secret.root, "check": self.check}
        return store(
            KIND,
            {**self.meaning.facts(), "fraction": self.fraction, "codes": columns.grid.codes},
            {
                "names_key": octets(columns.names_key),
                "order_key": octets(columns.order_key),
                "edges": columns.grid.edges,
                **{name: octets(gmpy2.to_binary(gmpy2.mpz(number))) for name, number in numbers.items()},
            },
        )


def read_order_client(content: bytes) -> OrderClient:
    """The client of an opened bundle.

    Raises
    ------
    Malformed
        The bundle is damaged, or of another kind or version.
    """
    facts, arrays = restore(content, KIND, _LAYOUT)
    p, q, root, check = (gmpy2.from_binary(arrays[name].tobytes()) for name in ("p", "q", "root", "check"))
    meaning = meaning_from(facts)
    grid = Grid(arrays["edges"], facts["codes"])
    keys = (arrays[name].tobytes() for name in ("names_key", "order_key"))
    return OrderClient(
        meaning=meaning,
        columns=OrderColumns(meaning.features, meaning.categorical, grid, *keys),
        secret=PaillierSecret(p, q, root),
        check=int(check),
        fraction=facts["fraction"],
    )
