"""Whether a table is what its schema says, before any work is done on it.

`check_table` returns everything it finds, one sentence each; `checked` wants a clean table and raises the first.
Nothing here looks at rows one by one: a million rows of thirty columns are checked in a second or two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data.check_features import MOST_CATEGORIES, feature_findings, group_findings, unusable
from components.data.check_label import label_findings
from components.data.finding import Finding, Inspected, suggestion
from components.data.leaks import gives_away, is_monotone_copy
from components.data.schema import Schema
from components.data.table import Table, as_text
from components.data.types import is_flat, plain, with_names, with_numbers
from components.errors import InvalidInput


def check_table(columns: pa.Table, schema: Schema, where: str, *, first_row: int = 1) -> list[Finding]:
    """Everything that is wrong with `columns` under `schema`; an empty list when nothing is.

    Parameters
    ----------
    columns
        (n rows) the table as read; columns the schema does not ask for are ignored.
    where
        The file or source, named in every sentence.
    first_row
        The number the file gives to its first row of data: 2 under a CSV header.
    """
    absent = column_findings(columns.column_names, schema, where)
    here = [name for name in schema.columns if columns.column_names.count(name) == 1]
    of = Inspected(with_names(plain(columns.select(here)), schema), schema, where, first_row)
    if of.rows == 0:
        return [*absent, Finding(schema.person, None, f"{where} has a header and no rows; it must hold at least one")]
    found = [*absent, *_key_findings(of)]
    for name, feature in schema.features.items():
        if name in here:
            found += feature_findings(of, name, feature)
    if schema.label.column in here:
        found += label_findings(of)
    for name, group in schema.groups.items():
        if group.column in here:
            found += group_findings(of, name, group)
    broken = {finding.column for finding in found if finding.severity == "error"}
    if {schema.label.column, schema.person} <= set(here) - (broken - {schema.label.column}):
        labelled = _labelled(of)
        if labelled.rows and not any(finding.severity == "error" for finding in label_findings(labelled)):
            sound = [name for name in schema.features if name in here and name not in broken]
            found += _leak_findings(labelled, sound)
    return list(dict.fromkeys(found))


def checked(columns: pa.Table, schema: Schema, where: str, *, first_row: int = 1, also: Iterable[str] = ()) -> Table:
    """The table, its types settled and its categories frozen; `also` names columns to keep besides the schema's.

    Raises
    ------
    InvalidInput
        The first error of `check_table`, with the number of others.
    """
    refuse(check_table(columns, schema, where, first_row=first_row))
    wanted = dict.fromkeys([*schema.columns, *also])
    settled = with_numbers(with_names(plain(columns.select(list(wanted))), schema), schema)
    return Table(freeze_categories(schema, settled), settled)


def refuse(findings: list[Finding]) -> None:
    """Raise the first error among `findings`, if there is one."""
    errors = [finding.sentence for finding in findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more {'finding' if len(errors) == 2 else 'findings'})" if errors[1:] else ""
        raise InvalidInput(errors[0] + more)


def freeze_categories(schema: Schema, columns: pa.Table) -> Schema:
    """The schema with every categorical feature's categories declared: as they are, or taken from `columns`, sorted.

    Raises
    ------
    InvalidInput
        A feature has more than a thousand categories.
    """
    frozen = {}
    for name, feature in schema.features.items():
        if feature.kind == "categorical" and feature.categories is None:
            found = sorted(pc.unique(as_text(columns[name]).drop_null()).to_pylist())
            if len(found) > MOST_CATEGORIES:
                raise InvalidInput(
                    f"feature '{name}' has {len(found)} categories, more than {MOST_CATEGORIES}; "
                    "declare it numeric, group its values, or remove it from features"
                )
            frozen[name] = feature.model_copy(update={"categories": tuple(found)})
    return schema.model_copy(update={"features": {**schema.features, **frozen}}) if frozen else schema


def column_findings(names: Iterable[str], schema: Schema, where: str) -> list[Finding]:
    """Columns the schema asks for and `names` lacks, each with the name it may have been misspelt as; and repeats."""
    names = list(names)
    found = []
    for column in schema.columns:
        if column in names:
            if names.count(column) > 1:
                found.append(
                    Finding(
                        column,
                        None,
                        (f"column '{column}' occurs {names.count(column)} times in {where}; column names are unique"),
                    )
                )
            continue
        hint = suggestion(column, names, taken=schema.columns)
        found.append(Finding(column, None, f"column '{column}' is missing in {where}; {hint}"))
    return found


def _key_findings(of: Inspected) -> Iterator[Finding]:
    keys = [key for key in of.schema.keys if key in of.columns.column_names]
    sound = len(keys) == len(of.schema.keys)
    for key in keys:
        role = "person" if key == of.schema.person else "time"
        count, index = of.first(pc.is_null(of.columns[key]))
        if not is_flat(of.columns[key]):
            yield unusable(of, key)
        elif count:
            yield Finding(
                key,
                of.row(index),
                (
                    f"{of.named(key, role=f'{role} column')}: {of.share(count)} are missing "
                    f"(first in row {of.row(index)}); every row names its {role}"
                ),
            )
        sound &= is_flat(of.columns[key]) and not count
    if sound:
        yield from _duplicates(of, keys)


def _duplicates(of: Inspected, keys: list[str]) -> Iterator[Finding]:
    codes = np.zeros(of.rows, dtype=np.int64)
    for key in keys:
        encoded = as_text(of.columns[key]).combine_chunks().dictionary_encode()
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    repeats = np.flatnonzero(codes[order][1:] == codes[order][:-1])
    if not len(repeats):
        return
    at = repeats[np.argmin(order[repeats + 1])]
    first, second = int(order[at]), int(order[at + 1])
    key = " and ".join(f"'{name}'" for name in keys)  # never its values: sentences go into logs
    remedy = (
        "keep one of them"
        if of.schema.time
        else "keep one of them, or declare a time column, which allows a person several rows"
    )
    yield Finding(
        keys[0],
        of.row(second),
        (
            f"{of.where}: rows {of.row(first)} and {of.row(second)} have the same {key} "
            f"({len(repeats)} such {'repeat' if len(repeats) == 1 else 'repeats'}); {remedy}"
        ),
    )


def _last_of_each_person(of: Inspected) -> pa.Table:
    """One row a person: whatever stays the same over a person's rows would go with the label by identity alone."""
    codes = as_text(of.columns[of.schema.person]).combine_chunks().dictionary_encode().indices.to_numpy()
    last = np.zeros(codes.max() + 1, dtype=np.int64)
    last[codes] = np.arange(len(codes))
    return of.columns if len(last) == of.rows else of.columns.take(pa.array(np.sort(last)))


def _labelled(of: Inspected) -> Inspected:
    """The rows that have a label: what gives it away is told in one go with where it is missing."""
    label = of.columns[of.schema.label.column]
    return replace(of, columns=of.columns.filter(pc.is_valid(label))) if label.null_count else of


def _leak_findings(of: Inspected, features: list[str]) -> Iterator[Finding]:
    if not features:
        return
    sound = of.schema.model_copy(update={"features": {n: of.schema.features[n] for n in features}, "groups": {}})
    settled = with_numbers(_last_of_each_person(of), sound)
    table = Table(freeze_categories(sound, settled), settled)
    for position, name in enumerate(features):
        values = table.features[:, position]
        if of.schema.label.kind == "regression":
            how = "it rises or falls with the label, one to one" if is_monotone_copy(values, table.labels) else None
        else:
            how = gives_away(values, table.labels)
        if how:
            yield Finding(
                name,
                None,
                (
                    f"{of.named(name, role='feature')} gives the label '{of.schema.label.column}' away ({how}); "
                    "it was recorded with or after the outcome: remove it from features"
                ),
            )
