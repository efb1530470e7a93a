"""Cut points of features, at the quantiles of all owners' values together, without bringing the values together.

A cut c sends `value < c` to the left, as XGBoost does; the bin of a value is the number of cuts at or below it. For B
bins let q_k be the smallest value with B #{values <= q_k} >= k #{values}, k = 1 … B - 1. The cut lies below or just
above q_k, whichever leaves the number on its left nearer to k/B of all; so where there are two values some cut keeps
them apart, however rare one is (were all cuts below q_k, or all above, a rare largest or smallest value would be lost
in a bin with the other). Cuts that coincide are one.

*Secure search.* Floats have an image among the integers below 2^32 that keeps their order, and q_k is found by halving:
32 comparisons. Each owner counts its values at or below the middle; B count_i - k total_i is its share of what is
compared with zero. One more comparison finds the side. All features and all k go together: 33 times the rounds of a
comparison and of one opening, whatever their number.

*Who takes part.* An owner with fewer than `PER_BIN` B present values of a feature keeps them out of its quantiles, and
does so by itself; its rows are binned by the others' cuts.

*What is revealed*: of every feature whether some owner takes part; if so, q_k and the side of its cut for each k,
repeats included, and nothing that these do not say. The j-th answer is [q_k <= middle_j], and middle_j is known from
the answers before; so whoever is given q_k can write down all 32 answers himself, and the side is the last. Every q_k
is a value that some owner holds, and among n values the ranks asked for are n / B >= `PER_BIN` apart; how many of them
share a value says how common it is, to 1/B. Who takes its own values from these ranks knows about how many of all the
others' lie below each q_k: of two owners, each has the other's distribution in B steps, which are of `PER_BIN` values
or more on average and may each be of fewer. Values are of rows, of which a person may have several.
Source: Aggarwal, Mishra, Pinkas, EUROCRYPT 2004, section 3 (k-th ranked element; proof in section 3.4).
"""

from collections.abc import Sequence

import numpy as np

from components.mpc.compare import negative_within
from components.mpc.engine import Engine
from components.mpc.ring import WORD
from components.mpc.shared import Shared

STEPS = 32

PER_BIN = 10
"""Least values a bin of an owner who takes part: with fewer, cut points would be everybody's values."""

SMALLEST = np.finfo(np.float32).tiny
"""Numbers nearer to zero are taken for zero: machines differ on them."""


def secure_cuts(
    engine: Engine, columns: Sequence[np.ndarray | None], bin_count: int, rows: int, *, site: str = "cuts"
) -> list[np.ndarray]:
    """Cut points of features whose rows are split between owners.

    Parameters
    ----------
    columns : one a feature: the values this party holds, float32 with NaN where missing; None if it holds none, and at
        the dealer.
    bin_count : B; at most B - 1 cuts a feature.
    rows : number of rows of all owners, public.

    Returns
    -------
    For each feature the strictly increasing float32 cuts, the same at every party, at the quantiles of all values of
    owners who have `PER_BIN` B or more; none where nobody has.
    """
    held = [np.sort(_image([] if column is None else column)) for column in columns]
    held = [images if len(images) >= PER_BIN * bin_count else images[:0] for images in held]
    shape = len(held), bin_count - 1
    bits = int(2 * bin_count * rows + 1).bit_length() + 1

    def below_target(middle: np.ndarray, side: str) -> np.ndarray:
        counts = [np.searchsorted(images, column, side) for images, column in zip(held, middle, strict=True)]
        return bin_count * np.array(counts, dtype=np.int64).reshape(shape) - targets

    def is_negative(own: np.ndarray) -> np.ndarray:
        # Each owner's number is its share of the sum.
        negatives = negative_within(Shared(engine, own.view(WORD), 0), bits, site=f"{site}.sign")
        return engine.reveal_bits(site, negatives).astype(bool)

    present = np.array([len(images) for images in held], dtype=np.int64)
    # Where nobody takes part the search ends below all numbers.
    targets = present[:, None] * np.arange(1, bin_count)
    low, high = np.zeros(shape, dtype=np.uint64), np.full(shape, (1 << STEPS) - 1, dtype=np.uint64)
    for _ in range(STEPS):
        middle = (low + high) >> np.uint64(1)
        beyond = is_negative(below_target(middle, "right"))
        low, high = np.where(beyond, middle + np.uint64(1), low), np.where(beyond, high, middle)
    # (above + below) B < 2 k total: the number up to q_k is the nearer one.
    above = is_negative(below_target(low, "right") + below_target(low, "left"))
    return [_cuts(images, sides) for images, sides in zip(low, above, strict=True)]


def local_cuts(values: np.ndarray, bin_count: int) -> np.ndarray:
    """What `secure_cuts` finds, for a column (n,) that one owner holds: strictly increasing float32."""
    images = np.sort(_image(values))
    if not len(images):
        return np.zeros(0, dtype=np.float32)
    targets = len(images) * np.arange(1, bin_count)
    found = images[-(-targets // bin_count) - 1]
    sums = np.searchsorted(images, found, "right") + np.searchsorted(images, found, "left")
    return _cuts(found, sums * bin_count < 2 * targets)


def bin_indices(values: np.ndarray, cuts: np.ndarray, missing_bin: int) -> np.ndarray:
    """The bin of each value, uint16: the number of cuts at or below it, `missing_bin` for NaN."""
    values = _without_subnormals(values)
    bins = np.searchsorted(cuts, values, side="right").astype(np.uint16)
    bins[np.isnan(values)] = missing_bin
    return bins


def _without_subnormals(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    return np.where(np.abs(values) < SMALLEST, np.float32(0), values)


def _image(values: np.ndarray) -> np.ndarray:
    """The values present as integers below 2^32 in the same order, uint64."""
    values = _without_subnormals(values)
    octets = values[~np.isnan(values)].view(np.uint32)
    return np.where(octets >> 31, ~octets, octets | np.uint32(1 << 31)).astype(np.uint64)


def _cuts(images: np.ndarray, above: np.ndarray) -> np.ndarray:
    octets = images.astype(np.uint32)
    values = np.where(octets >> 31, octets & np.uint32((1 << 31) - 1), ~octets).view(np.float32)
    if np.isnan(values).any():
        # The image 0 is of no number: the search ended below all values, for there are none.
        return np.zeros(0, dtype=np.float32)
    with np.errstate(over="ignore"):
        after = np.nextafter(values, np.float32(np.inf))
    after = np.where(np.abs(after) < SMALLEST, np.where(values < 0, np.float32(0), SMALLEST), after)
    cuts = np.unique(np.where(above, after, values))
    return cuts[np.isfinite(cuts)]
