import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from components.data.reading import inspect_table, read_columns, read_table
from components.data.schema import Schema
from components.errors import InvalidInput


@pytest.fixture
def csv_file(tmp_path, columns):
    path = tmp_path / "patients.csv"
    pa.csv.write_csv(columns, path)
    return path


@pytest.fixture
def parquet_file(tmp_path, columns):
    path = tmp_path / "patients.parquet"
    pq.write_table(columns, path)
    return path


def test_csv_and_parquet_give_the_same_table(csv_file, parquet_file, schema, columns):
    from_csv, from_parquet = read_table(csv_file, schema), read_table(parquet_file, schema)
    np.testing.assert_array_equal(from_csv.features, from_parquet.features)
    np.testing.assert_array_equal(from_csv.labels, columns["relapse"].to_numpy())
    assert from_csv.person.tolist() == columns["patient"].to_pylist()
    assert from_csv.groups["age_band"].levels == from_parquet.groups["age_band"].levels


@pytest.fixture
def flags(tmp_path):
    """A function that writes a table of booleans to every kind of file, CSV in several spellings."""

    def write(rows: int = 200) -> list:
        rng = np.random.default_rng(0)
        drawn = {name: rng.random(rows) < 0.4 for name in ("smoker", "insured", "dose", "relapse")}
        ids = [f"p{row}" for row in range(rows)]
        paths = [tmp_path / "flags.parquet"]
        pq.write_table(pa.table({"id": ids, **drawn}), paths[0])
        for spelling in (("false", "true"), ("False", "True"), ("FALSE", "TRUE")):
            paths.append(tmp_path / f"{spelling[1]}.csv")
            words = {name: np.array(spelling)[values.astype(int)] for name, values in drawn.items()}
            pa.csv.write_csv(pa.table({"id": ids, **words}), paths[-1])
        return paths

    return write


@pytest.mark.parametrize("positive", ["1", "true", "True"])
@pytest.mark.parametrize("categories", [None, ("false", "true"), ("0", "1")])
def test_booleans_are_the_same_from_every_file(flags, positive, categories):
    schema = Schema(
        name="flags",
        features={"smoker": {"kind": "categorical", "categories": categories}, "dose": {}},
        groups={"insured": {"column": "insured"}, "cover": {"column": "insured", "names": {"1": "yes", "0": "no"}}},
        label={"column": "relapse", "positive": positive},
        person="id",
    )
    first, *others = [read_table(path, schema) for path in flags()]
    assert first.schema.features["smoker"].categories == (categories or ("false", "true"))
    assert first.groups["insured"].levels == ("false", "true")
    assert first.groups["cover"].levels == ("no", "yes")
    assert set(first.labels) == {0, 1}
    truth = pq.read_table(flags()[0])
    np.testing.assert_array_equal(first.labels, truth["relapse"].to_numpy())
    np.testing.assert_array_equal(first.features, np.column_stack([truth["smoker"], truth["dose"]]))
    for other in others:
        np.testing.assert_array_equal(first.features, other.features)
        np.testing.assert_array_equal(first.labels, other.labels)
        assert other.groups["insured"].levels == ("false", "true")
        assert other.digest == first.digest


def test_declared_words_stay_as_they_are(tmp_path):
    schema = Schema(
        name="t",
        features={"x": {"kind": "categorical", "categories": ["True", "maybe"]}, "code": {"kind": "categorical"}},
        label={"column": "y"},
        person="id",
    )
    path = tmp_path / "t.csv"
    path.write_text("id,x,code,y\n1,True,1.0,0\n2,True,,1\n")
    table = read_table(path, schema)
    assert table.columns["x"].to_pylist() == ["True", "True"]
    assert table.features[:, 0].tolist() == [0, 0]


def test_a_table_is_the_same_from_csv_and_parquet_digest_included(csv_file, parquet_file, schema):
    assert read_table(csv_file, schema).digest == read_table(parquet_file, schema).digest


def lines_changed(path, change):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(change(lines)) + "\n")


def test_row_numbers_are_lines_of_the_file(csv_file, schema):
    lines_changed(
        csv_file, lambda lines: [*lines[:36], lines[36].replace(lines[36].split(",")[1], '"unclear"', 1), *lines[37:]]
    )
    with pytest.raises(InvalidInput, match=r"column 'age' of patients\.csv: 1 of 300 values .*'unclear' in row 37"):
        read_table(csv_file, schema)


def test_missing_file(tmp_path, schema):
    with pytest.raises(InvalidInput, match="nowhere.csv does not exist"):
        read_table(tmp_path / "nowhere.csv", schema)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_empty_file(tmp_path, schema, suffix):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    with pytest.raises(InvalidInput, match=f"empty{suffix} is empty"):
        read_table(path, schema)


def test_folder(tmp_path, schema):
    with pytest.raises(InvalidInput, match="is a folder"):
        read_table(tmp_path, schema)


def test_other_format(tmp_path, schema):
    path = tmp_path / "patients.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(InvalidInput, match=r"\.xlsx.*\.csv and \.parquet"):
        read_table(path, schema)


def test_header_only(csv_file, schema):
    lines_changed(csv_file, lambda lines: lines[:1])
    with pytest.raises(InvalidInput, match=r"patients\.csv has a header and no rows"):
        read_table(csv_file, schema)


def test_empty_first_line(csv_file, schema):
    lines_changed(csv_file, lambda lines: ["", *lines])
    with pytest.raises(InvalidInput, match="empty line"):
        read_table(csv_file, schema)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_named(csv_file, schema, mark, name):
    lines_changed(csv_file, lambda lines: [line.replace(",", mark) for line in lines])
    for read in (
        lambda: read_table(csv_file, schema),
        lambda: inspect_table(csv_file, schema),
        lambda: read_columns(csv_file),
    ):
        with pytest.raises(InvalidInput, match=rf"patients\.csv are separated by {name}"):
            read()


def test_ragged_row_is_named(csv_file, schema):
    lines_changed(csv_file, lambda lines: [*lines[:4], lines[4] + ",more", *lines[5:]])
    with pytest.raises(InvalidInput, match=r"row 5 of patients\.csv has 8 values .* 7 columns"):
        read_table(csv_file, schema)


@pytest.mark.parametrize("where", ["a name", "a category", "a number", "the header"])
def test_not_utf8(csv_file, schema, where):
    text = csv_file.read_bytes()
    latin = {
        "a name": (b"p001", b"p\xe9"),
        "a category": (b'"a"', b'"\xe9"'),
        "a number": (b"\n", b"\n"),
        "the header": (b'"dose"', b'"d\xf4se"'),
    }[where]
    broken = text.replace(*latin, 1)
    if where == "a number":
        lines = text.split(b"\n")
        cells = lines[1].split(b",")
        lines[1] = b",".join([cells[0], b'"\xb5"', *cells[2:]])
        broken = b"\n".join(lines)
    csv_file.write_bytes(broken)
    with pytest.raises(InvalidInput, match=r"row \d+ of patients\.csv is not UTF-8"):
        read_table(csv_file, schema)


def test_byte_order_mark_is_no_part_of_the_first_name(csv_file, schema):
    csv_file.write_bytes(b"\xef\xbb\xbf" + csv_file.read_bytes())
    assert len(read_table(csv_file, schema)) == 300


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_parquet(parquet_file, schema, keep):
    whole = parquet_file.read_bytes()
    parquet_file.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(InvalidInput, match="patients.parquet"):
        read_table(parquet_file, schema)


def test_parquet_that_is_none(parquet_file, schema):
    parquet_file.write_text("patient,age\n")
    with pytest.raises(InvalidInput, match="not a whole Parquet file"):
        read_table(parquet_file, schema)


def test_misspelt_column_is_told_before_reading(csv_file, schema):
    lines_changed(csv_file, lambda lines: [lines[0].replace("stage", "stagee"), *lines[1:]])
    with pytest.raises(InvalidInput, match="'stage'.*did you mean 'stagee'"):
        read_table(csv_file, schema)


def test_names_keep_their_zeros_and_lose_point_zero(tmp_path):
    schema = Schema(
        name="t",
        features={"zip": {"kind": "categorical"}, "code": {"kind": "categorical"}, "x": {}},
        label={"column": "y"},
        person="id",
    )
    path = tmp_path / "t.csv"
    path.write_text("id,zip,code,x,y\n007,02134,1.0,1,0\n008,00501,,2,1\n010,02134,2.0,,1\n")
    table = read_table(path, schema)
    assert table.person.tolist() == ["007", "008", "010"]
    assert table.schema.features["zip"].categories == ("00501", "02134")
    assert table.schema.features["code"].categories == ("1", "2")
    assert np.isnan(table.features[[1, 2], [1, 2]]).all()


def test_other_columns_are_kept_only_when_asked(csv_file, schema):
    lines_changed(csv_file, lambda lines: [f"{line},{'site' if not n else n % 3}" for n, line in enumerate(lines)])
    assert "site" not in read_table(csv_file, schema).columns.column_names
    assert "site" in read_table(csv_file, schema, also=["site"]).columns.column_names
    with pytest.raises(InvalidInput, match="'town'"):
        read_table(csv_file, schema, also=["town"])


def test_read_columns_needs_no_schema(csv_file, parquet_file, columns):
    assert read_columns(csv_file).column_names == columns.column_names
    assert read_columns(parquet_file).num_rows == 300
