import stat

import numpy as np
import pyarrow as pa
import pytest

from components.data.table import Table
from components.errors import InvalidInput
from components.partition.deal import deal, held
from components.partition.join import join_holdings
from components.partition.plan import ByColumn, Even, LabelSkew, Mixed, Single, Vertical
from components.partition.store import read_holding, write_holding


def stored(root, table, plan, seed=0):
    partition = deal(table, plan, seed)
    return [write_holding(root, owner, held(table, holding)) for owner, holding in partition.holdings.items()]


def test_a_part_reads_back_as_it_was(tmp_path, table):
    record = write_holding(tmp_path, "north", table)
    back = read_holding(record, table.schema)
    assert back.columns.equals(table.columns)
    assert (record.owner, record.rows, record.columns) == ("north", len(table), tuple(table.columns.column_names))
    assert record.digest == table.digest


def test_only_the_owner_may_read(tmp_path, table):
    path = write_holding(tmp_path, "north", table).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_writing_again_changes_nothing_and_other_rows_lie_beside(tmp_path, table):
    first = write_holding(tmp_path, "north", table)
    before = first.path.stat()
    assert write_holding(tmp_path, "north", table) == first
    assert first.path.stat().st_mtime_ns == before.st_mtime_ns
    assert first.path.stat().st_ino == before.st_ino
    other = write_holding(tmp_path, "north", table.take(np.arange(5)))
    assert len(read_holding(other, table.schema)) == 5
    assert len(read_holding(first, table.schema)) == len(table)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(path.read_bytes()[:100] + b"\0" * 60 + path.read_bytes()[160:]),
    ],
    ids=["gone", "empty", "truncated", "overwritten"],
)
def test_a_damaged_store_is_named_and_healed_by_writing_again(tmp_path, table, damage):
    record = write_holding(tmp_path, "north", table)
    damage(record.path)
    with pytest.raises(InvalidInput, match=r"north.*parquet.*'north'"):
        read_holding(record, table.schema)
    assert read_holding(write_holding(tmp_path, "north", table), table.schema).digest == table.digest


@pytest.mark.parametrize("owner", ["../north", "North", "", "a/b", ".hidden"])
def test_owner_that_cannot_be_a_folder(tmp_path, table, owner):
    with pytest.raises(InvalidInput, match="owner"):
        write_holding(tmp_path, owner, table)


def test_the_joined_table_is_the_same_however_it_was_split(tmp_path, table, sides):
    plans = [
        Single(),
        ByColumn(column="hospital"),
        Even(owners=3),
        LabelSkew(least=2),
        Vertical(columns=sides),
        Mixed(columns=sides, split="clinic", by="hospital"),
        Mixed(columns=sides, split="insurer", by="hospital"),
    ]
    expected = Table(table.schema, table.columns.select(list(table.schema.columns)))
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    for number, plan in enumerate(plans):
        for source in (table, shuffled):
            joined, count = join_holdings(stored(tmp_path / str(number), source, plan), table.schema)
            assert joined.digest == expected.digest, plan
            assert count.joined == count.known == len(table)
            assert set(count.lacking.values()) == {0}


def test_rows_a_side_lacks_are_counted_and_dropped_or_kept(tmp_path, table, sides):
    """Oracle: sets of keys."""
    records = stored(tmp_path, table, Vertical(columns=sides, overlap=0.7))
    keys = {record.owner: set(read_holding(record, table.schema).row_ids) for record in records}
    dropped, count = join_holdings(records, table.schema)
    assert set(dropped.row_ids) == keys["clinic"] & keys["insurer"]
    known = keys["clinic"] | keys["insurer"]
    assert (count.joined, count.known) == (len(dropped), len(known))
    assert count.lacking == {owner: len(known - held_keys) for owner, held_keys in keys.items()}

    kept, _ = join_holdings(records, table.schema, missing="keep")
    assert set(kept.row_ids) == keys["clinic"]  # the label lies there
    gaps = np.isnan(kept.features[:, list(table.schema.features).index("cost")])
    assert set(kept.row_ids[gaps]) == keys["clinic"] - keys["insurer"]
    assert kept.groups["sex"].levels == ("f", "m", "unknown")
    assert list(kept.row_ids) == sorted(kept.row_ids)


def test_joined_values_belong_to_their_rows(tmp_path, table, sides):
    joined, _ = join_holdings(stored(tmp_path, table, Vertical(columns=sides, overlap=0.6)), table.schema)
    at = {row_id: index for index, row_id in enumerate(table.row_ids)}
    original = table.take(np.array([at[row_id] for row_id in joined.row_ids]))
    np.testing.assert_array_equal(joined.features, original.features)
    np.testing.assert_array_equal(joined.labels, original.labels)


def test_a_row_held_twice_is_refused(tmp_path, table):
    records = [write_holding(tmp_path, "a", table), write_holding(tmp_path, "b", table.take(np.arange(4)))]
    with pytest.raises(InvalidInput, match=r"4 rows .*a\+b"):
        join_holdings(records, table.schema)


def test_an_owner_who_does_not_join(tmp_path, table, sides):
    records = stored(tmp_path, table, Vertical(columns=sides))
    with pytest.raises(InvalidInput, match="'cost'"):
        join_holdings(records[:1], table.schema)


def test_a_column_of_two_sides(tmp_path, table):
    columns = table.columns
    parts = [columns.drop_columns(["dose"]), columns.select(["patient", "year", "dose", "cost"])]
    records = [
        write_holding(tmp_path, owner, Table(table.schema, part)) for owner, part in zip("ab", parts, strict=True)
    ]
    with pytest.raises(InvalidInput, match="'cost' is held by a and b"):
        join_holdings(records, table.schema)


def test_sides_without_a_common_row(tmp_path, table, sides):
    partition = deal(table, Vertical(columns=sides), 0)
    halves = [np.arange(10), np.arange(10, 20)]
    records = [
        write_holding(tmp_path, owner, held(table.take(rows), _all_rows(holding)))
        for (owner, holding), rows in zip(partition.holdings.items(), halves, strict=True)
    ]
    with pytest.raises(InvalidInput, match="clinic, insurer"):
        join_holdings(records, table.schema)


def _all_rows(holding):
    return type(holding)(np.arange(10), holding.columns)


def test_rows_without_a_label_are_dropped(tmp_path, table):
    position = table.columns.column_names.index("relapse")
    labels = pa.array([None, *table.columns["relapse"].to_pylist()[1:]])
    record = write_holding(tmp_path, "all", Table(table.schema, table.columns.set_column(position, "relapse", labels)))
    for missing in ("drop", "keep"):
        joined, count = join_holdings([record], table.schema, missing=missing)
        assert (count.joined, count.known) == (len(table) - 1, len(table))
        assert table.row_ids[0] not in joined.row_ids
