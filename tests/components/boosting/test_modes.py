import json

import pytest

from components.boosting.modes import pooled, require_mode
from components.boosting.pooled import predict
from components.errors import InvalidInput


def test_pooled_training_keeps_a_record(table_of, small):
    table = table_of("binary")
    booster, record = pooled(table, small)
    assert predict(booster, table).shape == (400,)
    assert (record.mode, record.rounds, record.rows, record.bytes) == ("pooled", 8, 400, 0)
    assert record.declared_leakage
    assert json.loads(json.dumps(record.to_json())) == record.to_json()


def test_an_absent_mode_is_refused():
    with pytest.raises(InvalidInput, match="'plaintext'.*pooled"):
        require_mode("plaintext")
