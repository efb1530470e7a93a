import pytest
from pydantic import ValidationError

from components.boosting.candidates import CandidatePlan
from components.boosting.parameters import BoostingParameters
from components.data.schema import BinaryLabel, MulticlassLabel, RegressionLabel


@pytest.mark.parametrize(
    ("label", "objective"),
    [
        (BinaryLabel(column="y"), {"objective": "binary:logistic"}),
        (
            MulticlassLabel(column="y", kind="multiclass", classes=tuple("abcd")),
            {"objective": "multi:softprob", "num_class": 4},
        ),
        (RegressionLabel(column="y", kind="regression", tolerance=1), {"objective": "reg:squarederror"}),
    ],
)
def test_objective_follows_the_label(label, objective):
    settings = BoostingParameters(threads=3, eta=0.2).to_xgboost(label)
    assert objective.items() <= settings.items()
    assert {"tree_method": "hist", "nthread": 3, "eta": 0.2}.items() <= settings.items()
    assert not {"rounds", "early_stopping_rounds", "threads"} & settings.keys()


@pytest.mark.parametrize("model", [BoostingParameters, CandidatePlan])
def test_forms_describe_every_field_and_take_no_other(model):
    assert all(field.description for field in model.model_fields.values())
    with pytest.raises(ValidationError, match="learning_rate"):
        model(learning_rate=0.1)


@pytest.mark.parametrize("key", ["rounds", "max_depth", "eta", "subsample", "early_stopping_rounds"])
def test_nothing_is_not_a_setting(key):
    with pytest.raises(ValidationError, match=key):
        BoostingParameters(**{key: 0})
