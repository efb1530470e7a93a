"""What an owner has spent on noisy sums in all trainings together, in a file of its own, and what it refuses to spend.

Zero-concentrated privacy adds up over trainings, each planned in the light of those before (a filter: Feldman and
Zrnic 2021; Bun and Steinke 2016), so the file is lines of rho, each on the disk before a sum of its unit leaves. The
first unit of a training pays for all of it, once; a unit that is asked of another process after it was begun is asked
for other noise, and pays again. What was paid for and never sent, or never opened, is spent all the same.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.owner import CUTS, LABELS
from components.durable import flush
from components.errors import InvalidInput
from components.federated.noise_account import epsilon_of
from components.secret_file import create_once


class NoiseBudget(BaseModel):
    """The most an owner spends on sums for each person, all trainings together; without noise it is in none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0, le=1000, description="By how much, as a factor e^epsilon, odds may shift in all.")
    delta: float = Field(1e-6, gt=0, lt=1, description="The chance that more is lost.")


@dataclass(frozen=True)
class Spending:
    """One training (`agreement`, named `run`) in the ledger at `path`; without a `budget` it is only noted."""

    path: Path
    owner: str
    budget: NoiseBudget | None
    agreement: Agreement
    run: str

    def require_room(self) -> None:
        """Refuse a training that would spend more than is left, before anything of it is spent.

        Raises
        ------
        InvalidInput
            It would, or the ledger is damaged.
        """
        with self._opened() as file:
            lines = self._lines(file)
            self._require(lines, 0.0 if self._units(lines) else self._whole)

    def begin(self, unit: int) -> None:
        """Note that a unit of work begins, before any sum of it is made; raises as `require_room`."""
        with self._opened() as file:
            lines = self._lines(file)
            known = self._units(lines)
            rho = self._whole if not known else 0.0 if unit > max(known) else self._part(unit)
            self._require(lines, rho)
            line = {"training": self._training, "unit": unit, "rho": rho}
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def _training(self) -> str:
        """The agreement is in it: a second one under the same name is another training."""
        return hashlib.sha256(f"{self.run} {self.agreement.model_dump_json()}".encode()).hexdigest()[:20]

    @property
    def _whole(self) -> float:
        """Rho of all sums; who is in losses is in no other, by the split that the owner keeps to."""
        plans = self.agreement.noise_plan.plans
        return max(sum(plan.rho for kind, plan in plans.items() if kind != "loss"), plans["loss"].rho)

    def _part(self, unit: int) -> float:
        plans = self.agreement.noise_plan.plans
        if unit in (CUTS, LABELS):
            return plans["count" if unit == CUTS else "labels"].rho
        return max(plans["tree"].rho, plans["loss"].rho) / self.agreement.parameters.rounds

    def _units(self, lines: list[dict]) -> list[int]:
        return [line["unit"] for line in lines if line["training"] == self._training]

    def _require(self, lines: list[dict], rho: float) -> None:
        if self.budget is None or rho == 0:
            return
        allowed, delta, before = self.budget.epsilon, self.budget.delta, sum(line["rho"] for line in lines)
        spent, then = (epsilon_of(one, delta) if one else 0.0 for one in (before, before + rho))
        if then > allowed * (1 + 1e-9):
            raise InvalidInput(
                f"owner '{self.owner}' spends at most epsilon {allowed:g} (delta {delta:g}) on noisy sums in all "
                f"trainings together: {spent:.3g} is spent, and with epsilon {self.agreement.noise.epsilon:g} (delta "
                f"{self.agreement.noise.delta:g}), which was asked for, it would be {then:.3g}; ask for less"
            )

    def _lines(self, file: IO[bytes]) -> list[dict]:
        """All lines; one that was not finished was not relied on either, and is taken away."""
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            file.truncate(len(whole))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            if all(set(line) == {"training", "unit", "rho"} and line["rho"] >= 0 for line in lines):
                return lines
        except (ValueError, TypeError):
            pass
        raise InvalidInput(
            f"owner '{self.owner}' cannot read {self.path.name}, where it notes what it has spent on noisy sums; "
            "restore it from a copy"
        )

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The ledger, for one process at a time; a name in a folder is on the disk when the folder is."""
        if not self.path.exists():
            create_once(self.path, b"")
            flush(self.path.parent)
        with self.path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def spending_of(owner: str, agreement: Agreement, told: Mapping) -> Spending:
    """The spending of `told`, JSON: path of the `ledger`, the owner's `budget` or none, name of the `run`."""
    budget = told["budget"] and NoiseBudget(**told["budget"])
    return Spending(Path(told["ledger"]), owner, budget, agreement, told["run"])
