"""XGBoost with all owners' rows in one place, as a program: what it takes from its start to its model.

`federated_boosting.py` starts it with the stores that its owners read. It reads them too, leaves out the same persons,
bins by the same edges, and trains on one thread; it checks nothing and keeps nothing.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import xgboost

from components.data.split import PARTS, split_of


def main(asked: dict) -> float:
    """Processor seconds of this process, when the model is there."""
    columns, labels = [], []
    for path in asked["stores"]:
        table = pq.read_table(path, use_threads=False)
        persons = table["id"].cast("string").to_numpy(zero_copy_only=False)
        trained = split_of(persons, asked["salt"], tuple(asked["shares"])) == PARTS.index("train")
        columns.append([table[name].to_numpy()[trained] for name in asked["features"]])
        labels.append(table["y"].to_numpy()[trained])
    matrix = np.empty((sum(map(len, labels)), len(asked["features"])), dtype=np.float32)
    for number in range(matrix.shape[1]):
        np.concatenate([part[number] for part in columns], out=matrix[:, number])
    del columns
    grid = grid_of(np.array(asked["edges"], dtype=np.float32), matrix.shape[1])
    binned = xgboost.QuantileDMatrix(matrix, np.concatenate(labels), ref=grid, max_bin=asked["bins"], nthread=1)
    xgboost.train(asked["settings"], binned, asked["trees"])
    return time.process_time()


def grid_of(edges: np.ndarray, features: int) -> xgboost.QuantileDMatrix:
    """A matrix whose cuts are these edges: of as many values as bins every one but the least is one."""
    grid = np.append(edges[0] - 1, edges)
    return xgboost.QuantileDMatrix(np.tile(grid[:, None], (1, features)), max_bin=len(grid), nthread=1)


if __name__ == "__main__":
    print(main(json.loads(Path(sys.argv[1]).read_text())))
