"""Who is protected: one utterance, or a user with all of theirs. A unit is sampled, clipped and accounted as a whole.

Sampling is Poisson: each unit takes part in a step on its own, with the same probability, so that batches differ in
size and may be empty; they are kept as they come, and the sum is divided by the expected size, since the account rests
on both. A user's gradient is that of the mean loss of at most `most` of their utterances, drawn anew each time.
"""

from dataclasses import dataclass

import numpy as np

from components.errors import InvalidInput
from components.privacy.randomness import Randomness


@dataclass(frozen=True)
class Rows:
    """Rows of a data set by unit (units, most), and by how much each row's loss counts in its unit, of one shape."""

    rows: np.ndarray
    shares: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, most: int) -> list["Rows"]:
        """The same units in parts of at most `most` rows, at least one unit each."""
        size = max(1, most // self.rows.shape[1])
        return [Rows(self.rows[k : k + size], self.shares[k : k + size]) for k in range(0, len(self), size)]

    def chosen(self, units: np.ndarray) -> "Rows":
        """Some of the units, by index or mask."""
        return Rows(self.rows[units], self.shares[units])

    def sorted_by(self, lengths: np.ndarray) -> "Rows":
        """The units in order of their longest row."""
        return self.chosen(np.argsort(lengths[self.rows].max(axis=1), kind="stable"))


@dataclass(frozen=True)
class Utterances:
    """Each of `count` rows is a unit: protects one utterance, and less so a user who gave several."""

    count: int
    name = "utterance"

    def __post_init__(self):
        if self.count < 2:
            raise InvalidInput(f"a data set of {self.count} utterances cannot hide one among others; give more")

    def sample(self, rate: float, randomness: Randomness) -> Rows:
        chosen = np.flatnonzero(randomness.happens(self.count, rate))[:, None]
        return Rows(chosen, np.ones(chosen.shape))


class Users:
    """Rows by the user who gave them, `user` (n,): protects all rows of a user.

    Parameters
    ----------
    most
        Rows of a user in one step; more are left to chance, fewer are filled up with rows that count nothing.
    """

    name = "user"

    def __init__(self, user: np.ndarray, *, most: int = 8):
        order = np.argsort(user, kind="stable")
        _, first = np.unique(np.asarray(user)[order], return_index=True)
        self._rows = np.split(order, first[1:])
        self.count, self._most = len(first), most
        if self.count < 2 or most < 1:
            raise InvalidInput(
                f"there are {self.count} users with at most {most} rows a step; give two users and a row at least"
            )

    def sample(self, rate: float, randomness: Randomness) -> Rows:
        chosen = np.flatnonzero(randomness.happens(self.count, rate))
        width = min(self._most, max((len(self._rows[unit]) for unit in chosen), default=1))
        rows, shares = np.zeros((len(chosen), width), dtype=np.int64), np.zeros((len(chosen), width))
        for place, unit in enumerate(chosen):
            own = self._rows[unit]
            drawn = own[np.argsort(randomness.ranks(own.shape))[:width]]
            rows[place] = drawn[0]
            rows[place, : len(drawn)] = drawn
            shares[place, : len(drawn)] = 1 / len(drawn)
        return Rows(rows, shares)


Units = Utterances | Users
