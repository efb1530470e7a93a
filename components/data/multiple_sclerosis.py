"""Simulated health records for the early recognition of multiple sclerosis (MS). No real person is in them.

The causal order is the code's order: who a person is and what they were exposed to (`_draw_causes`), the risk that
follows (`_relative_risk`), and what medicine has on record of those with and without the disease (`_draw_records`).
Relative risks multiply, which gives the published prevalence and sex ratio in closed form. At 0.309 % a gate would need
a million rows, so `case_share` draws a case-control sample instead: cases and controls are each distributed as in the
population, only their proportion differs, and scores must not be read as a person's risk.

References
----------
Prevalence 309 per 100 000 US adults in 2010, female to male 2.8, highest at 55 to 64, falling from north to south:
Wallin et al., Neurology 92, 2019. By ethnicity 161 (Hispanic), 298 (Black), 375 (white) and 198 (other) per 100 000:
Hittle et al., JAMA Neurology 80, 2023. That mononucleosis, smoking, obesity in youth and little vitamin D add to the
risk: Ascherio and Munger, Seminars in Neurology 36, 2016. More visits before recognition (rate ratio 1.2 to 1.9):
Wijnands et al., Lancet Neurology 16, 2017. Optic neuritis 115 per 100 000: Braithwaite et al., JAMA Neurology 77, 2020.
Shares of the population, sizes of all other risks, rates of symptoms and laboratory findings are assumptions in the
published direction, not published figures.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy.special import ndtr

from components.data.check import checked
from components.data.schema import BinaryLabel, Feature, Group, Schema
from components.data.table import Table
from components.errors import InvalidInput

PREVALENCE = 0.00309
"""Of MS among US adults in 2010, cumulated over ten years (Wallin et al.)."""

FEMALE_RISK = 2.8
NORTHERN_RISK = 1.3
ETHNICITIES = {"white": (0.62, 1.00), "hispanic": (0.17, 0.43), "black": (0.12, 0.80), "other": (0.09, 0.53)}
"""Ethnicity → (share of adults, an assumption; prevalence against that of white people, Hittle et al.)."""

SMOKING = {"never": (0.60, 1.0), "former": (0.24, 1.2), "current": (0.16, 1.5)}
MONONUCLEOSIS_RISK = 2.2
OBESITY_RISK = 1.8
VITAMIN_D_RISK_PER_10 = 0.77
"""Relative risk for every 10 ng/ml more."""

LOWEST_VITAMIN_D = 5.0

HIGHEST_RELATIVE_RISK = (
    FEMALE_RISK
    * NORTHERN_RISK
    * MONONUCLEOSIS_RISK
    * OBESITY_RISK
    * VITAMIN_D_RISK_PER_10 ** ((LOWEST_VITAMIN_D - 25) / 10)
    * max(risk for _, risk in ETHNICITIES.values())
    * max(risk for _, risk in SMOKING.values())
)
"""No person's relative risk is above this."""

ONSET_MEAN, ONSET_SD = 33.0, 8.5
"""Age at onset in years: nineteen in twenty between about 17 and 50."""

NORTHERN_HOSPITALS = ("1", "2", "3")
HOSPITALS = (*NORTHERN_HOSPITALS, "4", "5")
LAST_AGE = 80

SYMPTOMS = {
    "optic_neuritis": (0.0006, 0.45),
    "adem": (0.00005, 0.02),
    "sensory_symptoms": (0.07, 0.70),
    "fatigue": (0.14, 0.50),
    "bladder_symptoms": (0.05, 0.35),
    "balance_problems": (0.08, 0.45),
}
"""Record → (rate without MS, further rate at full disease activity)."""

MULTIPLE_SCLEROSIS = Schema(
    name="simulated_multiple_sclerosis",
    features={
        "optic_neuritis": Feature(note="1 when on record (diagnostic)"),
        "adem": Feature(note="1 for acute disseminated encephalomyelitis on record (diagnostic)"),
        "sensory_symptoms": Feature(note="1 for numbness or tingling on record (diagnostic)"),
        "fatigue": Feature(note="1 when on record (diagnostic)"),
        "bladder_symptoms": Feature(note="1 when on record (diagnostic)"),
        "balance_problems": Feature(note="1 for vertigo or gait problems on record (diagnostic)"),
        "mononucleosis": Feature(note="1 when on record (diagnostic)"),
        "age": Feature(note="years (epidemiological)"),
        "female": Feature(note="1 for female (epidemiological)"),
        "smoking": Feature(kind="ordinal", categories=tuple(SMOKING), note="epidemiological"),
        "obese_in_youth": Feature(note="1 when on record (epidemiological)"),
        "visits": Feature(note="physician visits in the last year (epidemiological)"),
        "hyperlipidemia": Feature(note="1 for elevated blood lipids (laboratory)"),
        "hyperglycemia": Feature(note="1 for elevated blood sugar (laboratory)"),
        "vitamin_d": Feature(note="serum 25-hydroxyvitamin D in ng/ml, missing where not tested (laboratory)"),
        "steroid_courses": Feature(note="courses of steroids reimbursed in the last year (claims)"),
        "drug_classes": Feature(note="classes of drugs reimbursed in the last year (claims)"),
    },
    label=BinaryLabel(column="multiple_sclerosis"),
    groups={
        "sex": Group(column="female", names={"0": "male", "1": "female"}),
        "ethnicity": Group(column="ethnicity"),
        "age_band": Group(column="age", edges=(35, 50, 65)),
        "hospital": Group(column="hospital"),
    },
    person="person",
    time="year",
    about="SIMULATED records for the early recognition of multiple sclerosis; no real person, no clinical use.",
)

_INSURER = ("visits", "steroid_courses", "drug_classes")

MULTIPLE_SCLEROSIS_OWNERS = {
    "hospital": tuple(name for name in MULTIPLE_SCLEROSIS.columns if name not in (*MULTIPLE_SCLEROSIS.keys, *_INSURER)),
    "insurer": _INSURER,
}
"""Who holds what when columns are split: clinical records and the label with the hospital, claims with the insurer."""

Columns = Mapping[str, np.ndarray]


def simulate_multiple_sclerosis(rows: int, seed: int, *, year: int = 2024, case_share: float | None = None) -> Table:
    """Simulate the records of `rows` adults.

    Parameters
    ----------
    year
        Later years have more obesity and more vitamin D tests, so that a model ages; people differ from year to year.
    case_share
        Exact share of people with MS; None leaves it to chance at the population's prevalence.

    Raises
    ------
    InvalidInput
        Too few rows for both classes, or a share outside (0, 1).
    """
    if case_share is not None and not 0 < case_share < 1:
        raise InvalidInput(f"case_share is {case_share}; it is a share between 0 and 1, or left out")
    if rows < 2:
        raise InvalidInput(f"rows is {rows}; a simulated table needs at least 2 rows")
    rng = np.random.default_rng([seed, year])
    if case_share is None:
        causes = _draw_causes(rows, rng, year)
        ms = rng.random(rows) < _risk(causes)
    else:
        cases = min(max(round(rows * case_share), 1), rows - 1)
        ms = rng.permutation(rows) < cases
        causes = _arranged(_draw_given(True, cases, rng, year), _draw_given(False, rows - cases, rng, year), ms)
    columns = {
        "person": np.char.add(f"s{seed}-{year}-", np.arange(rows).astype(str)),
        "year": np.full(rows, year),
        **causes,
        **_draw_records(causes, ms, rng, year),
        "multiple_sclerosis": ms.astype(np.int8),
    }
    table = pa.table({name: pa.array(columns[name], from_pandas=True) for name in MULTIPLE_SCLEROSIS.columns})
    return checked(table, MULTIPLE_SCLEROSIS, f"{rows} simulated rows")


def _draw_causes(rows: int, rng: np.random.Generator, year: int) -> dict[str, np.ndarray]:
    """Who people are and what they were exposed to, in causal order."""
    ethnicity = _pick(ETHNICITIES, rows, rng)
    hospital = np.array(HOSPITALS)[rng.integers(len(HOSPITALS), size=rows)]
    obese = rng.random(rows) < np.clip(0.16 + 0.004 * (year - 2024), 0.05, 0.4)
    vitamin_d = 29 + 8 * rng.standard_normal(rows, dtype=np.float32)
    vitamin_d -= 3 * np.isin(hospital, NORTHERN_HOSPITALS) + 6 * (ethnicity == "black") + 3 * obese
    return {
        "age": rng.integers(18, LAST_AGE, size=rows),
        "female": (rng.random(rows) < 0.51).astype(np.int8),
        "ethnicity": ethnicity,
        "hospital": hospital,
        "smoking": _pick(SMOKING, rows, rng),
        "mononucleosis": (rng.random(rows) < 0.10).astype(np.int8),
        "obese_in_youth": obese.astype(np.int8),
        "vitamin_d": vitamin_d.clip(LOWEST_VITAMIN_D, 60),
    }


def _relative_risk(causes: Columns) -> np.ndarray:
    """(n,) product of the relative risks, against a white, never smoking southern man of any age past onset."""
    risk = np.where(causes["female"] == 1, FEMALE_RISK, 1.0)
    risk *= np.where(np.isin(causes["hospital"], NORTHERN_HOSPITALS), NORTHERN_RISK, 1.0)
    for name, table in (("ethnicity", ETHNICITIES), ("smoking", SMOKING)):
        for level, (_, relative) in table.items():
            risk[causes[name] == level] *= relative
    risk *= np.where(causes["mononucleosis"] == 1, MONONUCLEOSIS_RISK, 1.0)
    risk *= np.where(causes["obese_in_youth"] == 1, OBESITY_RISK, 1.0)
    risk *= VITAMIN_D_RISK_PER_10 ** ((causes["vitamin_d"] - 25) / 10)
    onset_is_past = ndtr((causes["age"] - ONSET_MEAN) / ONSET_SD)
    older_have_died_or_went_unseen = np.exp(-0.03 * np.clip(causes["age"] - 62, 0, None))
    return risk * onset_is_past * older_have_died_or_went_unseen


def _risk(causes: Columns) -> np.ndarray:
    """(n,) probability of MS; averages `PREVALENCE` over the population of 2024."""
    reference = _relative_risk(_draw_causes(400_000, np.random.default_rng(0), 2024))
    return _relative_risk(causes) * (PREVALENCE / reference.mean())


def _draw_given(ms: bool, rows: int, rng: np.random.Generator, year: int) -> dict[str, np.ndarray]:
    """Causes of people known to have (or not have) MS, by rejection: exactly the population's distribution given it."""
    drawn: list[dict[str, np.ndarray]] = []
    while sum(len(part["age"]) for part in drawn) < rows:
        people = _draw_causes(200_000, rng, year)
        accept = _relative_risk(people) / HIGHEST_RELATIVE_RISK if ms else 1 - _risk(people)
        kept = rng.random(len(accept)) < accept
        drawn.append({name: column[kept] for name, column in people.items()})
    return {name: np.concatenate([part[name] for part in drawn])[:rows] for name in drawn[0]}


def _draw_records(causes: Columns, ms: np.ndarray, rng: np.random.Generator, year: int) -> dict[str, np.ndarray]:
    """What is on record. Disease activity is hidden and shared by all symptoms: some cases show little of it."""
    rows = len(ms)
    activity = np.where(ms, rng.beta(1.0, 1.6, size=rows), 0.0)
    older, obese = (causes["age"] - 50) / 10, causes["obese_in_youth"]
    records = {
        name: (rng.random(rows) < background + excess * activity).astype(np.int8)
        for name, (background, excess) in SYMPTOMS.items()
    }
    visits_mean = 3.0 * (1 + 0.3 * causes["female"]) * np.exp(0.12 * older) * (1 + 1.5 * activity)
    records["visits"] = rng.poisson(rng.gamma(1.2, visits_mean / 1.2))
    records["hyperlipidemia"] = _event(-1.1 + 0.45 * older + 0.7 * obese + 0.2 * ms, rng)
    records["hyperglycemia"] = _event(-2.1 + 0.35 * older + 0.9 * obese + 0.2 * ms, rng)
    tested = rng.random(rows) < np.clip(0.35 + 0.02 * (year - 2024) + 0.2 * activity, 0.05, 0.95)
    records["vitamin_d"] = np.where(tested, causes["vitamin_d"], np.nan)
    records["steroid_courses"] = rng.poisson(0.15 + 0.9 * activity)
    records["drug_classes"] = rng.poisson(1.5 * np.exp(0.2 * older) * (1 + 0.6 * activity))
    return records


def _arranged(cases: Columns, controls: Columns, ms: np.ndarray) -> dict[str, np.ndarray]:
    """Cases where `ms` is true, controls elsewhere."""
    places = np.empty(len(ms), dtype=np.int64)
    places[ms], places[~ms] = np.arange(ms.sum()), ms.sum() + np.arange((~ms).sum())
    return {name: np.concatenate([cases[name], controls[name]])[places] for name in cases}


def _pick(shares: Mapping[str, tuple[float, float]], rows: int, rng: np.random.Generator) -> np.ndarray:
    edges = np.cumsum([share for share, _ in shares.values()])[:-1]
    return np.array(list(shares))[np.searchsorted(edges, rng.random(rows), side="right")]


def _event(logit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(np.int8)
