"""Health records of the RAND Health Insurance Experiment (1974-1982; public domain), as statsmodels ships them.

20 190 person-years of 5912 people at six sites who were given an insurance plan by lot. The question asked of them:
who will see a physician five times or more in the coming year? A model may use only what was known when that year
began: the enrolment interview, the terms of the plan, and the person's own use in the year before (missing in the
first).

Left out on purpose: everything measured in the same year (expenses, admissions, other visits, time eligible); the plan
number, whose terms are columns of their own; logarithms and interactions of other columns; `child`, which is age < 18;
`ghindx`, missing for a quarter of the people, where `xghindx` is the same index with the study's own imputation; and
race as a feature: Black participants saw a physician less at equal health, so a model that looks at race would learn a
barrier to care as if it were a lesser need. Race is a group instead: reported and gated, never looked at.

References
----------
Newhouse et al., Free for All? Lessons from the RAND Health Insurance Experiment, 1993; Cameron and Trivedi,
Microeconometrics, 2005, chapter 20; Deb and Trivedi, Journal of Health Economics 21, 2002.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from components.data.schema import BinaryLabel, Feature, Group, Schema
from components.data.table import Table
from components.errors import InvalidInput

HIGH_USE = 5
"""Face-to-face physician visits in a year that make a high user: the upper fifth of person-years."""

YEARS = (1, 2, 3, 4, 5)

AT_ENROLMENT = {
    "site": ("site", "one of six: towns and counties in Ohio, Washington, Massachusetts (2) and South Carolina (2)"),
    "coinsurance": ("coins", "percentage of a bill the family pays itself; drawn by lot"),
    "individual_deductible": ("idp", "1 when the plan has a deductible for each person; drawn by lot"),
    "expenditure_limit": ("mdeoff", "dollars a year beyond which care is free"),
    "participation_incentive": ("pioff", "dollars a year paid for taking part"),
    "baseline_physical": ("tookphys", "1 when the person had a physical examination at enrolment; drawn by lot"),
    "age": ("xage", "years, in the year of the record"),
    "female": ("female", "1 for female"),
    "education": ("educdec", "years of schooling of the family's decision maker"),
    "income": ("income", "family income in dollars, one figure for all years; 0 stands for not recorded: missing here"),
    "family_size": ("num", "persons; a child counts from the year after its birth"),
    "mental_health": ("mhi", "mental health index at enrolment, 100 is best"),
    "chronic_diseases": ("disea", "scaled count of chronic diseases at enrolment"),
    "physical_limitation": ("physlm", "1 when limited in physical activity at enrolment; a share where imputed"),
    "general_health": ("xghindx", "general health index at enrolment, 100 is best, imputed by the study where missing"),
}
"""Feature → the study's column and what it says. All are known before the first year begins, or before this one."""

LAST_YEAR = {
    "last_year_visits": ("mdvis", "physician visits in the year before"),
    "last_year_other_visits": ("notmdvis", "visits to other health professionals in the year before"),
    "last_year_psychotherapy_visits": ("mentvis", "psychotherapy visits in the year before"),
    "last_year_admissions": ("totadm", "hospital admissions in the year before"),
    "last_year_outpatient_dollars": ("outpdol", "outpatient expenses in the year before, without drugs"),
    "last_year_drug_dollars": ("drugdol", "expenses for drugs in the year before"),
    "last_year_inpatient_dollars": ("inpdol", "hospital expenses in the year before"),
}
"""Feature → the study's column a year earlier; missing where that year is not on record."""

SELF_RATED_HEALTH = ("poor", "fair", "good", "excellent")


def _feature(name: str, column: str, meaning: str) -> Feature:
    note = f"{meaning} ({column})"
    return Feature(kind="categorical", categories=tuple("123456"), note=note) if name == "site" else Feature(note=note)


RAND_HIE = Schema(
    name="rand_hie",
    features={
        **{name: _feature(name, *source) for name, source in AT_ENROLMENT.items()},
        "self_rated_health": Feature(
            kind="ordinal",
            categories=SELF_RATED_HEALTH,
            note="at enrolment, from the indicators hlthp, hlthf, hlthg; excellent when none is set",
        ),
        **{name: _feature(name, *source) for name, source in LAST_YEAR.items()},
    },
    label=BinaryLabel(column="high_use"),
    groups={
        "sex": Group(column="female", names={"0": "male", "1": "female"}),
        "race": Group(column="race"),
        "age_band": Group(column="age", edges=(18, 35, 50)),
        "income_band": Group(column="income", edges=(6500, 9500)),
    },
    person="person",
    time="year",
    about=(
        f"RAND Health Insurance Experiment: {HIGH_USE} or more physician visits in the coming year, from what was "
        "known before it. Real records, 1974-1982, public domain."
    ),
)

RAND_HIE_OWNERS = {
    "hospital": (
        "site",
        "baseline_physical",
        "age",
        "female",
        "race",
        "mental_health",
        "chronic_diseases",
        "physical_limitation",
        "general_health",
        "self_rated_health",
        "last_year_visits",
        "last_year_other_visits",
        "last_year_psychotherapy_visits",
        "last_year_admissions",
        "high_use",
    ),
    "insurer": (
        "coinsurance",
        "individual_deductible",
        "expenditure_limit",
        "participation_incentive",
        "education",
        "income",
        "family_size",
        "last_year_outpatient_dollars",
        "last_year_drug_dollars",
        "last_year_inpatient_dollars",
    ),
}
"""Who holds what when columns are split: the hospital examines and counts visits, hence the label; the insurer pays."""


def load_rand_hie(years: tuple[int, ...] | None = None) -> Table:
    """The person-years of `years` (all five when None), sorted by person and year.

    In year 1 no one has a last year on record: taken alone, its last-year features are missing throughout.

    Raises
    ------
    InvalidInput
        A year outside 1 to 5, or statsmodels is not installed.
    """
    for year in years or ():
        if year not in YEARS:
            raise InvalidInput(f"year {year!r} is not in rand_hie; its study years are {', '.join(map(str, YEARS))}")
    if years is not None and not years:
        raise InvalidInput("years is empty; name study years from 1 to 5, or leave it out for all")
    records = _prepared(pd.read_csv(_study_file()))
    chosen = records if years is None else records[records["year"].isin(years)]
    columns = pa.Table.from_pandas(chosen[list(RAND_HIE.columns)], preserve_index=False)
    return Table(RAND_HIE, columns.replace_schema_metadata())


def _study_file() -> Path:
    """The file inside statsmodels, found without importing it (which takes seconds)."""
    package = find_spec("statsmodels")
    if package is None:
        raise InvalidInput("source 'rand_hie' needs the package statsmodels, which ships the records; install it")
    return Path(package.origin).parent / "datasets" / "randhie" / "src" / "randhie.csv"


def _prepared(study: pd.DataFrame) -> pd.DataFrame:
    """Every column of the schema; one row a person-year."""
    study = study.sort_values(["zper", "year"], ignore_index=True)
    ours = pd.DataFrame({name: study[column] for name, (column, _) in AT_ENROLMENT.items()})
    ours["income"] = study["income"].where(study["income"] > 0)
    rating = np.select([study["hlthp"] == 1, study["hlthf"] == 1, study["hlthg"] == 1], [0, 1, 2], default=3)
    ours["self_rated_health"] = np.array(SELF_RATED_HEALTH)[rating]
    # Shares between 0 and 1 are the study's guesses at unrecorded race; whom we don't know stays unknown.
    ours["race"] = study["black"].map({1.0: "black", 0.0: "not_black"})
    previous = study.groupby("zper")
    follows = previous["year"].diff() == 1
    for name, (column, _) in LAST_YEAR.items():
        ours[name] = previous[column].shift().where(follows)
    ours["person"] = study["zper"].astype(str)
    ours["year"] = study["year"]
    ours["high_use"] = (study["mdvis"] >= HIGH_USE).astype(np.int8)
    return ours
