import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import binom, ks_2samp

from components.data.check import check_table
from components.data.multiple_sclerosis import (
    FEMALE_RISK,
    MULTIPLE_SCLEROSIS,
    MULTIPLE_SCLEROSIS_OWNERS,
    PREVALENCE,
    simulate_multiple_sclerosis,
)
from components.errors import InvalidInput

ROWS = 400_000
SURE = 1e-6


@pytest.fixture(scope="module")
def population():
    return simulate_multiple_sclerosis(ROWS, 1)


@pytest.fixture(scope="module")
def enriched():
    return simulate_multiple_sclerosis(40_000, 2, case_share=0.3)


def column(table, name):
    return table.columns[name].to_numpy(zero_copy_only=False)


def within_exact_bounds(count, trials, probability):
    low, high = binom.interval(1 - SURE, trials, probability)
    return low <= count <= high


def test_it_says_that_it_is_simulated():
    assert "simulated" in MULTIPLE_SCLEROSIS.name
    assert "SIMULATED" in MULTIPLE_SCLEROSIS.about


def test_prevalence(population):
    assert PREVALENCE == 309 / 100_000
    assert within_exact_bounds(int(population.labels.sum()), ROWS, PREVALENCE)


def test_sex_ratio(population):
    """Given the number of cases, those of women are binomial with odds (women : men) times the relative risk."""
    female = column(population, "female") == 1
    odds = female.sum() / (~female).sum() * FEMALE_RISK
    cases = int(population.labels.sum())
    assert within_exact_bounds(int(population.labels[female].sum()), cases, odds / (1 + odds))


def test_most_frequent_between_50_and_65_and_rare_before_onset(population):
    band = population.groups["age_band"]
    rate = {level: population.labels[band.codes == code].mean() for code, level in enumerate(band.levels)}
    assert max(rate, key=rate.get) == "50 to < 65"
    assert rate["< 35"] < 0.5 * PREVALENCE


def test_rare_diagnoses(population):
    assert 50 < column(population, "optic_neuritis").mean() * 1e5 < 250
    assert column(population, "adem").mean() * 1e5 < 30


@pytest.mark.parametrize(
    ("name", "more_with_ms"),
    [
        ("optic_neuritis", True),
        ("sensory_symptoms", True),
        ("fatigue", True),
        ("bladder_symptoms", True),
        ("balance_problems", True),
        ("mononucleosis", True),
        ("obese_in_youth", True),
        ("female", True),
        ("visits", True),
        ("steroid_courses", True),
        ("vitamin_d", False),
        ("smoking", True),
    ],
)
def test_direction_of_every_odds_ratio(enriched, name, more_with_ms):
    """Oracle: statsmodels' logistic regression with age alone beside it; zero lies outside the interval."""
    position = list(MULTIPLE_SCLEROSIS.features).index(name)
    values, age = enriched.features[:, position], column(enriched, "age").astype(float)
    known = ~np.isnan(values)
    fit = sm.Logit(enriched.labels[known], sm.add_constant(np.column_stack([values, age])[known])).fit(disp=0)
    low, high = fit.conf_int(alpha=1e-3)[1]
    assert low > 0 if more_with_ms else high < 0


def test_visits_before_recognition_are_as_published(enriched):
    visits = column(enriched, "visits")
    ratio = visits[enriched.labels == 1].mean() / visits[enriched.labels == 0].mean()
    assert 1.2 < ratio < 1.9


def test_enriching_changes_the_proportion_alone(population, enriched):
    assert enriched.labels.mean() == 0.3
    for ms in (0, 1):
        for name in ("age", "vitamin_d", "visits", "steroid_courses"):
            ours, theirs = (column(t, name)[t.labels == ms] for t in (enriched, population))
            assert ks_2samp(ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]).pvalue > 1e-4, (ms, name)
        for name in ("female", "mononucleosis", "fatigue"):
            ours, theirs = (column(t, name)[t.labels == ms].astype(float) for t in (enriched, population))
            error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
            assert abs(ours.mean() - theirs.mean()) < 4.5 * error, (ms, name)


def test_same_seed_same_people_other_seed_or_year_others():
    digests = [
        simulate_multiple_sclerosis(500, seed, year=year, case_share=0.2).digest
        for seed, year in ((1, 2024), (1, 2024), (2, 2024), (1, 2025))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_it_passes_its_own_checks_and_has_owners_for_every_column(enriched):
    assert check_table(enriched.columns, MULTIPLE_SCLEROSIS, "simulated") == []
    held = [name for columns in MULTIPLE_SCLEROSIS_OWNERS.values() for name in columns]
    assert sorted(held) == sorted(set(MULTIPLE_SCLEROSIS.columns) - set(MULTIPLE_SCLEROSIS.keys))


@pytest.mark.parametrize("options", [{"rows": 1}, {"rows": 100, "case_share": 0}, {"rows": 100, "case_share": 1.5}])
def test_impossible_requests(options):
    with pytest.raises(InvalidInput):
        simulate_multiple_sclerosis(options.pop("rows"), 1, **options)
