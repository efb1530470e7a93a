"""Scores of held-out rows: each owner computes its own, the analyst, who judges the model by them, collects them all.

The analyst sends the models and receives, over a connection of the two alone, scores, labels, groups and pseudonyms of
one row a person. The aggregator has no part in it, and nothing passes through whoever schedules the run.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from components.boosting.federated.agreement import check_empty
from components.boosting.federated.model import read_model, written_model
from components.data.independence import one_row_per_person
from components.data.prediction_file import pseudonym
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.errors import InvalidInput
from components.federated import Content, Federation, ProtocolViolation, TooFewMembers

PIECE = 16 << 20
"""Octets of an array that travel at a time."""


@dataclass(frozen=True)
class OwnerScores:
    """What one owner says of its held-out rows.

    `arrays`: `scores_0`, … by model, (n,) or (n, classes); `labels` (n,); `group_NAME` (n,), codes into
    `levels[NAME]`; `rows` (n, 12), octets of pseudonyms; `selection` (n,), which are selection rows, else gate rows.
    """

    arrays: Mapping[str, np.ndarray]
    levels: Mapping[str, Sequence[str]]


class ScoresOfOwner:
    """One owner's held-out rows; `pseudonym_key` are secret bytes that stay with it."""

    def __init__(self, part: Table, *, salt: str, shares: tuple[float, float, float], pseudonym_key: bytes):
        codes = split_of(part.person, salt, shares)
        parts = [part.take(np.flatnonzero(codes == PARTS.index(name))) for name in ("selection", "gate")]
        kept = [one.take(one_row_per_person(one)) for one in parts]
        self._rows = Table(part.schema, pa.concat_tables([one.columns for one in kept]))
        self._arrays: dict[str, np.ndarray] = {
            "labels": self._rows.labels,
            "rows": np.frombuffer(
                b"".join(pseudonym(name, pseudonym_key) for name in self._rows.row_ids.tolist()), dtype=np.uint8
            ).reshape(len(self._rows), -1),
            "selection": np.repeat([True, False], [len(one) for one in kept]),
            **{f"group_{name}": group.codes for name, group in self._rows.groups.items()},
        }

    @property
    def answers(self) -> Mapping[str, Callable[[Content], Content]]:
        """What the analyst may ask: to score with each of its models, and then for array after array, in pieces."""
        return {"score": self._score, "describe": self._describe, "fetch": self._fetch}

    def _score(self, content: Content) -> Content:
        # XGBoost takes a second to import, and most of what this machine is asked needs none of it.
        from components.boosting.pooled import predict

        self._arrays[f"scores_{content.document['number']}"] = predict(read_model(content), self._rows)
        return Content()

    def _describe(self, content: Content) -> Content:
        levels = {name: list(group.levels) for name, group in self._rows.groups.items()}
        return Content({"rows": len(self._rows), "levels": levels, "arrays": sorted(self._arrays)})

    def _fetch(self, content: Content) -> Content:
        name, start = content.document["name"], content.document["start"]
        if name not in self._arrays or not 0 <= start <= len(self._rows):
            raise InvalidInput("the analyst asked for an array that there is not; install one version everywhere")
        array = self._arrays[name]
        return Content({}, array[start : start + _rows_a_piece(array)])


def collect_scores(federation: Federation, models: Sequence[str], groups: Collection[str]) -> dict[str, OwnerScores]:
    """Every owner's scores under `models` (XGBoost JSON texts), by owner, with `groups` of the schema.

    Raises
    ------
    TooFewMembers
        An owner is gone; nobody's held-out rows are done without.
    """
    for number, text in enumerate(models):
        _of_all(federation, "score", written_model(text, number=number), check_empty)
    arrays = sorted(["labels", "rows", "selection", *(f"group_{name}" for name in groups),
                     *(f"scores_{number}" for number in range(len(models)))])  # fmt: skip
    heads = _of_all(federation, "describe", Content(), partial(_check_head, set(groups), arrays))
    return {name: _collected(federation, name, head.document) for name, head in sorted(heads.items())}


def _collected(federation: Federation, owner: str, head: Mapping) -> OwnerScores:
    arrays = {}
    for name in head["arrays"]:
        pieces, there = [], 0
        while not pieces or there < head["rows"]:
            asked = Content({"name": name, "start": there})
            check = partial(_check_piece, name, head, there)
            pieces.append(_of_all(federation, "fetch", asked, check, owner)[owner].array)
            there += len(pieces[-1])
            if len(pieces[-1]) == 0:
                break
        arrays[name] = np.concatenate(pieces)
        if len(arrays[name]) != head["rows"]:
            raise InvalidInput(f"owner '{owner}' has {head['rows']} held-out rows and sent {there} of '{name}'")
    return OwnerScores(arrays, head["levels"])


def _check_head(groups: set[str], arrays: list[str], name: str, content: Content) -> None:
    """Refuse what no owner can have: a number of rows, levels of the schema's groups, the arrays there are."""
    said = content.document
    rows, levels = said.get("rows"), said.get("levels")
    if (
        set(said) != {"rows", "levels", "arrays"}
        or type(rows) is not int
        or rows < 0
        or said["arrays"] != arrays
        or not isinstance(levels, dict)
        or set(levels) != groups
        or not all(isinstance(one, list) and all(isinstance(level, str) for level in one) for one in levels.values())
    ):
        raise ProtocolViolation(name, "describes held-out rows that cannot be")


def _check_piece(array: str, head: Mapping, before: int, name: str, content: Content) -> None:
    """Refuse a piece of an array that is of another kind or form, too long, or has groups that there are not."""
    piece, kinds = content.array, {"rows": "u", "selection": "b", "labels": "biuf"}
    group = array.removeprefix("group_") if array.startswith("group_") else None
    kind = "i" if group else kinds.get(array, "f")
    sides = {"rows": (2,), "labels": (1,), "selection": (1,)}.get(array, (1,) if group else (1, 2))
    if piece is None or piece.dtype.kind not in kind or piece.ndim not in sides or before + len(piece) > head["rows"]:
        raise ProtocolViolation(name, f"sent '{array}' in a form that it cannot have")
    if group and len(piece) and not 0 <= piece.min() <= piece.max() < len(head["levels"][group]):
        raise ProtocolViolation(name, f"sent codes of group '{group}' that there are not")


def _of_all(
    federation: Federation,
    question: str,
    content: Content,
    check: Callable[[str, Content], None],
    owner: str | None = None,
) -> dict[str, Content]:
    asked = federation.members if owner is None else (owner,)
    answers = federation.ask(question, content, members=asked, check=check)
    for name in asked:
        if name not in answers:
            why = next((one.sentence for one in reversed(federation.losses) if one.name == name), f"'{name}' is gone")
            raise TooFewMembers(f"{why}; without its held-out rows the model cannot be judged, start it again")
    return answers


def _rows_a_piece(array: np.ndarray) -> int:
    return max(1, PIECE // max(1, array.itemsize * int(np.prod(array.shape[1:]))))
