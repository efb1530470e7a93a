"""Predictions as Parquet, so that a reviewer or a later run can compare two models row by row without either.

Who a row speaks of is nobody's business there: row ids are replaced by keyed pseudonyms (BLAKE2b with a secret that
stays with the pipeline), which match between files of the same key and lead back to no one without it.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from components.data.predictions import Predictions
from components.data.schema import Label
from components.data.table import GroupColumn

_RULE = TypeAdapter(Label)


def pseudonym(row_id: str, key: bytes) -> bytes:
    """96 bits that name a row to who does not know the key."""
    return hashlib.blake2b(row_id.encode(), key=key, digest_size=12).digest()


def pseudonymous(predictions: Predictions, key: bytes) -> Predictions:
    """The same predictions under pseudonyms; `key` is 16 to 64 secret bytes."""
    names = [pseudonym(row, key).hex() for row in predictions.row_ids.tolist()]
    return replace(predictions, row_ids=np.array(names, dtype=str))


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write to Parquet: row_id, label, a column per group, and score or score_0, score_1, …"""
    columns = {"row_id": pa.array(predictions.row_ids), "label": pa.array(predictions.labels)}
    for name, group in predictions.groups.items():
        columns[f"group:{name}"] = pa.DictionaryArray.from_arrays(pa.array(group.codes), pa.array(group.levels))
    if predictions.scores.ndim == 1:
        columns["score"] = pa.array(predictions.scores)
    else:
        columns |= {f"score_{k}": pa.array(column) for k, column in enumerate(predictions.scores.T)}
    table = pa.table(columns).replace_schema_metadata({"rule": _RULE.dump_json(predictions.rule).decode()})
    pq.write_table(table, path)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote."""
    table = pq.read_table(path)
    groups = {}
    for name in table.column_names:
        if name.startswith("group:"):
            column = table[name].combine_chunks()
            groups[name.removeprefix("group:")] = GroupColumn(
                column.indices.to_numpy(), tuple(column.dictionary.to_pylist())
            )
    several = [name for name in table.column_names if name.startswith("score_")]
    scores = np.column_stack([table[name] for name in several]) if several else table["score"].to_numpy()
    rule = _RULE.validate_python(json.loads(table.schema.metadata[b"rule"]))
    return Predictions(rule, table["row_id"].to_numpy().astype(str), table["label"].to_numpy(), groups, scores)
