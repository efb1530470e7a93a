"""What a party keeps of a matching: its rows in the common order, part by part, and its cut points."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from components.errors import InvalidInput


def read_matched(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `match`'s result."""
    with np.load(folder / "result.npz", allow_pickle=False) as stored:
        return dict(stored)


def rows_of(matched: Mapping[str, np.ndarray], part: str) -> list[np.ndarray]:
    """Row indices of a part, an array for each group that the owner is in."""
    found = []
    while f"{part}_{len(found)}" in matched:
        found.append(matched[f"{part}_{len(found)}"])
    return found


def held_out_rows(matched: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Selection rows, then gate rows, an array for each group."""
    pairs = zip(rows_of(matched, "selection"), rows_of(matched, "gate"), strict=True)
    return [np.concatenate(pair) for pair in pairs]


def cuts_of(matched: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """Cut points of every numeric feature that the owner holds."""
    return {int(name.removeprefix("cuts_")): points for name, points in matched.items() if name.startswith("cuts_")}


def require_matching(name: str, folder: Path, agreed: str) -> None:
    """See that an owner's rows are of the matching with token `agreed`: rows of two are in two orders.

    Raises
    ------
    InvalidInput
        They are of another.
    """
    own = json.loads((folder / "result.json").read_text())["token"]
    if own != agreed:
        raise InvalidInput(
            f"owner '{name}' has its rows as of matching {own}, and what is asked for is on matching {agreed}; "
            f"restore its folder of together/{folder.parent.name}, or remove all of that in the home of the pipeline, "
            "and rows are matched anew"
        )
