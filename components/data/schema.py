"""What a table means: which columns are features, the label, groups, the person and the time.

A schema is public. Owners who may not show one another their rows agree on it beforehand, so it carries all that the
stages need to know without looking at data: kinds, category orders, group bands, the decision rule. It is YAML on
disk, a frozen pydantic model in memory, and rejects keys it does not know.
"""

import re
from difflib import get_close_matches
from itertools import filterfalse
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)

NO_FEATURE = "no feature's name may have a bracket, '<', '\\u' or a control character"
_NO_FEATURE = re.compile(r"[\[\]<\x00-\x1f]|\\u")
"""What the name of an XGBoost feature may not have, or does not keep when a model is written and read."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Feature(_Frozen):
    """A column the model may look at.

    `numeric` columns are used as they are; `ordinal` ones become their position in `categories`; `categorical` ones
    become an unordered code. Categories left out are taken from the data once, at partition, and frozen from then on.
    `edges` of a numeric feature are public cut points, for owners who then need not find any in their values together.
    """

    kind: Literal["numeric", "categorical", "ordinal"] = "numeric"
    categories: tuple[str, ...] | None = None
    edges: tuple[float, ...] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _categories_fit_the_kind(self) -> Self:
        if self.kind == "numeric" and self.categories is not None:
            raise ValueError("a numeric feature has no categories")
        if self.kind == "ordinal" and not self.categories:
            raise ValueError("an ordinal feature lists its categories from lowest to highest")
        if self.categories is not None and len(set(self.categories)) != len(self.categories):
            raise ValueError("categories are listed once each")
        if self.edges is not None and self.kind != "numeric":
            raise ValueError("only a numeric feature has edges; others are cut at their categories")
        _require_increasing(self.edges)
        return self


class BinaryLabel(_Frozen):
    """Two classes; a row is called positive when its score reaches `threshold`."""

    column: str
    kind: Literal["binary"] = "binary"
    positive: str = "1"
    threshold: float = Field(default=0.5, gt=0, lt=1)


class MulticlassLabel(_Frozen):
    """Three or more classes; the decision is the class of the highest score."""

    column: str
    kind: Literal["multiclass"]
    classes: tuple[str, ...] = Field(min_length=3)


class RegressionLabel(_Frozen):
    """A number; a prediction within `tolerance` (label's units) counts as right, so flips are defined here too."""

    column: str
    kind: Literal["regression"]
    tolerance: float = Field(gt=0)


Label = Annotated[BinaryLabel | MulticlassLabel | RegressionLabel, Field(discriminator="kind")]


class Group(_Frozen):
    """A column by which error is reported and gated; `edges` cut a numeric column into bands [e0, e1), [e1, e2), …"""

    column: str
    edges: tuple[float, ...] | None = None
    names: dict[str, str] = {}
    """Value in the column → the name shown for it."""

    @model_validator(mode="after")
    def _edges_increase(self) -> Self:
        _require_increasing(self.edges)
        return self


def can_be_feature(name: str) -> bool:
    """Whether a column's name can be that of a feature."""
    return not _NO_FEATURE.search(name)


def _require_increasing(edges: tuple[float, ...] | None) -> None:
    if edges is not None and not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ValueError("edges are increasing numbers")


class Schema(_Frozen):
    """The public meaning of a table.

    A row is identified by `person`, or by `person` and `time` where a person has several rows.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    features: dict[str, Feature] = Field(min_length=1)
    label: Label
    groups: dict[str, Group] = {}
    person: str
    time: str | None = None
    about: str = ""

    @model_validator(mode="before")
    @classmethod
    def _label_kind_defaults_to_binary(cls, values):
        if isinstance(values, dict) and isinstance(values.get("label"), dict):
            values = {**values, "label": {"kind": "binary", **values["label"]}}
        return values

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        label, person = self.label.column, self.person
        if label in self.features:
            raise ValueError(f"column '{label}' is the label and a feature too; a model may not see its label")
        if person in self.features:
            raise ValueError(f"column '{person}' identifies the person and is a feature too; a model may not see it")
        if any(group.column == person for group in self.groups.values()):
            raise ValueError(f"column '{person}' identifies the person and is a group too; a group is of many persons")
        for name in filterfalse(can_be_feature, self.features):
            raise ValueError(f"feature '{name}': {NO_FEATURE}; rename the column in the table and here")
        if label in {person, self.time}:
            raise ValueError(f"column '{label}' is the label; the person and time columns are others")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the schema needs, each once: keys first, then features, label, groups."""
        keys = [self.person] + ([self.time] if self.time else [])
        groups = [group.column for group in self.groups.values()]
        return tuple(dict.fromkeys([*keys, *self.features, self.label.column, *groups]))

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that together identify a row."""
        return (self.person, self.time) if self.time else (self.person,)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns whose values are names, whatever they look like: persons, categories, classes, unbanded groups."""
        used_as_numbers = {name for name, feature in self.features.items() if feature.kind == "numeric"}
        used_as_numbers |= {group.column for group in self.groups.values() if group.edges is not None}
        names = [self.person, *(name for name, feature in self.features.items() if feature.kind != "numeric")]
        names += [self.label.column] if self.label.kind != "regression" else []
        names += [group.column for group in self.groups.values() if group.edges is None]
        return tuple(name for name in dict.fromkeys(names) if name not in used_as_numbers)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names in the order of the score's columns; None for regression."""
        match self.label:
            case BinaryLabel():
                return ("0", "1")
            case MulticlassLabel(classes=classes):
                return classes
            case _:
                return None


def read_schema(path: Path) -> Schema:
    """Read a schema from YAML.

    Raises
    ------
    InvalidInput
        The file is missing, is not YAML, or breaks a rule of the schema; names the file and the key.
    """
    return validated(Schema, read_yaml(path, what="schema"), path)


def write_schema(schema: Schema, path: Path) -> None:
    """Write a schema as YAML, leaving out what has its default value."""
    document = schema.model_dump(mode="json", exclude_defaults=True)
    document["label"] = {"kind": schema.label.kind, **document["label"]}
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def read_yaml(path: Path, *, what: str) -> dict:
    """The mapping a YAML file holds; `what` is the file's role, named in errors."""
    try:
        document = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise InvalidInput(f"{what} file {path} does not exist") from None
    except OSError as error:
        raise InvalidInput(f"{what} file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{what} file {path} is not UTF-8; save it as UTF-8") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise InvalidInput(f"{what} file {path} is not valid YAML{line}; check its indentation and quotes") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{what} file {path} holds no keys; it must be a YAML mapping")
    return document


def validated(model: type[M], document: dict, where: Path | str) -> M:
    """`document` as `model`, or one sentence that names the first offending key of `where`."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidInput(first_finding(error, where, known=tuple(model.model_fields))) from None


def first_finding(
    error: ValidationError, where: Path | str, *, tagged: bool = False, known: tuple[str, ...] = ()
) -> str:
    """One sentence about what pydantic found first, unknown keys before all else.

    `tagged` where every key is preceded by the kind of a union; `known` are the keys there are, to tell a misspelt one.
    """
    # A misspelt key is also missing under its right name.
    found = error.errors()
    finding = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    key = ".".join(str(part) for part in finding["loc"][tagged:]) or "the whole document"
    if finding["type"] == "union_tag_not_found":
        return f"{where}: {finding['ctx']['discriminator']} is missing"
    if finding["type"] == "union_tag_invalid":
        given = finding["ctx"]
        return f"{where}: {given['discriminator']} is '{given['tag']}'; it must be one of {given['expected_tags']}"
    if finding["type"] == "extra_forbidden":
        close = get_close_matches(key, known, n=1) if len(finding["loc"]) == 1 else []
        remedy = f"did you mean '{close[0]}'?" if close else "remove it or correct its spelling"
        return f"{where}: '{key}' is not a known key; {remedy}"
    if finding["type"] == "missing":
        return f"{where}: '{key}' is missing"
    if finding["type"] == "value_error":
        at = f"'{key}': " if finding["loc"] else ""
        return f"{where}: {at}{finding['ctx']['error']}"
    return f"{where}: '{key}' is {finding['input']!r}; {_wanted(finding)}"


def _wanted(finding: dict) -> str:
    """What would be right, as a person would say it."""
    limits = finding.get("ctx", {})
    match finding["type"]:
        case "dict_type" | "model_type" | "model_attributes_type":
            return "it must be a mapping: 'name: value' on lines of their own, further in"
        case "string_pattern_mismatch":
            return f"it must have the form {limits['pattern']}"
        case "greater_than_equal":
            return f"it must be at least {limits['ge']:g}"
        case "greater_than":
            return f"it must be above {limits['gt']:g}"
        case "less_than_equal":
            return f"it must be at most {limits['le']:g}"
        case "less_than":
            return f"it must be below {limits['lt']:g}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "it must be a whole number"
        case "float_parsing" | "float_type":
            return "it must be a number"
        case "string_type":
            return "it must be text; put it in quotes"
        case "literal_error":
            return f"it must be {limits['expected']}"
        case "too_short":
            return f"it must have at least {limits['min_length']} entries"
        case _:
            said = finding["msg"].removeprefix("Input should ")
            return f"it must {said}" if said != finding["msg"] else f"{said[0].lower()}{said[1:]}"
