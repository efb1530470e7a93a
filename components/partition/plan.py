"""How a table is dealt to owners, as a parameter a person fills in.

Each plan is a small pydantic model told apart by `kind`, with described fields, so that a YAML file and a form say the
same thing. Horizontal plans give an owner whole rows, vertical ones whole columns, the mixed one both (as when several
hospitals share one insurer). The skews follow the literature on federated learning: Hsu et al., 2019 (arXiv
1909.06335); Li et al., ICDE 2022, section IV.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

OWNER_NAME = r"^[a-z0-9][a-z0-9_.-]*$"

Owner = Annotated[str, Field(pattern=OWNER_NAME)]
Owners = Annotated[int, Field(ge=2, le=1000, description="Number of owners.")]
Alpha = Annotated[float, Field(gt=0, description="Dirichlet concentration: 100 is nearly even, 0.1 is extreme.")]
Least = Annotated[int, Field(ge=1, description="Persons every owner gets at least; draws are repeated until they do.")]
Columns = Annotated[
    dict[Owner, list[str]],
    Field(min_length=2, description="Owner → its columns. Every feature, group and the label is held by exactly one."),
]


class _Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Single(_Plan):
    """One owner holds everything."""

    kind: Literal["single"] = "single"
    owner: Owner = "all"


class ByColumn(_Plan):
    """Horizontal: one owner for each value of a column, such as the hospital or the site."""

    kind: Literal["by_column"] = "by_column"
    column: str = Field(description="Column whose values name the owners; missing in no row.")


class Even(_Plan):
    """Horizontal: persons are dealt at random in equal numbers."""

    kind: Literal["even"] = "even"
    owners: Owners = 3


class LabelSkew(_Plan):
    """Horizontal: the share of each label class differs between owners."""

    kind: Literal["label_skew"] = "label_skew"
    owners: Owners = 3
    alpha: Alpha = 0.5
    least: Least = 10


class QuantitySkew(_Plan):
    """Horizontal: the number of persons differs between owners."""

    kind: Literal["quantity_skew"] = "quantity_skew"
    owners: Owners = 3
    alpha: Alpha = 0.5
    least: Least = 10


class Crowd(_Plan):
    """Horizontal, simulated: persons are dealt to very many devices, which hold one or a few each."""

    kind: Literal["crowd"] = "crowd"
    owners: int = Field(100_000, ge=2, le=10_000_000, description="Devices there could be.")
    skew: float = Field(1.0, ge=0, le=5, description="How much devices differ: deviation of the log of their share.")
    window: int | None = Field(
        None,
        ge=1,
        description="Rounds a row stays at its device after it came; empty: all are there all the time.",
    )
    masks: bool = Field(
        False, description="Run the whole protocol among the chosen; else sums are added in the open, which is faster."
    )


class Vertical(_Plan):
    """Vertical: each owner holds other columns of the same persons."""

    kind: Literal["vertical"] = "vertical"
    columns: Columns
    overlap: float = Field(
        default=1.0, gt=0, le=1, description="Share of persons each owner has on record; below 1 each lacks others."
    )
    missing_rows: Literal["drop", "keep"] = Field(
        "drop", description="Rows that a side lacks: left out of the join, or kept with that side's columns missing."
    )


class Mixed(_Plan):
    """Vertical between sides, and horizontal within one: several hospitals, one insurer."""

    kind: Literal["mixed"] = "mixed"
    columns: Columns
    split: Owner = Field(description="The side that is several owners.")
    by: str = Field(description="Column whose values name the owners of that side.")

    @model_validator(mode="after")
    def _split_is_a_side(self) -> Self:
        if self.split not in self.columns:
            raise ValueError(f"split '{self.split}' is no side; the sides are {', '.join(self.columns)}")
        return self


PartitionPlan = Annotated[
    Single | ByColumn | Even | LabelSkew | QuantitySkew | Crowd | Vertical | Mixed, Field(discriminator="kind")
]
