"""What a candidate must show before it replaces a champion, written as YAML and validated before anything runs.

Nothing is implied: a check that is not configured is not made, a policy without a single check promotes nothing, and an
unknown key or a budget that no data could meet is refused with one sentence.
"""

from math import ceil, log, log1p
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.data.schema import read_yaml, validated
from components.errors import InvalidInput

Share = Annotated[float, Field(gt=0, lt=1)]
"""A budget or tolerance: 0 could never be shown with finitely many rows, 1 could never be missed."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FlipBudget(_Section):
    """Negative flip rate over all rows."""

    nfr: Share


class NotWorse(_Section):
    """The candidate is not significantly worse than the champion."""


class MaximumError(_Section):
    """Error of the candidate over all rows."""

    budget: Share


class BeatsConstant(_Section):
    """The candidate errs significantly less than always answering the most frequent label of the training rows."""


class GoldenSet(_Section):
    """Rows kept apart that no update may get wrong."""

    flips_allowed: Literal[0] = 0


class Budget(_Section):
    budget: Share


class Gap(_Section):
    """A rate of a group against everyone else; `tolerance` is the difference that is accepted."""

    metric: Literal["error", "false_positive_rate", "false_negative_rate"]
    tolerance: Share = 0.05


class GroupChecks(_Section):
    """What must hold in every group level, and in every intersection of up to `intersections` columns.

    A cell with fewer than `minimum_rows` keeps the candidate on hold, or is only listed (`small_groups: report`).
    """

    columns: tuple[str, ...] | Literal["all"] = "all"
    intersections: Literal[1, 2, 3] = 1
    minimum_rows: int = Field(default=100, ge=1)
    small_groups: Literal["hold", "report"] = "hold"
    nfr: Budget | None = None
    error: Budget | None = None
    gap: tuple[Gap, ...] = ()

    @model_validator(mode="after")
    def _asks_something_once(self) -> Self:
        if self.columns != "all" and (not self.columns or len(set(self.columns)) != len(self.columns)):
            raise ValueError(f"'groups.columns' is {list(self.columns)}; list each column once, or write 'all'")
        if self.nfr is None and self.error is None and not self.gap:
            raise ValueError("'groups' asks nothing of a group; add nfr, error or gap, or remove 'groups'")
        metrics = [gap.metric for gap in self.gap]
        if len(set(metrics)) != len(metrics):
            raise ValueError(f"'groups.gap' names {metrics}; give one tolerance for each metric")
        return self


class Choice(_Section):
    """How one of several candidates is chosen on selection rows, before the gate sees it.

    `lowest_nfr`: of those whose error is within `error_tolerance` of the best, the one with the fewest negative flips.
    """

    rule: Literal["lowest_nfr", "lowest_error"] = "lowest_nfr"
    error_tolerance: float = Field(default=0.005, ge=0, lt=1)


class Publishing(_Section):
    """For whom a promoted model is encrypted, and how (`components.encryption`)."""

    users: tuple[str, ...] = Field(min_length=1)
    mode: Literal["order", "hidden"] = "order"
    bits: Literal[2048, 3072] = 3072
    cut_points: Literal["decoys", "untold"] = "decoys"

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if len(set(self.users)) != len(self.users):
            raise ValueError(f"'publish.users' is {list(self.users)}; list each user once")
        if (self.mode, self.cut_points) == ("hidden", "untold"):
            raise ValueError("'publish.cut_points' is untold, but clients of mode hidden answer for them; use decoys")
        return self


class Policy(_Section):
    """Every check of a gate; `confidence` is one-sided.

    `pass_correction` says whether it holds jointly over the groups that pass; `fail_correction` whether it bounds wrong
    failures of each kind of check, or of all of them together.
    """

    name: str = Field(min_length=1)
    about: str = ""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    minimum_rows: int | None = Field(default=None, ge=1)
    flip_budget: FlipBudget | None = None
    not_worse: NotWorse | None = None
    maximum_error: MaximumError | None = None
    beats_constant: BeatsConstant | None = None
    golden_set: GoldenSet | None = None
    groups: GroupChecks | None = None
    pass_correction: Literal["holm", "none"] = "holm"
    fail_correction: Literal["check", "policy"] = "check"
    choice: Choice = Choice()
    publish: Publishing | None = None

    @property
    def level(self) -> float:
        """One-sided probability of error, 1 - confidence."""
        return 1 - self.confidence

    @model_validator(mode="after")
    def _budgets_can_be_met(self) -> Self:
        groups, budgets = self.groups, []
        if self.flip_budget:
            budgets.append(("flip_budget.nfr", self.flip_budget.nfr, "minimum_rows", self.minimum_rows))
        if self.maximum_error:
            budgets.append(("maximum_error.budget", self.maximum_error.budget, "minimum_rows", self.minimum_rows))
        if groups and groups.nfr:
            budgets.append(("groups.nfr.budget", groups.nfr.budget, "groups.minimum_rows", groups.minimum_rows))
        for key, budget, rows_key, rows in budgets:
            needed = rows_without_event(budget, self.level)
            if rows is not None and rows < needed:
                raise ValueError(
                    f"'{key}' is {budget:g}, which {rows} rows ('{rows_key}') cannot show even without a single miss; "
                    f"ask for at least {needed} rows or raise the budget"
                )
        return self


def rows_without_event(budget: float, level: float) -> int:
    """The fewest rows that show a rate to be within `budget` when not one event is seen: (1 - budget)^n <= level."""
    return ceil(log(level) / log1p(-budget) - 1e-9)


def read_policy(path: Path) -> Policy:
    """Read a policy from YAML.

    Raises
    ------
    InvalidInput
        The file is missing, is not YAML, has an unknown key, or asks what no data could show; names file and key.
    """
    document = read_yaml(path, what="policy")
    _refuse_empty(document, path)
    return validated(Policy, document, path)


def _refuse_empty(section: dict, path: Path, prefix: str = "") -> None:
    """`not_worse:` reads as null in YAML, which would silently drop the check its author asked for."""
    for key, value in section.items():
        if value is None:
            name = f"{prefix}{key}"
            raise InvalidInput(f"{path}: '{name}' is empty; write '{key}: {{}}' for its defaults, or remove the line")
        if isinstance(value, dict):
            _refuse_empty(value, path, f"{prefix}{key}.")
