"""What mode `federated` refuses, or leaves out, before any owner is asked for anything."""

import pytest
import yaml

from components.boosting import BoostingParameters
from components.errors import InvalidInput
from components.federated.selection import Selection
from components.partition import ByColumn, Crowd, Even, deal
from tasks.apart import require_fits
from tasks.federation import happened_in, with_bins_for, without_owners_column
from tasks.inputs import MultipleSclerosis, OwnTable, RandHie, declared_schema, load, name_of
from tasks.partition import dealt_by
from troth.arguments import noise_of, source_of

BY_SITE = ByColumn(column="site")


@pytest.mark.parametrize("plan", [None, BY_SITE])
def test_where_owners_are_the_sites_the_site_is_no_feature(plan):
    source = without_owners_column(RandHie(years=(1,)), "federated", plan)
    table = load(source, also=dealt_by(BY_SITE))
    assert "site" not in table.schema.features
    assert set(declared_schema(RandHie()).features) - set(table.schema.features) == {"site"}
    assert len(deal(table, BY_SITE, 0).holdings) == 6
    # Its scores cannot be compared with those of a model that looks at the site.
    assert name_of(source) == table.schema.name != name_of(RandHie())


@pytest.mark.parametrize(("mode", "plan"), [("pooled", BY_SITE), ("federated", Even(owners=3))])
def test_elsewhere_it_stays_one(mode, plan):
    assert without_owners_column(RandHie(), mode, plan) == RandHie()


def test_a_schema_of_ones_own_must_leave_the_owners_column_out(tmp_path):
    features = {"clinic": {"kind": "categorical", "categories": ["a", "b"]}, "dose": {}}
    schema = {"name": "visits", "person": "id", "label": {"column": "ill"}, "features": features}
    path = tmp_path / "visits.yaml"
    path.write_text(yaml.safe_dump(schema))
    source = OwnTable(path=str(tmp_path / "visits.csv"), schema_file=str(path))
    with pytest.raises(InvalidInput, match="'clinic'"):
        without_owners_column(source, "federated", ByColumn(column="clinic"))
    assert without_owners_column(source, "federated", ByColumn(column="town")) == source
    assert without_owners_column(source, "secret_shared", ByColumn(column="clinic")) == source


def test_noise_on_a_command_line():
    assert noise_of("4:1e-5").model_dump() == {"epsilon": 4.0, "delta": 1e-5, "rows": 1}
    assert noise_of("4:1e-5:5").rows == 5
    for text in ("4", "4:1e-5:5:1", "0:1e-5", "4:2", "much:1e-5"):
        with pytest.raises(InvalidInput, match=r"--noise"):
            noise_of(text)


@pytest.mark.parametrize(
    ("rows", "asked", "bins"), [(3000, None, 148), (100_000, None, None), (3000, 64, 64), (20, None, None)]
)
def test_few_rows_are_cut_into_fewer_bins_unless_somebody_asked_for_a_number(rows, asked, bins):
    data = {"holdings": [{"rows": rows // 2}] * 2, "split": {"shares": [0.55, 0.15, 0.3]}}
    assert with_bins_for(data, BoostingParameters(max_bin=asked)).max_bin == bins
    of_crowds = with_bins_for(data, BoostingParameters(max_bin=asked), usual=32).max_bin
    assert of_crowds == (asked or 32)


def test_few_rows_of_a_crowd_are_cut_into_fewer_bins_too():
    data = {"holdings": [{"rows": 500}], "split": {"shares": [0.55, 0.15, 0.3]}}
    assert with_bins_for(data, BoostingParameters(), usual=32).max_bin == 24


def test_the_same_rows_can_be_trained_on_in_one_place():
    source = source_of("rand_hie_by_site", None, None, "1-2", None)
    assert source == without_owners_column(RandHie(years=(1, 2)), "federated", None)


def test_more_owners_a_round_than_a_crowd_has_are_refused():
    plan, source = Crowd(owners=100), MultipleSclerosis(rows=500)
    with pytest.raises(InvalidInput, match="200 owners.*100"):
        require_fits(source, "federated", plan, Selection(owners=200))
    require_fits(source, "federated", plan, Selection(owners=100))
    with pytest.raises(InvalidInput, match="50 owners.*3"):
        require_fits(source, "federated", Even(owners=3), Selection(owners=50))


def test_why_an_owner_was_left_out_is_said_and_counted(caplog):
    about = "'east' came when the training had begun, with more rows than were declared"
    losses = [{"name": "east", "step": "describe", "sentence": about}] * 30
    with caplog.at_level("WARNING"):
        happened = happened_in({"rounds": [], "losses": losses}, asks_all=True)
    assert happened.losses == losses
    said = [record.getMessage() for record in caplog.records]
    assert about in said[0]
    assert len(said) == 21


def test_how_many_rounds_were_without_who_was_lost_is_told(caplog):
    losses = [{"name": name, "step": "sum", "sentence": "gone"} for name in ("north", "south")]
    rounds = [{"members": members} for members in (["north", "south"], ["south"], ["north", "south"])]
    with caplog.at_level("WARNING"):
        happened_in({"rounds": rounds, "losses": losses}, asks_all=True)
    said = [record.getMessage() for record in caplog.records[2:]]
    assert [("north" in one, "2 of 3" in one) for one in said] == [(True, True)]
