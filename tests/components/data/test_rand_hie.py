import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels
import xgboost
from sklearn.metrics import roc_auc_score

from components.data.check import check_table
from components.data.rand_hie import LAST_YEAR, RAND_HIE, RAND_HIE_OWNERS, _prepared, load_rand_hie
from components.data.reading import read_table
from components.errors import InvalidInput

STUDY = Path(statsmodels.__file__).parent / "datasets" / "randhie" / "src" / "randhie.csv"
GOLDEN = Path(__file__).parents[3] / "deploy" / "golden" / "rand_hie.csv"


@pytest.fixture(scope="module")
def table():
    return load_rand_hie()


@pytest.fixture(scope="module")
def study():
    return pd.read_csv(STUDY).sort_values(["zper", "year"], ignore_index=True)


def test_the_whole_study_is_there_and_passes_its_checks(table):
    assert len(table) == 20_190
    assert len(set(table.person)) == 5_912
    assert check_table(table.columns, RAND_HIE, "rand_hie") == []


def test_label_is_five_visits_or_more_this_year(table, study):
    np.testing.assert_array_equal(table.labels, study["mdvis"] >= 5)
    assert table.labels.mean() == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize(("name", "column"), [(name, column) for name, (column, _) in LAST_YEAR.items()])
def test_use_is_that_of_the_same_person_exactly_one_year_earlier(table, study, name, column):
    """Oracle: a join on (person, year - 1)."""
    earlier = study[["zper", "year", column]].assign(year=study["year"] + 1)
    expected = study[["zper", "year"]].merge(earlier, on=["zper", "year"], how="left", validate="one_to_one")[column]
    np.testing.assert_array_equal(table.columns[name].to_numpy(), expected)


def test_no_feature_varies_with_the_year_it_is_asked_about(table, study):
    """Shuffling everything measured in the same year among persons must leave every feature of that year as it was."""
    same_year = [
        "mdvis",
        "notmdvis",
        "mentvis",
        "totadm",
        "outpdol",
        "drugdol",
        "inpdol",
        "suppdol",
        "mentdol",
        "meddol",
        "lnmeddol",
        "binexp",
        "time",
        "inpmis",
    ]
    last = study["year"] == study.groupby("zper")["year"].transform("max")
    shuffled = study.copy()
    order = np.random.default_rng(0).permutation(last.sum())
    shuffled.loc[last, same_year] = study.loc[last, same_year].to_numpy()[order]
    features = list(RAND_HIE.features)
    pd.testing.assert_frame_equal(_prepared(shuffled)[features], _prepared(study)[features])


def test_first_year_has_no_last_year():
    first = load_rand_hie((1,))
    missing = {name: first.columns[name].null_count for name in LAST_YEAR}
    assert set(missing.values()) == {len(first)}
    assert {finding.column for finding in check_table(first.columns, RAND_HIE, "year 1")} == set(LAST_YEAR)


def test_unrecorded_race_and_income_are_unknown_and_never_guessed(table, study):
    race, income = table.groups["race"], table.groups["income_band"]
    guessed = ~study["black"].isin([0, 1]).to_numpy()
    assert guessed.sum() == 251
    np.testing.assert_array_equal(race.codes == race.levels.index("unknown"), guessed)
    np.testing.assert_array_equal(income.codes == income.levels.index("unknown"), study["income"] == 0)
    assert "race" not in RAND_HIE.features


def test_self_rated_health_follows_the_three_indicators(table, study):
    position = table.features[:, list(RAND_HIE.features).index("self_rated_health")]
    np.testing.assert_array_equal(position, 3 - study["hlthg"] - 2 * study["hlthf"] - 3 * study["hlthp"])


def test_owners_hold_every_column_once():
    held = [name for columns in RAND_HIE_OWNERS.values() for name in columns]
    assert sorted(held) == sorted(set(RAND_HIE.columns) - set(RAND_HIE.keys))


@pytest.mark.parametrize("years", [(6,), (0, 1), ()])
def test_years_that_are_not_there(years):
    with pytest.raises(InvalidInput):
        load_rand_hie(years)


def test_statsmodels_is_found_without_being_imported():
    code = (
        "import sys; from components.data.rand_hie import load_rand_hie; load_rand_hie((1,)); "
        "assert 'statsmodels' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@cache
def _trained(seed: int):
    """Depth 3, 100 rounds, on 60 % of persons in years 1 and 2."""
    table = load_rand_hie((1, 2))
    persons = np.unique(table.person)
    chosen = np.random.default_rng(seed).choice(persons, int(0.6 * len(persons)), replace=False)
    train = table.take(np.isin(table.person, chosen))
    parameters = {"max_depth": 3, "eta": 0.1, "objective": "binary:logistic", "nthread": 2}
    return xgboost.train(parameters, _matrix(train, train.labels), 100), set(chosen)


def _matrix(table, labels=None):
    return xgboost.DMatrix(table.features, labels, feature_types=table.feature_types, enable_categorical=True)


def test_the_question_can_be_learnt_but_not_perfectly():
    model, seen = _trained(0)
    unseen = load_rand_hie((2,))
    unseen = unseen.take(~np.isin(unseen.person, list(seen)))
    assert 0.75 < roc_auc_score(unseen.labels, model.predict(_matrix(unseen))) < 0.9


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_golden_persons_are_right_with_a_margin(seed):
    golden = read_table(GOLDEN, RAND_HIE)
    assert len(golden) >= 12
    assert set(golden.labels) == {0, 1}
    scores = _trained(seed)[0].predict(_matrix(golden))
    assert (np.where(golden.labels == 1, scores, 1 - scores) > 0.65).all(), dict(
        zip(golden.person, scores, strict=True)
    )
