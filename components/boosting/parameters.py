"""Settings of gradient-boosted trees, with XGBoost's names and meaning.

A frozen pydantic model, because the same object is a form in the Prefect UI, a block of YAML in a deployment and part
of a training record. Bounds keep out what cannot work; the defaults did best on the RAND records (docs/candidates.md)
and need no early stopping, which a mode that shows nobody a row cannot have.
Source: Chen and Guestrin, KDD 2016, sections 2.2 and 2.3.
"""

from pydantic import BaseModel, ConfigDict, Field

from components.data.schema import BinaryLabel, Label, MulticlassLabel

MAX_BIN = 256
"""Bins where nothing else is asked for and rows are pooled; XGBoost's default."""

LINKS = {"binary:logistic": "logit", "multi:softprob": "identity", "reg:squarederror": "identity"}
"""Objective → the function that takes its `base_score` to the margin scale."""


class BoostingParameters(BaseModel):
    """How trees are grown; one object for every training mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(100, ge=1, le=10_000, description="Boosting rounds; one tree each, or one per class.")
    max_depth: int = Field(3, ge=1, le=16, description="Deepest level of a tree.")
    eta: float = Field(0.1, gt=0, le=1, description="Learning rate: the share of each tree that is added.")
    reg_lambda: float = Field(1.0, ge=0, le=1e6, description="L2 penalty on leaf values.")
    reg_alpha: float = Field(0.0, ge=0, le=1e6, description="L1 penalty on leaf values.")
    gamma: float = Field(0.0, ge=0, le=1e6, description="Least gain a split must bring.")
    min_child_weight: float = Field(1.0, ge=0, le=1e9, description="Least sum of second derivatives in a leaf.")
    subsample: float = Field(0.8, gt=0, le=1, description="Share of the rows drawn for each tree.")
    colsample_bytree: float = Field(0.8, gt=0, le=1, description="Share of the features drawn for each tree.")
    max_bin: int | None = Field(
        None, ge=2, le=4096, description="Histogram bins per feature; empty: 256 on pooled rows, 32 on shares."
    )
    early_stopping_rounds: int | None = Field(
        None, ge=1, description="Stop after so many rounds without gain on the validation rows; empty: never."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the row and feature draws.")
    threads: int = Field(0, ge=0, le=1024, description="Processor threads; 0 takes all.")

    def to_xgboost(self, label: Label) -> dict:
        """The parameters `xgboost.train` takes for this label; rounds and early stopping are arguments there."""
        ours = self.model_dump(exclude={"rounds", "early_stopping_rounds", "threads"})
        return {
            **ours,
            "max_bin": self.max_bin or MAX_BIN,
            **objective_of(label),
            "tree_method": "hist",
            "nthread": self.threads,
        }


def objective_of(label: Label) -> dict:
    """The standard objective whose `predict` gives probabilities, or values for regression."""
    match label:
        case BinaryLabel():
            return {"objective": "binary:logistic"}
        case MulticlassLabel(classes=classes):
            return {"objective": "multi:softprob", "num_class": len(classes)}
        case _:
            return {"objective": "reg:squarederror"}
