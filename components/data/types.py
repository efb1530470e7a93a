"""Arrow types as the checks and the algorithms want them: plain numbers and plain text, one spelling of 'missing'.

Files carry many types for the same thing (dictionaries, decimals, NaN next to null, numbers written as text). They are
brought to one form here, once, before anything looks at them.
"""

import pyarrow as pa
import pyarrow.compute as pc

from components.data.schema import Schema
from components.data.table import BOOLEANS, as_text

NUMBER = r"^\s*-?((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[iI]nf(inity)?)\s*$"
"""Text that is a number as Arrow reads one."""

_BOOLEAN_WORDS = {word: meaning for meaning, words in BOOLEANS.items() for word in words if word not in "01"}
_GLANCE = 1000


def is_text(column: pa.ChunkedArray) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def is_number(column: pa.ChunkedArray) -> bool:
    """Numbers, booleans, and columns that hold nothing at all."""
    kind = column.type
    return (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    )


def is_flat(column: pa.ChunkedArray) -> bool:
    """One printable value a row: no lists, structures or bytes."""
    return is_text(column) or is_number(column) or pa.types.is_temporal(column.type)


def plain(columns: pa.Table) -> pa.Table:
    """The same values with dictionaries decoded, decimals as floats, large and view strings as strings, NaN as null."""
    for position, name in enumerate(columns.column_names):
        column = _plain(columns[name])
        if column is not columns[name]:
            columns = columns.set_column(position, name, column)
    return columns.replace_schema_metadata()


def with_numbers(columns: pa.Table, schema: Schema) -> pa.Table:
    """Numeric features, banded groups and a regression label written as text become float64; all must be numbers."""
    numeric = [name for name, feature in schema.features.items() if feature.kind == "numeric"]
    numeric += [group.column for group in schema.groups.values() if group.edges is not None]
    numeric += [schema.label.column] if schema.label.kind == "regression" else []
    for name in numeric:
        if name in columns.column_names and is_text(columns[name]):
            numbers = pc.cast(pc.utf8_trim_whitespace(columns[name]), pa.float64())
            columns = columns.set_column(columns.column_names.index(name), name, numbers)
    return columns


def with_names(columns: pa.Table, schema: Schema) -> pa.Table:
    """The columns whose values are names as text, each name in one spelling, whatever kind of file they came from.

    Some programs write '3.0' for 3, or 'True' for true: where all of a column is like that it becomes '3' and 'true',
    unless the schema declares it as it stands.
    """
    for name in schema.names:
        if name in columns.column_names and is_flat(columns[name]):
            written = as_text(columns[name])
            column = _with_plain_booleans(_without_point_zero(written))
            if declared := column is not written and _declared(schema, name):
                changed = pc.filter(written, pc.not_equal(written, column))
                column = written if pc.any(pc.is_in(changed, value_set=pa.array(declared))).as_py() else column
            columns = columns.set_column(columns.column_names.index(name), name, column)
    return columns


def _declared(schema: Schema, name: str) -> list[str]:
    """The values that a schema says a column has."""
    values = list((name in schema.features and schema.features[name].categories) or ())
    values += schema.label.classes if schema.label.kind == "multiclass" and schema.label.column == name else ()
    return values + [value for group in schema.groups.values() if group.column == name for value in group.names]


def _without_point_zero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """'3.0' as '3' where every value is a whole number."""
    for part in (column.slice(0, _GLANCE), column):
        if not pc.all(pc.match_substring_regex(part, r"^-?\d+(\.0+)?$")).as_py():
            return column
    return pc.replace_substring_regex(column, r"\.0+$", "")


def _with_plain_booleans(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """'True' and 'FALSE' as 'true' and 'false' where every value is such a word."""
    words = pa.array(list(_BOOLEAN_WORDS))
    for part in (column.slice(0, _GLANCE), column):
        if not pc.all(pc.is_in(part.drop_null(), value_set=words)).as_py():
            return column
    return pc.take(pa.array(list(_BOOLEAN_WORDS.values())), pc.index_in(column, value_set=words))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(pc.cast(column, kind.value_type))
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return pc.cast(column, pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(column)).as_py():
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    return column
