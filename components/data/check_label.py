"""What can be wrong with the label: missing, of the wrong kind, of classes nobody declared, of one class only."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from components.data.check_features import number_findings, unusable
from components.data.finding import Finding, Inspected, listed
from components.data.schema import BinaryLabel, MulticlassLabel
from components.data.table import as_text, spellings
from components.data.types import is_flat


def label_findings(of: Inspected) -> Iterator[Finding]:
    label = of.schema.label
    column, named = of.columns[label.column], of.named(label.column, role="label")
    if not is_flat(column):
        yield unusable(of, label.column)
        return
    count, index = of.first(pc.is_null(column))
    if count:
        yield Finding(
            label.column,
            of.row(index),
            (
                f"{named} is missing in {count} of {of.rows} rows (first: row {of.row(index)}); "
                "fill it or leave the rows out"
            ),
        )
    if count == of.rows:
        return
    match label:
        case BinaryLabel(positive=positive):
            yield from _binary_findings(of, named, as_text(column), positive)
        case MulticlassLabel(classes=classes):
            yield from _class_findings(of, named, as_text(column), classes)
        case _:
            numbers = list(number_findings(of, label.column, remedy="clean them or declare another kind of label"))
            yield from numbers
            if not numbers and pc.count_distinct(column).as_py() == 1:
                yield Finding(label.column, None, f"{named} is the same number in every row; there is nothing to learn")


def _binary_findings(of: Inspected, named: str, values: pa.ChunkedArray, positive: str) -> Iterator[Finding]:
    found = sorted(pc.unique(values.drop_null()).to_pylist())
    meant = [value for value in found if value in spellings((positive,))]
    if len(found) > 2:
        yield Finding(
            of.schema.label.column,
            None,
            (
                f"{named} is declared binary and has {len(found)} classes ({listed(found)}); "
                "declare it multiclass or merge classes"
            ),
        )
    elif not meant and len(found) == 2:
        yield Finding(
            of.schema.label.column,
            None,
            (
                f"{named} has classes {listed(found)}, and none is the declared positive '{positive}'; "
                "set label.positive to one of them"
            ),
        )
    elif len(found) == 1 or len(meant) == 2:
        yield Finding(of.schema.label.column, None, f"{named} has one class only ({listed(found)}); a model needs both")


def _class_findings(of: Inspected, named: str, values: pa.ChunkedArray, classes: tuple[str, ...]) -> Iterator[Finding]:
    known = pc.is_in(values, value_set=pa.array(classes, type=pa.string()))
    count, index, shown = of.wrong(values, pc.and_(pc.invert(known), pc.is_valid(values)))
    if count:
        sentence = (
            f"{named}: {of.share(count)} are not among its declared classes ({shown}); correct them or declare them"
        )
        yield Finding(of.schema.label.column, of.row(index), sentence)
    found = set(pc.unique(values.drop_null()).to_pylist())
    if len(found) == 1:
        yield Finding(of.schema.label.column, None, f"{named} has one class only ({listed(found)}); a model needs more")
    elif absent := [name for name in classes if name not in found]:
        sentence = f"{named} has no row of class {listed(absent)}; a model will not learn it"
        yield Finding(of.schema.label.column, None, sentence, "warning")
