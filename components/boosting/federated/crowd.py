"""A crowd: the persons of one table as the owners they could be, many and small, with data that come and go.

Each person is dealt to a device; devices differ in how many they have (log-normal). Where there is a window, a row
comes in some round of the training and is gone `window` rounds later, as on devices that keep little, so activity, the
number of rows a device has, changes from round to round.
Source: Dupuy et al., "Learnings from federated learning in the real world", ICASSP 2022, sections 2 and 3.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.noise import first_rows
from components.boosting.federated.owner import RowsOfOwner
from components.boosting.label_range import label_range
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.federated import Content
from components.partition.plan import Crowd


class CrowdOfOwners:
    """The devices of a plan over a table, at one round of `rounds` after the other.

    Attributes
    ----------
    device
        (n,) the device of each row.
    """

    def __init__(self, agreement: Agreement, table: Table, plan: Crowd, *, seed: int = 0):
        self._agreement, self._table, self._plan = agreement, table, plan
        random = np.random.default_rng(seed)
        persons, person_of_row = np.unique(table.person, return_inverse=True)
        weights = np.cumsum(random.lognormal(0, plan.skew, plan.owners))
        dealt = np.searchsorted(weights, random.random(len(persons)) * weights[-1], side="right")
        self.device = dealt.astype(np.int32)[person_of_row]
        rounds = agreement.parameters.rounds
        # Some rows are there from before the first round.
        start = 1 - plan.window if plan.window else 0
        self._arrival = random.integers(start, rounds, len(table)) if plan.window else np.zeros(len(table), np.int64)
        codes = split_of(table.person, agreement.salt, agreement.shares)
        self._is_training, self._is_held_out = (codes == PARTS.index(part) for part in ("train", "selection"))
        self._order = np.argsort(self.device, kind="stable")
        self._starts = np.searchsorted(self.device[self._order], np.arange(plan.owners + 1))
        self._round = 0
        self._described: dict[str, Content] | None = None

    @cached_property
    def names(self) -> list[str]:
        """Of all devices there could be."""
        width = len(str(self._plan.owners))
        return [f"device-{number + 1:0{width}d}" for number in range(self._plan.owners)]

    def come_to(self, number: int) -> None:
        """Let time pass until round `number`."""
        if self._plan.window:
            self._described = None
        self._round = number

    def describe(self) -> Mapping[str, Content]:
        """Rows of every device that has any now, as it would say itself."""
        if self._described is None:
            here = np.flatnonzero(self._is_here(np.arange(len(self._table))))
            if noise := self._agreement.noise:
                here = here[first_rows(self._table.person[here], noise.rows)]
            rows, held_out = (
                np.bincount(self.device[here[part[here]]], minlength=self._plan.owners)
                for part in (self._is_training, self._is_held_out)
            )
            names, about = self.names, {}
            if self._table.schema.label.kind == "regression":
                about["label_range"] = list(label_range(self._table.labels))
            self._described = {
                names[one]: Content({"rows": int(rows[one]), "held_out": int(held_out[one]), **about})
                for one in np.flatnonzero(rows + held_out)
            }
        return self._described

    def owner(self, name: str) -> RowsOfOwner:
        """A device with what it has now."""
        number = int(name.removeprefix("device-")) - 1
        rows = self._order[self._starts[number] : self._starts[number + 1]]
        seed = self._agreement.seed_of(name)
        return RowsOfOwner(self._agreement, self._table.take(rows[self._is_here(rows)]), seed=seed)

    def _is_here(self, rows: np.ndarray) -> np.ndarray:
        arrival = self._arrival[rows]
        gone = np.inf if self._plan.window is None else arrival + self._plan.window
        return (arrival <= self._round) & (self._round < gone)
