"""The user's side of mode `hidden`: rows in, encrypted bits out; the one zero of each tree in, margins out.

    query: per row and question one ciphertext of 0 or 1; answer: margin_k = intercept_k + log_G(sum of openings) / 2^f

The sum is a logarithm, found because it is small: |sum| 2^f <= 2^28. How long decryption takes depends on chance,
not on which leaves were reached or on their sum.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from components.encryption.elgamal import (
    POINT_BYTES,
    ZERO,
    ElGamalSecret,
    discrete_logarithm,
    sum_of,
)
from components.encryption.frame import HIDDEN_ANSWER, HIDDEN_QUERY, framed, unframed
from components.encryption.hidden_model import LEAF_BYTES
from components.encryption.keys import fingerprint, tag
from components.encryption.meaning import Meaning, meaning_from
from components.encryption.questions import Questions, questions_from
from components.encryption.refusal import Malformed, WrongKey
from components.encryption.stored import octets, restore, store

KIND = "client of mode hidden"
_LAYOUT = {"x": ("uint8", 1), "output": ("int32", 1), "leaves": ("int32", 1)}

LARGEST_SUM = 2**28
"""Of leaves in fixed point: the logarithm of such a sum takes at most a tenth of a second, half of it on average."""


@dataclass(frozen=True)
class HiddenClient:
    """All a user needs for one model and epoch: secret as a whole."""

    meaning: Meaning
    questions: Questions = field(repr=False)
    secret: ElGamalSecret = field(repr=False)
    output: np.ndarray
    """(T,) the output of each tree."""
    leaves: np.ndarray
    """(T,) leaves of each tree."""
    fraction: int

    @cached_property
    def binding(self) -> bytes:
        """What must be the same in the artifact: questions, trees and fixed point."""
        terms = json.dumps([self.questions.facts(), self.fraction])
        return tag(self.secret.x, "binding", terms, self.output.tobytes(), self.leaves.tobytes())

    @cached_property
    def fingerprint(self) -> bytes:
        return fingerprint("hidden", self.secret.public, self.binding)

    def encrypt(self, rows: np.ndarray) -> bytes:
        """A query for rows (n, F), NaN where missing, categories as codes.

        Raises
        ------
        InvalidInput
            The rows are not n >= 1 rows of F numbers.
        """
        rows = self.meaning.checked(rows)
        bits = self.questions.bits(rows).ravel().tolist()
        payload = b"".join(part for bit in bits for part in self.secret.encrypt(int(bit)))
        return framed(HIDDEN_QUERY, self.fingerprint, len(rows), payload)

    def decrypt(self, answer: bytes) -> np.ndarray:
        """(n, K) float64 margins, intercept included.

        Raises
        ------
        Malformed
            The answer is not what a server would send, or a point in it is none.
        WrongKey
            It is under another key.
        """
        size = int(self.leaves.sum()) * LEAF_BYTES
        rows, payload = unframed(answer, HIDDEN_ANSWER, self.fingerprint, lambda rows: rows * size)
        sums = [self._sums(bytes(payload[row * size : (row + 1) * size])) for row in range(rows)]
        return np.array(sums, dtype=np.float64) / 2**self.fraction + self.meaning.intercept

    def _sums(self, content: bytes) -> list[int]:
        totals, start = [(ZERO, ZERO)] * self.meaning.outputs, 0
        for output, leaves in zip(self.output.tolist(), self.leaves.tolist(), strict=True):
            end = start + leaves * LEAF_BYTES
            totals[output] = sum_of(totals[output], self._opened(content[start:end]))
            start = end
        sums = [discrete_logarithm(self.secret.decrypt(total), LARGEST_SUM) for total in totals]
        if None in sums:
            raise Malformed("the answer adds up to no sum of leaves; it was damaged, ask again")
        return sums

    def _opened(self, content: bytes) -> tuple[bytes, bytes]:
        """What stands beside the zero of a tree; all its leaves are tried, so that time does not tell which it was."""
        found = None
        for start in range(0, len(content), LEAF_BYTES):
            points = [content[at : at + POINT_BYTES] for at in range(start, start + LEAF_BYTES, POINT_BYTES)]
            if self.secret.is_zero((points[0], points[1])):
                found = points[2], points[3]
        if found is None:
            raise WrongKey(
                f"no leaf of a tree opens under key {self.fingerprint.hex()}; "
                "the answer was made for another key or damaged"
            )
        return found

    def to_bytes(self) -> bytes:
        """The bundle, in clear: seal it."""
        return store(
            KIND,
            {**self.meaning.facts(), **self.questions.facts(), "fraction": self.fraction},
            {"x": octets(self.secret.x), "output": self.output, "leaves": self.leaves},
        )


def read_hidden_client(content: bytes) -> HiddenClient:
    """The client of an opened bundle.

    Raises
    ------
    Malformed
        The bundle is damaged, or of another kind or version.
    """
    facts, arrays = restore(content, KIND, _LAYOUT)
    return HiddenClient(
        meaning=meaning_from(facts),
        questions=questions_from(facts),
        secret=ElGamalSecret(arrays["x"].tobytes()),
        output=arrays["output"],
        leaves=arrays["leaves"],
        fraction=facts["fraction"],
    )
