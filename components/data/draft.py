"""A first schema for a table that has none, guessed from names, types and values, for a person to correct.

Guesses are only ever guesses, so each comes with a note that says what was seen; the notes head the written file.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.data.check_features import MOST_CATEGORIES
from components.data.finding import listed, suggestion
from components.data.schema import (
    NO_FEATURE,
    BinaryLabel,
    Feature,
    Group,
    Label,
    MulticlassLabel,
    RegressionLabel,
    Schema,
    can_be_feature,
    write_schema,
)
from components.data.table import as_text
from components.data.types import NUMBER, is_flat, is_number, is_text, plain
from components.errors import InvalidInput

LABEL_NAMES = ("label", "target", "outcome", "class", "y")
CODE_NAMES = ("zip", "postcode", "postal", "plz", "code", "icd", "drg", "cpt", "ward", "unit")
PERSON_NAMES = ("person", "patient", "subject", "member", "customer", "user", "id")
TIME_NAMES = ("time", "year", "month", "date", "visit", "wave", "period")
POSITIVE = ("1", "true", "y", "yes", "ja", "oui", "sí", "si", "sì", "sim", "tak", "positive", "positiv", "positif")
GROUP_NAMES = ("sex", "gender", "female", "race", "ethnicity", "age", "religion", "nationality", "dialect", "region")
NOT_TO_BE_LOOKED_AT = ("race", "ethnicity", "religion", "nationality")
"""Groups that are reported and gated, and left out of the features unless a person puts them there."""

SCALES = (
    "lowest low mid middle medium moderate high highest",
    "none minimal mild moderate severe critical",
    "poor fair good excellent",
    "never rarely seldom sometimes often usually always",
    "tiny small medium large huge",
    "i ii iii iv v vi",
)
"""Words that have an order, lowest first."""

COMMA_NUMBER = r"^\s*[-+]?((\d+|\d{1,3}(\.\d{3})+),\d+|\d{1,3}(,\d{3})+\.\d+)\s*$"
"""As half of Europe writes it, 1.234,5, and others do, 1,234.5; of 1,234 nobody can tell which."""

MOST_WORDS, LONGEST_WORD = 5, 12
"""Different words among numbers, and their letters, that a note quotes."""

AGE_BANDS = (18, 35, 50, 65)
FEW = 20
"""A whole-number column with no more distinct values than this may be a code; a text column with more is named."""


@dataclass(frozen=True)
class Draft:
    """A guessed schema and one sentence for each guess."""

    schema: Schema
    notes: tuple[str, ...]


def draft_schema(
    columns: pa.Table, name: str, *, label: str | None = None, person: str | None = None, time: str | None = None
) -> Draft:
    """Guess a schema; what is named by the caller is not guessed.

    Raises
    ------
    InvalidInput
        A named column is absent, or no column can be the label or the person.
    """
    columns = plain(columns)
    if not len(columns):
        raise InvalidInput(f"{name} has column names and no rows; a schema is guessed from values")
    for role, given in (("label", label), ("person", person), ("time", time)):
        if given is not None and given not in columns.column_names:
            hint = suggestion(given, columns.column_names)
            raise InvalidInput(f"{role} column '{given}' (--{role}) is not in the table; {hint}")
    notes: list[str] = []
    usable = [column for column in columns.column_names if _usable(column, columns[column], notes)]
    time = time or _time(usable, {label, person}, notes)
    person = person or _person(columns, usable, time, {label}, notes)
    if time and _unique(columns, [person]):
        notes.append(f"every '{person}' has one row, so '{time}' is not needed as time")
        time = None
    label = label or _label(columns, usable, {person, time}, notes)
    rule = _rule(label, columns[label], notes)
    groups = _groups(columns, [c for c in usable if c not in {person, time, label}], notes)
    features = {}
    for column in usable:
        if column in {person, time, label}:
            continue
        if _named_like(column, NOT_TO_BE_LOOKED_AT):
            notes.append(f"'{column}' is a group and no feature: a model that looks at it may repeat unequal treatment")
            continue
        if not can_be_feature(column):
            notes.append(f"'{column}' is left out: {NO_FEATURE}; rename the column")
            continue
        feature = _feature(column, columns[column], notes)
        if feature:
            features[column] = feature
    if not features:
        raise InvalidInput("no column is left to be a feature once label, person and time are taken; add columns")
    plain_name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "table"
    schema = Schema(name=plain_name, features=features, label=rule, groups=groups, person=person, time=time)
    return Draft(schema, tuple(notes))


def write_draft(draft: Draft, path: Path) -> None:
    """Write the schema as YAML headed by its notes."""
    write_schema(draft.schema, path)
    head = ["# A draft: read it, correct it, then remove these lines.", *(f"# - {note}" for note in draft.notes)]
    path.write_text("\n".join(head) + "\n" + path.read_text())


def _usable(name: str, column: pa.ChunkedArray, notes: list[str]) -> bool:
    if column.null_count == len(column) or not is_flat(column):
        why = "empty" if column.null_count == len(column) else f"of type {column.type}"
        notes.append(f"'{name}' is left out: it is {why}")
        return False
    return True


def _named_like(column: str, names: tuple[str, ...]) -> bool:
    return bool(set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower())) & set(names))


def _time(usable: list[str], taken: set, notes: list[str]) -> str | None:
    found = [column for column in usable if column not in taken and _named_like(column, TIME_NAMES)]
    if found:
        notes.append(f"'{found[0]}' is taken for the time, by its name")
    return found[0] if found else None


def _person(columns: pa.Table, usable: list[str], time: str | None, taken: set, notes: list[str]) -> str:
    """A column named like a person that identifies rows (with the time, if there is one); else one that is unique."""
    candidates = [c for c in usable if c not in taken | {time} and columns[c].null_count == 0]
    keys = [time] if time else []
    for column in sorted(candidates, key=lambda c: not _named_like(c, PERSON_NAMES)):
        if pa.types.is_floating(columns[column].type):
            continue
        if _unique(columns, [column]) or (_named_like(column, PERSON_NAMES) and _unique(columns, [column, *keys])):
            together = f" together with '{time}'" if time else ""
            notes.append(f"'{column}' is taken for the person: it tells rows apart{together}")
            return column
    raise InvalidInput(
        "no column tells persons apart (one value a row, or one a row and time); name it (--person), or add one"
    )


def _unique(columns: pa.Table, keys: list[str]) -> bool:
    return columns.group_by(keys).aggregate([]).num_rows == columns.num_rows


def _label(columns: pa.Table, usable: list[str], taken: set, notes: list[str]) -> str:
    free = [column for column in usable if column not in taken]
    by_name = [column for column in free if _named_like(column, LABEL_NAMES)]
    if by_name:
        others = f"; others are named like one: {listed(by_name[1:])}" if by_name[1:] else ""
        notes.append(f"'{by_name[0]}' is taken for the label, by its name{others}")
        return by_name[0]
    binary = [
        column
        for column in free
        if not _named_like(column, GROUP_NAMES) and pc.count_distinct(columns[column]).as_py() == 2
    ]
    if not binary:
        raise InvalidInput(
            f"no column looks like the label, by its name or by having two values; name it (--label): {listed(free)}"
        )
    others = f"; others of two values: {listed(binary[:-1])}" if binary[1:] else ""
    notes.append(f"'{binary[-1]}' is taken for the label, as the last column of two values{others}")
    return binary[-1]


def _rule(name: str, column: pa.ChunkedArray, notes: list[str]) -> Label:
    values = sorted(pc.unique(as_text(column).drop_null()).to_pylist())
    if len(values) <= 2:
        positive = next((v for v in values if v.lower() in POSITIVE), values[-1])
        notes.append(f"the positive class of '{name}' is '{positive}' of {listed(values)}")
        return BinaryLabel(column=name, positive=positive)
    if is_number(column) and len(values) > FEW:
        tolerance = float(f"{pc.stddev(column).as_py() / 2:.2g}")
        notes.append(f"'{name}' is a number; within {tolerance:g} (half its standard deviation) a prediction is right")
        return RegressionLabel(column=name, kind="regression", tolerance=tolerance)
    if len(values) > FEW:
        raise InvalidInput(f"label '{name}' has {len(values)} classes; name another column as the label (--label)")
    return MulticlassLabel(column=name, kind="multiclass", classes=tuple(values))


def _groups(columns: pa.Table, names: list[str], notes: list[str]) -> dict[str, Group]:
    groups = {}
    for column in names:
        if not _named_like(column, GROUP_NAMES):
            continue
        distinct = pc.count_distinct(columns[column]).as_py()
        if distinct <= FEW:
            names_shown = {"0": "male", "1": "female"} if _named_like(column, ("female",)) else {}
            groups["sex" if names_shown else column] = Group(column=column, names=names_shown)
        elif is_number(columns[column]) and _named_like(column, ("age",)):
            groups["age_band"] = Group(column=column, edges=AGE_BANDS)
        else:
            notes.append(f"'{column}' sounds like a group but has {distinct} values; give it edges or fewer values")
            continue
        notes.append(f"error is reported and gated by '{column}'")
    return groups


def _share(column: pa.ChunkedArray, pattern: str) -> float:
    """Of what is written in a column of texts, how much is of a pattern."""
    return pc.mean(pc.match_substring_regex(column, pattern)).as_py() or 0.0


def _others(column: pa.ChunkedArray, pattern: str) -> list[str]:
    """The different texts that are not of a pattern."""
    written = column.drop_null()
    return pc.unique(pc.filter(written, pc.invert(pc.match_substring_regex(written, pattern)))).to_pylist()


def _feature(name: str, column: pa.ChunkedArray, notes: list[str]) -> Feature | None:
    distinct = pc.count_distinct(column).as_py()
    if is_number(column):
        if _named_like(name, CODE_NAMES):
            notes.append(f"'{name}' is taken for a number; if it is a code, write kind: categorical, or leave it out")
        return Feature()
    are_names = distinct > max(FEW, min(len(column) // 10, MOST_CATEGORIES))
    if is_text(column):
        numbers, others = _share(column, NUMBER), _others(column, NUMBER)
        # Few words among many numbers stand for what is missing; many are not quoted, as they may be about people.
        few = len(others) <= MOST_WORDS and all(len(word) <= LONGEST_WORD for word in others)
        if numbers > (0.5 if are_names and few else 0.9):
            which = (
                listed(others) if few else f"{round((1 - numbers) * (len(column) - column.null_count))} of its values"
            )
            notes.append(f"'{name}' is taken for a number; leave empty what is none, or correct it: {which}")
            return Feature()
        if _share(column, COMMA_NUMBER) > 0.9:
            notes.append(f"'{name}' is left out: its numbers have commas; write them as 12345.6, and draft again")
            return None
    if are_names:
        notes.append(f"'{name}' is left out: {distinct} different texts are names, not categories")
        return None
    values = sorted(pc.unique(as_text(column).drop_null()).to_pylist())
    spelt = Counter(map(_folded, values))
    if alike := [value for value in values if spelt[_folded(value)] > 1]:
        notes.append(f"'{name}' has values that differ in case or spaces alone: {listed(alike)}; spell them alike")
    if scale := _scale(values):
        notes.append(f"'{name}' is taken for a scale, from lowest to highest: {listed(scale)}")
        return Feature(kind="ordinal", categories=scale)
    notes.append(f"'{name}' is taken for categories without order; if they have one, write kind: ordinal, lowest first")
    return Feature(kind="categorical", categories=tuple(values))


def _folded(value: str) -> str:
    return value.strip().lower()


def _scale(values: list[str]) -> tuple[str, ...] | None:
    """The values from lowest to highest, where they are words of one known scale."""
    for scale in SCALES:
        words = scale.split()
        if len(set(map(_folded, values))) == len(values) > 2 and all(value.lower() in words for value in values):
            return tuple(sorted(values, key=lambda value: words.index(value.lower())))
    return None
