"""A party's shares on its own disk: one file a round, so that training goes on from the last one that is finished.

The trees so far never change; the margins after a round are kept for the last two rounds, since one party may have
finished a round that another has not. Files are written aside and renamed, lie in a folder only the owner may read, and
are worth nothing without those of all other parties. Each carries the tag of the try that wrote it, the same at all
parties: files of two tries, as a backup or a process that was given up may leave them, are never put together.
"""

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from components.boosting.secret_shared.grow import Grown, Level
from components.boosting.secret_shared.train import SharedModel, State
from components.durable import flush
from components.errors import InvalidInput
from components.mpc.engine import Engine
from components.mpc.fixed_point import FRACTION
from components.mpc.shared import Shared

_WHOLE = ("tests", "constants", "chosen", "thresholds")
"""Parts of a level that are integers."""


def keep_round(folder: Path, done: int, state: State, tag: str) -> None:
    """Write what round `done` (1, 2, …) added; `tag` names this try at all parties."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    grown = state.model.rounds[done - 1]
    arrays = {"leaf_sums": grown.leaf_sums.words, "leaves": grown.leaves.words}
    for depth, level in enumerate(grown.levels):
        arrays |= {f"{name}_{depth}": getattr(level, name).words for name in (*_WHOLE, "sums")}
    if done == 1:
        _write(folder / "base.npz", {"base": state.model.base.words}, tag)
    _write(folder / f"margins_{done:05d}.npz", {"margins": state.margins.words}, tag)
    # Last, for its presence says that the round is finished.
    _write(folder / f"round_{done:05d}.npz", arrays, tag)
    (folder / f"margins_{done - 2:05d}.npz").unlink(missing_ok=True)


def finished_rounds(folder: Path) -> dict[int, str]:
    """Rounds one could go on from: the last two without a gap, each with a digest of the tags of all it rests on.

    The digest of the last round names the whole model: it is the same at all owners of its shares and nowhere else.
    """
    tags, found = [_tag(folder / "base.npz")], {}
    while tags[-1]:
        tags.append(_tag(folder / f"round_{len(tags):05d}.npz"))
        margins = _tag(folder / f"margins_{len(tags) - 1:05d}.npz")
        if tags[-1] and margins:
            found[len(tags) - 1] = hashlib.sha256(" ".join([*tags, margins]).encode()).hexdigest()[:16]
    return dict(list(found.items())[-2:])


def restored(engine: Engine, folder: Path, done: int, shape: "ModelShape") -> State | None:
    """The state after `done` rounds; None for 0. The dealer, who has no files, gets zeros of the right shape.

    Later rounds are removed: they will be shared anew, and shares of two runs do not add up.
    """
    state = None
    if done:
        margins = _read(engine, folder / f"margins_{done:05d}.npz", {"margins": (shape.outputs, shape.rows)})
        state = State(stored_model(engine, folder, done, shape), Shared(engine, margins["margins"], FRACTION))
    if not engine.deals:
        for later in sorted(folder.glob("round_*.npz"), reverse=True):
            if int(later.stem.removeprefix("round_")) > done:
                later.unlink()
        for aside in folder.glob("*.part"):
            aside.unlink()
    return state


def stored_model(engine: Engine, folder: Path, rounds: int, shape: "ModelShape") -> SharedModel:
    """The shares of a model of `rounds` rounds."""
    base = _read(engine, folder / "base.npz", {"base": (shape.outputs, 1)})["base"]
    model = SharedModel(Shared(engine, base, FRACTION))
    for number in range(1, rounds + 1):
        words = _read(engine, folder / f"round_{number:05d}.npz", shape.round())
        levels = [
            Level(
                **{name: Shared(engine, words[f"{name}_{depth}"], 0) for name in _WHOLE},
                sums=Shared(engine, words[f"sums_{depth}"], FRACTION),
            )
            for depth in range(shape.depth)
        ]
        leaf_sums, leaves = (Shared(engine, words[name], FRACTION) for name in ("leaf_sums", "leaves"))
        model.rounds.append(Grown(levels, leaf_sums, leaves, None))
    return model


def require_model(name: str, shares: Path, rounds: int, tag: str) -> None:
    """See that an owner's shares are of the model that `tag` names: those of two trainings add up to nothing.

    Raises
    ------
    InvalidInput
        They are of another, or there are none.
    """
    own = finished_rounds(shares).get(rounds)
    if own != tag:
        key = shares.parent.parent.name
        raise InvalidInput(
            f"owner '{name}' has shares of {f'training {own}' if own else 'no finished training'} where model {key} is "
            f"of training {tag}; restore its folder of together/{key} as it was after that, or start anew under "
            "another model name (--model)"
        )


class ModelShape:
    """The public sizes of a model's arrays."""

    def __init__(self, outputs: int, depth: int, columns: int, rows: int):
        self.outputs, self.depth, self.columns, self.rows = outputs, depth, columns, rows

    def round(self) -> dict[str, tuple[int, ...]]:
        """Name → shape of a round's arrays."""
        leaves = self.outputs * 2**self.depth
        shapes: dict[str, tuple[int, ...]] = {"leaf_sums": (2, leaves), "leaves": (leaves,)}
        for depth in range(self.depth):
            nodes = self.outputs * 2**depth
            shapes |= {f"{name}_{depth}": (nodes,) for name in _WHOLE[1:]}
            shapes |= {f"tests_{depth}": (nodes, self.columns), f"sums_{depth}": (2, nodes)}
        return shapes


def _write(path: Path, arrays: dict[str, np.ndarray], tag: str) -> None:
    aside = path.with_suffix(f".{tag}.part")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        np.savez(file, allow_pickle=False, tag=np.array(tag), **arrays)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    flush(path.parent)


def _tag(path: Path) -> str:
    """Of which try a file is; nothing if there is none, or none that is whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return str(stored["tag"])
    except (FileNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError):
        return ""


def _read(engine: Engine, path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    if engine.deals:
        return {name: np.zeros(shape, dtype=np.uint64) for name, shape in shapes.items()}
    if not path.exists():
        raise InvalidInput(
            f"{path} is missing, so the model cannot go on from there; restore the folder it was in as it was last, or "
            "let every owner remove its own, and training begins anew"
        )
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name].reshape(shape) for name, shape in shapes.items()}
