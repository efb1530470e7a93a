"""What a candidate must show before it replaces a champion, written as YAML and validated before anything runs.

Nothing is implied: a check that is not configured is not made, a policy without a single check promotes nothing, and an
unknown key or a budget that no data could meet is refused with one sentence.
"""

from math import ceil, log, log1p
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import stats
from scipy.special import ndtri

from components.data.schema import read_yaml, validated
from components.errors import InvalidInput
from components.gates.statistics import tango_upper

Share = Annotated[float, Field(gt=0, lt=1)]
"""A budget or tolerance: 0 could never be shown with finitely many rows, 1 could never be missed."""


SELDOM, MOST_SECRETS = 0.05, 10_000
"""How often a model that learnt no secret may be held, and beyond how many secrets nobody looks."""


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


class LowerBound(_Section):
    """No audit shows more epsilon than was claimed, and sampling was what the account supposes.

    `audits` must have been run, with at least so many `steps` taken and `coins` tossed.
    """

    audits: tuple[Literal["one step", "one run", "sampling"], ...] = ()
    steps: int = Field(default=1, ge=1)
    coins: int = Field(default=1, ge=1)


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


class Membership(_Section):
    """How many members an attack may name at `false_positive_rate` false alarms, of all attacks that were run.

    `attacks` must have been, on at least so many `members`.
    """

    true_positive_rate: Share
    false_positive_rate: Literal[0.001, 0.01] = 0.01
    attacks: tuple[Literal["loss", "LiRA", "RMIA"], ...] = ()
    members: int = Field(default=1, ge=1)


class Exposure(_Section):
    """Bits by which secrets planted `repeats` times may stand out on average; 1.44 is a secret never seen.

    `secrets` is how many of them there must be; empty: any number.
    """

    bits: float = Field(gt=0)
    repeats: int = Field(default=1, ge=1)
    secrets: int | None = Field(default=None, ge=1)


class PrivacyChecks(_Section):
    """What private training must keep to; each is held against what was claimed, or against what attacks achieved.

    A claim that an audit refutes rejects whether or not `lower_bound` is asked for: then the claim is false.
    """

    epsilon: float | None = Field(default=None, gt=0)
    lower_bound: LowerBound | None = None
    membership: Membership | None = None
    exposure: Exposure | None = None


class FrameChecks(_Section):
    """Checks of a policy that are asked of whole frames too: an intent and all of its slots."""

    flip_budget: FlipBudget | None = None
    not_worse: NotWorse | None = None
    maximum_error: MaximumError | None = None
    groups: GroupChecks | None = None


class Policy(_Section):
    """Every check of a gate; `confidence` is one-sided.

    `pass_correction` says whether it holds jointly over the groups that pass; `fail_correction` whether it bounds wrong
    failures of each kind of check, or of all of them together. `frames` and `privacy` are of language models alone.
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
    frames: FrameChecks | None = None
    privacy: PrivacyChecks | None = None
    pass_correction: Literal["holm", "none"] = "holm"
    fail_correction: Literal["check", "policy"] = "check"
    choice: Choice = Choice()
    publish: Publishing | None = None

    @property
    def level(self) -> float:
        """One-sided probability of error, 1 - confidence."""
        return 1 - self.confidence

    @property
    def for_frames(self) -> Self | None:
        """The policy that whole frames are judged by; None where it asks nothing of them."""
        if self.frames is None:
            return None
        of_intents = ("minimum_rows", "beats_constant", "golden_set", "frames", "privacy", "publish")
        asked = {name: getattr(self.frames, name) for name in FrameChecks.model_fields}
        return self.model_copy(update=dict.fromkeys(of_intents) | asked)

    @model_validator(mode="after")
    def _budgets_can_be_met(self) -> Self:
        budgets = []
        for section, prefix in ((self, ""), (self.frames, "frames.")):
            if section is None:
                continue
            groups, rows = section.groups, ("minimum_rows", self.minimum_rows)
            if section.flip_budget:
                budgets.append((f"{prefix}flip_budget.nfr", section.flip_budget.nfr, *rows))
            if section.maximum_error:
                budgets.append((f"{prefix}maximum_error.budget", section.maximum_error.budget, *rows))
            if groups and groups.nfr:
                of_groups = (f"{prefix}groups.minimum_rows", groups.minimum_rows)
                budgets.append((f"{prefix}groups.nfr.budget", groups.nfr.budget, *of_groups))
            if groups and groups.error:
                least = float(tango_upper(0, 0, groups.minimum_rows, -ndtri(self.level)))
                if least > groups.error.budget:
                    raise ValueError(
                        f"'{prefix}groups.error.budget' is {groups.error.budget:g}, which {groups.minimum_rows} rows "
                        f"('{prefix}groups.minimum_rows') cannot show even without a single flip; ask for more rows or "
                        f"raise the budget to {least:.2g}"
                    )
        for key, budget, rows_key, rows in budgets:
            needed = rows_without_event(budget, self.level)
            if rows is not None and rows < needed:
                raise ValueError(
                    f"'{key}' is {budget:g}, which {rows} rows ('{rows_key}') cannot show even without a single miss; "
                    f"ask for at least {needed} rows or raise the budget"
                )
        return self

    @model_validator(mode="after")
    def _nothing_learnt_is_seldom_held(self) -> Self:
        asked = self.privacy and self.privacy.exposure
        if not asked or asked.secrets is None:
            return self
        needed = next((n for n in range(1, MOST_SECRETS) if chance_of_hold(n, asked.bits, self.level) <= SELDOM), None)
        if needed is None or asked.secrets < needed:
            held = f"{100 * chance_of_hold(asked.secrets, asked.bits, self.level):.2g} % of models that learnt none"
            remedy = f"ask for at least {needed} or for more bits" if needed else "ask for more bits"
            raise ValueError(
                f"'privacy.exposure.secrets' is {asked.secrets}, with which {asked.bits:g} bits would put {held} on "
                f"hold; {remedy}"
            )
        return self


def chance_of_hold(secrets: int, bits: float, level: float) -> float:
    """The probability that the upper bound of the mean exposure of `secrets` nobody ever saw is above `bits`.

    Each exposure is exponential with mean log2(e), so the mean is a gamma variate, and so is its bound.
    """
    degrees = 2 * secrets
    return float(stats.chi2.sf(bits * log(2) * stats.chi2.ppf(level, degrees), degrees))


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
