import mlflow
import numpy as np
import pandas as pd
import pytest

from components.boosting import model_digest
from components.data.schema import Feature, MulticlassLabel
from components.errors import InvalidInput
from tasks.registry import check_signature, log_booster, register
from tasks.registry_artifact import read_stored
from tasks.registry_reach import check_reachable
from tasks.settings import Settings, Tracking
from tests.tasks.conftest import NAME, SCHEMA, rows, table_of, train

KINDS = MulticlassLabel(column="kind", kind="multiclass", classes=("a", "b", "c"))


@pytest.fixture
def run(place) -> str:
    experiment = place.client.get_experiment_by_name("tests").experiment_id
    return place.client.create_run(experiment).info.run_id


def test_a_model_is_logged_and_registered_once(place, run):
    booster = train(11)
    logged = log_booster(place.client, run_id=run, booster=booster, schema=SCHEMA)
    assert log_booster(place.client, run_id=run, booster=booster, schema=SCHEMA) == logged
    outputs = place.client.get_run(run).outputs.model_outputs
    assert [output.model_id for output in outputs] == [logged.model_id]
    versions = {register(place.client, place.settings, name=NAME, logged=logged, tags={}) for _ in range(3)}
    assert versions == {"5"}


def test_another_model_of_the_same_run_is_another_version(place, run):
    versions = [
        register(
            place.client,
            place.settings,
            name=NAME,
            tags={},
            logged=log_booster(place.client, run_id=run, booster=train(seed), schema=SCHEMA),
        )
        for seed in (11, 12)
    ]
    assert versions == ["5", "6"]


def test_the_first_version_makes_the_registered_model(place, run):
    logged = log_booster(place.client, run_id=run, booster=train(11), schema=SCHEMA)
    assert register(place.client, place.settings, name="new", logged=logged, tags={"troth.verdict": "HOLD"}) == "1"
    version = place.client.get_model_version("new", "1")
    assert version.run_id == run
    assert version.tags == {
        "troth.verdict": "HOLD",
        "troth.run": run,
        "troth.model_digest": model_digest(train(11)),
        "troth.schema_digest": logged.schema_digest,
    }


def test_anyone_can_serve_it_with_mlflow_and_gets_probabilities(place, run):
    booster = train(11)
    logged = log_booster(place.client, run_id=run, booster=booster, schema=SCHEMA)
    served = mlflow.pyfunc.load_model(logged.uri)
    features = table_of(rows(12)).features
    frame = pd.DataFrame(features.astype(np.float64), columns=list(SCHEMA.features))
    expected = booster.inplace_predict(features)
    np.testing.assert_array_equal(served.predict(frame), expected)
    np.testing.assert_array_equal(served.predict(frame.astype(np.float32)), expected)
    assert served.metadata.signature.inputs.input_names() == list(SCHEMA.features)
    assert len(np.unique(features[:, 1])) == 3  # the category is really used, as a code
    assert served.predict(served.input_example).shape == (1,)


def test_the_input_example_is_nobodys_row(place, run):
    logged = log_booster(place.client, run_id=run, booster=train(11), schema=SCHEMA)
    assert (mlflow.pyfunc.load_model(logged.uri).input_example.to_numpy() == 0).all()


def test_nothing_stored_is_a_pickle(place, run):
    logged = log_booster(place.client, run_id=run, booster=train(11), schema=SCHEMA)
    names = {artifact.path for artifact in place.client.list_logged_model_artifacts(logged.model_id)}
    assert "model.json" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib", ".py"))]


def test_the_digest_of_the_stored_file_is_the_digest_of_the_model(place, run):
    logged = log_booster(place.client, run_id=run, booster=train(11), schema=SCHEMA)
    location = place.client.get_logged_model(logged.model_id).artifact_location
    stored = read_stored(place.settings, location, what="the model")
    assert stored.model_digest == logged.model_digest == model_digest(train(11)) == model_digest(stored.booster())
    assert stored.schema == SCHEMA


def test_a_model_that_would_serve_margins_is_refused(place, run):
    with pytest.raises(InvalidInput, match="reg:squarederror"):
        log_booster(place.client, run_id=run, booster=train(11, "reg:squarederror"), schema=SCHEMA)


def test_a_model_of_other_features_is_refused(place, run):
    other = SCHEMA.model_copy(update={"features": {"age": Feature(), "weight": Feature()}})
    with pytest.raises(InvalidInput, match="weight"):
        log_booster(place.client, run_id=run, booster=train(11), schema=other)


def with_features(**changes):
    return SCHEMA.model_copy(update={"features": {**SCHEMA.features, **changes}})


@pytest.mark.parametrize(
    ("schema", "column"),
    [
        (with_features(weight=Feature()), "'weight' (the champion lacks it)"),
        (SCHEMA.model_copy(update={"features": {"age": Feature()}}), "'plan' (only the champion has it)"),
        (with_features(age=Feature(kind="categorical")), "'age' (numeric in the champion, categorical now)"),
        (with_features(plan=Feature(kind="categorical", categories=("full", "free", "shared"))), "'plan'"),
        (SCHEMA.model_copy(update={"features": dict(reversed(SCHEMA.features.items()))}), "order"),
        (SCHEMA.model_copy(update={"label": KINDS}), "'kind'"),
    ],
)
def test_a_schema_that_is_not_the_champions_is_refused_by_column(schema, column):
    with pytest.raises(InvalidInput) as error:
        check_signature(SCHEMA, schema)
    assert column in str(error.value)


def test_categories_still_to_be_taken_from_the_data_differ_from_nothing():
    check_signature(SCHEMA, with_features(plan=Feature(kind="categorical")))
    check_signature(SCHEMA, SCHEMA.model_copy(update={"label": SCHEMA.label.model_copy(update={"threshold": 0.3})}))


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://ann:secret@127.0.0.1:9/mlflow"])
def test_a_store_that_does_not_answer_is_named_without_its_password(uri):
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1:9") as error:
        check_reachable(Settings(tracking=Tracking(uri=uri)))
    assert "secret" not in str(error.value)


def test_promotion_with_a_dead_server_fails_before_anything_is_written(place):
    place.decide("1")
    dead = place.settings.model_copy(update={"tracking": Tracking(uri="http://127.0.0.1:9")})
    with pytest.raises(InvalidInput, match=r"http://127\.0\.0\.1:9"):
        type(place)(dead, place.digests).decide("2", over="1", client=place.client)
    assert place.alias("champion") == "1"
