import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from components.data.rand_hie import load_rand_hie
from components.data.split import PARTS, SHARES, split_of, split_table
from components.data.table import Table
from components.errors import InvalidInput

PERSONS = np.array([f"person {number}" for number in range(20_000)])


def test_shares_are_as_asked():
    counts = np.bincount(split_of(PERSONS, "salt"), minlength=3)
    for count, share in zip(counts, SHARES, strict=True):
        assert binomtest(int(count), len(PERSONS), share).pvalue > 1e-4


def test_part_is_the_hash_of_salt_and_person():
    hashed = hashlib.sha256(b"salt\nperson 7").digest()
    share = int.from_bytes(hashed[:8], "big") / 2**64
    assert split_of(PERSONS[7:8], "salt")[0] == np.searchsorted(np.cumsum(SHARES), share)


def test_another_salt_is_another_split():
    same = (split_of(PERSONS, "one") == split_of(PERSONS, "two")).mean()
    assert same == pytest.approx(sum(share**2 for share in SHARES), abs=0.02)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PERSONS[:30].tolist()), min_size=1, max_size=60), st.text(max_size=5))
def test_a_person_is_in_one_part_whoever_else_is_there(persons, salt):
    together = split_of(np.array(persons), salt)
    alone = [split_of(np.array([person]), salt)[0] for person in persons]
    assert together.tolist() == alone


def test_years_of_a_person_stay_together_and_every_row_is_used_once():
    table = load_rand_hie()
    split = split_table(table, "salt")
    rows = np.concatenate([split.train, split.selection, split.gate])
    assert sorted(rows.tolist()) == list(range(len(table)))
    parts = [set(table.person[getattr(split, part)]) for part in PARTS]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    later = load_rand_hie((3,))
    assert set(later.person[split_table(later, "salt").gate]) <= parts[2]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.2, 0.2), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1)])
def test_impossible_shares(shares):
    with pytest.raises(InvalidInput, match="shares"):
        split_of(PERSONS, "salt", shares)


def test_group_level_absent_from_the_gate_part_is_refused(columns, schema):
    in_train = split_of(np.array(columns["patient"].to_pylist()), "salt") == 0
    sex = np.where(np.cumsum(in_train) <= 12, np.where(in_train, "x", "f"), "m")
    table = Table(schema, columns.set_column(6, "sex", pa.array(sex)))
    assert Counter(sex[in_train])["x"] == 12
    with pytest.raises(InvalidInput, match=r"'sex=x' has 12 rows, none of which the gate would judge"):
        split_table(table, "salt")


def test_part_of_one_class_is_refused(columns, schema):
    selection = split_of(np.array(columns["patient"].to_pylist()), "salt") == 1
    labels = np.where(selection, 0, columns["relapse"].to_numpy())
    with pytest.raises(InvalidInput, match="selection part"):
        split_table(Table(schema, columns.set_column(5, "relapse", pa.array(labels))), "salt")


def test_empty_part_is_refused(columns, schema):
    with pytest.raises(InvalidInput, match="no rows"):
        split_table(Table(schema, columns), "salt", (0.7, 1e-6, 0.3 - 1e-6))
