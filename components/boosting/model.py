"""XGBoost models as plain JSON documents: read, written, identified and told apart.

Everything that edits a model (the blend) or names one (the ledger, the cache) works on the document XGBoost itself
saves, so what comes out is an ordinary model that any XGBoost loads and that holds no code.
Source: XGBoost's model schema (doc/model.schema), version 3.2.
"""

import hashlib
import json
from dataclasses import dataclass, fields

import numpy as np
import xgboost

from components.boosting.document import class_order
from components.boosting.parameters import LINKS, objective_of
from components.data.table import Table
from components.errors import InvalidInput


@dataclass(frozen=True)
class Form:
    """What two models must share for their margins to be added up; the field names are shown in errors."""

    objective: str
    outputs: int
    features: tuple[str, ...]
    feature_types: tuple[str, ...]
    classes: str | None
    parallel_trees: int
    encoding: str


def to_document(booster: xgboost.Booster) -> dict:
    """The model as the nested dictionary of its JSON file."""
    return json.loads(bytes(booster.save_raw("json")))


def from_document(document: dict) -> xgboost.Booster:
    """The model a document describes."""
    # XGBoost takes names as they are, and an escaped letter for its escape.
    return xgboost.Booster(model_file=bytearray(json.dumps(document, ensure_ascii=False).encode()))


def model_digest(booster: xgboost.Booster) -> str:
    """SHA-256 (hex) of the model: equal for the same model whatever file format it went through.

    Covers trees, intercept, features, objective and attributes; leaves out only the version of the writing XGBoost.
    """
    return document_digest(to_document(booster))


def document_digest(document: dict) -> str:
    """The `model_digest` of the booster a document describes, without making the booster."""
    covered = {key: value for key, value in document.items() if key != "version"}
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def base_margins(document: dict) -> np.ndarray:
    """(outputs,) the intercept on the margin scale; XGBoost stores it on the scale of the objective's output."""
    stored = document["learner"]["learner_model_param"]["base_score"]
    scores = np.array(stored.strip("[]").split(","), dtype=np.float32)
    if LINKS[document["learner"]["objective"]["name"]] == "logit":
        # XGBoost's float32 arithmetic to the letter: near 1 it is far from the logit in double precision.
        return -np.log(1 / np.clip(scores, np.float32(1e-6), np.float32(1 - 1e-6)) - 1)
    return scores


def form_of(document: dict) -> Form:
    """What kind of model this is.

    Raises
    ------
    InvalidInput
        It is not a sum of scalar-leaf trees under an objective whose intercept we can read.
    """
    learner = document["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise InvalidInput(
            f"the model's booster is '{booster['name']}'; only 'gbtree' models can be updated, retrain it"
        )
    if objective not in LINKS:
        raise InvalidInput(
            f"the model's objective is '{objective}'; only {', '.join(LINKS)} can be updated, retrain it"
        )
    model, shape = booster["model"], learner["learner_model_param"]
    if any(tree["tree_param"]["size_leaf_vector"] not in ("0", "1") for tree in model["trees"]):
        raise InvalidInput("the model has vector leaves; retrain it with multi_strategy='one_output_per_tree'")
    return Form(
        objective=objective,
        outputs=max(int(shape["num_class"]), int(shape["num_target"]), 1),
        features=tuple(learner["feature_names"]),
        feature_types=tuple(learner["feature_types"]),
        classes=learner["attributes"].get("classes"),
        parallel_trees=int(model["gbtree_model_param"]["num_parallel_tree"]),
        encoding=json.dumps(model["cats"]["enc"]),
    )


def require_same_form(new: Form, old: Form) -> None:
    """Raise `InvalidInput`, naming the first difference, unless the two models' margins mean the same."""
    for field in fields(Form):
        ours, theirs = getattr(new, field.name), getattr(old, field.name)
        unknown = field.name == "classes" and None in (ours, theirs)
        if ours != theirs and not unknown:
            name = field.name.replace("_", " ")
            raise InvalidInput(
                f"the new model's {name} {_shown(ours)} differ from the old model's {_shown(theirs)}; "
                "the two cannot be combined, promote a plain retrain first"
            )


def require_fits(booster: xgboost.Booster, table: Table) -> None:
    """Raise `InvalidInput` unless the model was trained on the table's features, in their order."""
    ours, theirs = list(table.schema.features), booster.feature_names
    if theirs is not None and theirs != ours:
        odd = sorted(set(ours) ^ set(theirs))
        what = f"they differ in {_shown(odd)}" if odd else "their order differs"
        raise InvalidInput(
            f"the model's features are not those of table '{table.schema.name}': {what}; "
            "use the schema the model was trained with, or retrain"
        )


def require_updatable(booster: xgboost.Booster, table: Table) -> None:
    """Raise `InvalidInput` unless the model answers the table's question from the table's features.

    Same features, objective and classes, and a kind of model that can be continued, blended and distilled.
    """
    require_fits(booster, table)
    form, label = form_of(to_document(booster)), table.schema.label
    wanted = objective_of(label)
    if (form.objective, form.outputs) != (wanted["objective"], wanted.get("num_class", 1)):
        raise InvalidInput(
            f"the model's objective is '{form.objective}' with {form.outputs} outputs, but label '{label.column}' "
            f"needs '{wanted['objective']}' with {wanted.get('num_class', 1)}; retrain without a champion"
        )
    if form.classes not in (None, class_order(label)):
        raise InvalidInput(
            f"the model's classes are {form.classes}, those of label '{label.column}' are {class_order(label)}; "
            "restore their order in the schema, or retrain without a champion"
        )


def up_to_best(booster: xgboost.Booster) -> xgboost.Booster:
    """The model without the rounds that early stopping found useless, so that a plain `predict` needs no range."""
    best = booster.attr("best_iteration")
    if best is None:
        return booster
    kept = booster[: int(best) + 1]
    kept.set_attr(**{**booster.attributes(), "best_iteration": None, "best_score": None})
    return kept


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    return f"'{text if len(text) <= 80 else text[:77] + '...'}'"
