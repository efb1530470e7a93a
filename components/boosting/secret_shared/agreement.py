"""The agreement: all that is public about a secret-shared training, fixed before any message is sent.

Every party and the dealer hold the same document and derive from it the size of each message, so nothing about the data
can show in the traffic. What is not in it stays secret until the analyst opens the model.
"""

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.boosting.parameters import BoostingParameters
from components.errors import InvalidInput

LEAST_HESSIAN = 2e-6
"""p (1 - p) where the sigmoid becomes a constant: no row of a logistic model weighs less."""

GAIN_BITS = 27
"""Fraction bits of a gain, or more."""

DEEPEST = 8
MOST_BINS = 4096


def require_trainable(parameters: BoostingParameters) -> None:
    """Refuse parameters that this mode does not have, whatever the rows.

    Raises
    ------
    InvalidInput
        One of them; names it.
    """
    if parameters.reg_alpha:
        raise InvalidInput("reg_alpha is not zero; mode secret_shared has no L1 penalty, set it to 0")
    if parameters.early_stopping_rounds:
        raise InvalidInput(
            "early_stopping_rounds is set; mode secret_shared cannot look at a loss between rounds, leave it empty"
        )
    if parameters.max_depth > DEEPEST:
        raise InvalidInput(f"max_depth is {parameters.max_depth}; mode secret_shared grows at most {DEEPEST} levels")
    if parameters.reg_lambda + parameters.min_child_weight < 0.01:
        raise InvalidInput(
            "reg_lambda and min_child_weight are both next to zero, and a leaf's weight would have no bound; "
            "raise one of them to 0.01 or more"
        )


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureShape(_Public):
    """A feature: its name, kind, number of bins, and whether a value may be missing (which costs candidates)."""

    name: str
    kind: Literal["numeric", "categorical"] = "numeric"
    bins: int = Field(ge=1, le=MOST_BINS)
    may_miss: bool = True


class Block(_Public):
    """Rows [start, stop) of some features (positions), which party `owner` holds."""

    owner: int = Field(ge=0)
    start: int = Field(ge=0)
    stop: int
    features: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.stop - self.start


class Agreement(_Public):
    """Who holds what, and what is trained; see the module."""

    parties: tuple[str, ...] = Field(min_length=2)
    rows: int = Field(ge=1, lt=2**24)
    features: tuple[FeatureShape, ...] = Field(min_length=1)
    blocks: tuple[Block, ...]
    labels: tuple[Block, ...]
    """Who holds the labels of which rows; these blocks have no features."""
    objective: Literal["binary:logistic", "multi:softprob", "reg:squarederror"]
    outputs: int = Field(1, ge=1, le=64)
    """Trees a round: 1, or the number of classes."""
    label_range: tuple[float, float] = (0.0, 1.0)
    """Public bounds of a regression label, which fix the scale of its fixed-point numbers."""
    parameters: BoostingParameters
    matching: str = ""
    """Token of the matching that put every party's rows in the order they are trained on."""

    @model_validator(mode="after")
    def _every_cell_has_one_owner(self) -> Self:
        for what, blocks, wanted in (
            ("feature", self.blocks, range(len(self.features))),
            ("label", self.labels, (-1,)),
        ):
            for feature in wanted:
                ranges = sorted(
                    (block.start, block.stop) for block in blocks if feature == -1 or feature in block.features
                )
                ends = [0, *(stop for _, stop in ranges)]
                if [start for start, _ in ranges] != ends[:-1] or ends[-1] != self.rows:
                    name = "the label" if feature == -1 else f"feature '{self.features[feature].name}'"
                    raise ValueError(f"{what} blocks do not cover every row of {name} once")
        return self

    @property
    def widest(self) -> int:
        """Bins of the feature that has most; missing values have the bin after."""
        return max(feature.bins for feature in self.features)

    @property
    def slots(self) -> int:
        """Histogram slots of every feature."""
        return self.widest + any(feature.may_miss for feature in self.features)

    @property
    def gradient_bound(self) -> float:
        """No gradient is larger; regression labels are scaled to [-1, 1] and margins are kept within [-3, 3]."""
        return 4.0 if self.objective == "reg:squarederror" else 1.0

    @property
    def lightest(self) -> float:
        """The least H + lambda of a side that counts; one without rows never does."""
        return self.parameters.reg_lambda + max(self.parameters.min_child_weight, LEAST_HESSIAN / 2)

    @property
    def weight_bound(self) -> float:
        """No leaf weight -G / (H + lambda) is larger, before eta."""
        return self.gradient_bound / max(self.lightest / self.rows, self._least_hessian)

    @property
    def floor(self) -> float:
        """What every row's hessian is raised by, lest weights outgrow their bound: 0 unless rows are very many."""
        if self.objective == "reg:squarederror" or self.lightest / self.rows >= self._least_hessian:
            return 0.0
        # With room for what a hessian near zero lost in rounding.
        return self._least_hessian + 2.0**-17

    @property
    def hessian_bound(self) -> float:
        """No sum of hessians and lambda is larger."""
        each = {"binary:logistic": 0.25, "multi:softprob": 0.5, "reg:squarederror": 1.0}[self.objective]
        return self.rows * (each + self.floor) + self.parameters.reg_lambda

    @property
    def score_bound(self) -> float:
        """No score G^2 / (H + lambda) of a side is larger."""
        return self.rows * self.gradient_bound * self.weight_bound + 1.0

    @property
    def gain_bits(self) -> int:
        """Fraction bits of a score so that two never wrap around."""
        return 59 - math.ceil(math.log2(self.score_bound))

    @property
    def _least_hessian(self) -> float:
        """What each row must weigh for gains to have their bits, whatever lambda and min_child_weight are."""
        return 1.0 if self.objective == "reg:squarederror" else (self.rows + 1) * 2.0 ** (GAIN_BITS - 59)

    def require_fits(self) -> None:
        """See before anything runs that no number can leave the ring; what rows could do, `floor` prevents.

        Raises
        ------
        InvalidInput
            A parameter that this mode does not have.
        """
        require_trainable(self.parameters)
