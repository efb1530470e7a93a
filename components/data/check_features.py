"""What can be wrong with a feature or a group column, each looked for in whole columns at a time."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from components.data.finding import Finding, Inspected, listed
from components.data.schema import Feature, Group
from components.data.table import as_text, spellings
from components.data.types import NUMBER, is_flat, is_number, is_text

MOST_CATEGORIES = 1000
"""A categorical feature with more levels than this is an identifier, not a category."""

MOST_LEVELS = 50
"""A group with more levels than this has too few rows in each to say anything about them."""


def feature_findings(of: Inspected, name: str, feature: Feature) -> Iterator[Finding]:
    column = of.columns[name]
    if column.null_count == of.rows:
        yield Finding(name, of.row(0), f"{of.named(name)} is missing in every row; remove it from features or fill it")
    elif not is_flat(column):
        yield unusable(of, name)
    elif feature.kind == "numeric":
        yield from number_findings(of, name, remedy="clean them or declare the column categorical")
    else:
        yield from _category_findings(of, name, feature)
    if column.null_count == 0 and of.rows > 1 and is_flat(column) and _constant(column):
        sentence = f"{of.named(name)} has the same value in every row; a model learns nothing from it"
        yield Finding(name, None, sentence, "warning")


def group_findings(of: Inspected, name: str, group: Group) -> Iterator[Finding]:
    column, feature = of.columns[group.column], of.schema.features.get(group.column)
    if not is_flat(column):
        yield unusable(of, group.column)
    elif group.edges is not None:
        if feature is None or feature.kind != "numeric":  # else the feature's findings have said so
            yield from number_findings(of, group.column, remedy=f"clean them or remove the edges of group '{name}'")
    elif (levels := pc.count_distinct(column).as_py()) > MOST_LEVELS:
        yield Finding(
            group.column,
            None,
            (
                f"{of.named(group.column)} gives group '{name}' {levels} levels, too many to report on; "
                "give the group edges, or a column with fewer values"
            ),
            "warning",
        )
    elif group.names:
        meant = spellings(tuple(group.names))
        here = {meant.get(value) for value in pc.unique(as_text(column)).to_pylist()}
        for position, value in enumerate(group.names):
            if position not in here:
                known = listed(pc.unique(as_text(column).drop_null()).to_pylist())
                sentence = f"group '{name}' names '{value}', which column '{group.column}' never holds; it has {known}"
                yield Finding(group.column, None, sentence, "warning")


def number_findings(of: Inspected, name: str, *, remedy: str) -> Iterator[Finding]:
    """Text among numbers, a type that is none, and infinities."""
    column = of.columns[name]
    if is_text(column):
        numbers = pc.match_substring_regex(column, NUMBER)
        count, index, shown = of.wrong(column, pc.invert(numbers))
        if count:
            sentence = f"{of.named(name)}: {of.share(count)} are not numbers ({shown}); {remedy}"
            yield Finding(name, of.row(index), sentence)
        trimmed = pc.utf8_trim_whitespace(column)
        column = pc.cast(pc.if_else(numbers, trimmed, pa.scalar(None, column.type)), pa.float64())
    if not is_number(column):
        yield Finding(name, None, f"{of.named(name)} is of type {column.type}, where a number is needed; {remedy}")
    elif pa.types.is_floating(column.type):
        count, index = of.first(pc.is_inf(column))
        if count:
            yield Finding(
                name,
                of.row(index),
                (
                    f"{of.named(name)}: {of.share(count)} are infinite (first in row {of.row(index)}); "
                    "leave unknown values empty"
                ),
            )


def _constant(column: pa.ChunkedArray) -> bool:
    return pc.count_distinct(column.slice(0, 1000)).as_py() == 1 and pc.count_distinct(column).as_py() == 1


def unusable(of: Inspected, name: str) -> Finding:
    return Finding(
        name,
        None,
        (f"{of.named(name)} is of type {of.columns[name].type}, which holds no plain values; write one value a row"),
    )


def _category_findings(of: Inspected, name: str, feature: Feature) -> Iterator[Finding]:
    values = as_text(of.columns[name])
    if feature.categories is None:
        levels = pc.count_distinct(values).as_py()
        if levels > MOST_CATEGORIES:
            yield Finding(
                name,
                None,
                (
                    f"{of.named(name)} has {levels} categories, more than {MOST_CATEGORIES}; "
                    "declare it numeric, group its values, or remove it from features"
                ),
            )
        return
    known = pc.is_in(values, value_set=pa.array(list(spellings(feature.categories)), type=pa.string()))
    count, index, shown = of.wrong(values, pc.and_(pc.invert(known), pc.is_valid(values)))
    if count:
        sentence = (
            f"{of.named(name)}: {of.share(count)} are not among its declared categories ({shown}); "
            "correct them or declare them"
        )
        yield Finding(name, of.row(index), sentence)
