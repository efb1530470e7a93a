"""XGBoost's own federated mode as an oracle: the same rows at the same three owners, on the same bins.

Of this there is nothing in the product: it sends sums in the open, and later wheels are without it.
"""

import json
import multiprocessing
import socket
import time

import numpy as np
import pytest
import xgboost

from components.boosting.federated.model import model_of
from components.boosting.histogram import bin_table
from components.boosting.model import from_document
from components.boosting.pooled import predict_margins
from tests.components.boosting.federated.conftest import dealt, parts_of

pytestmark = pytest.mark.slow

SETTINGS = {"objective": "binary:logistic", "eta": 0.3, "max_depth": 3, "max_bin": 256, "nthread": 1}


def serve(port: int) -> None:
    from xgboost.federated import run_federated_server

    run_federated_server(3, port, timeout=60)


def own(rank: int, port: int, codes: np.ndarray, labels: np.ndarray, kinds: list[str], widest: int, models) -> None:
    with xgboost.collective.CommunicatorContext(
        dmlc_communicator="federated",
        federated_server_address=f"127.0.0.1:{port}",
        federated_world_size=3,
        federated_rank=rank,
    ):
        about = {"feature_types": kinds, "enable_categorical": True, "max_bin": 256}
        grid = np.tile(np.arange(widest, dtype=np.float32)[:, None], (1, codes.shape[1]))
        grid = np.where(grid < np.nanmax(codes, axis=0) + 1, grid, np.nan)
        cuts = xgboost.QuantileDMatrix(grid, np.zeros(len(grid)), **about)
        matrix = xgboost.QuantileDMatrix(codes, labels, ref=cuts, **about)
        model = xgboost.train(SETTINGS, matrix, 4)
        if rank == 0:
            models.put(bytes(model.save_raw("json")))


def test_the_model_is_that_of_xgboosts_own_federated_mode(federate, agreement, joint):
    assert xgboost.build_info()["USE_FEDERATED"], "the wheel is not the locked one: its federated mode is missing"
    table = joint(1500)
    agreed, parts = agreement(table.schema, rounds=4), dealt(table, 3)
    together = federate(agreed, parts)
    cuts = agreed.terms(together.progress.terms).cuts
    context = multiprocessing.get_context("spawn")
    models, processes = context.Queue(), []
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = context.Process(target=serve, args=(port,))
    server.start()
    try:
        wait_for(port)
        for rank, part in enumerate(parts):
            rows, _ = parts_of(agreed, part)
            bins = bin_table(rows, cuts)
            codes = np.where(bins == cuts.bins, np.nan, bins).astype(np.float32)
            given = (rank, port, codes, rows.labels, cuts.feature_types, cuts.widest, models)
            processes.append(context.Process(target=own, args=given))
            processes[-1].start()
        peer = from_document(json.loads(models.get(timeout=90)))
    finally:
        for process in (*processes, server):
            process.join(10 if process is not server else 0)
            process.kill()
    rows, _ = parts_of(agreed, table)
    bins = bin_table(rows, cuts)
    codes = np.where(bins == cuts.bins, np.nan, bins).astype(np.float32)
    matrix = xgboost.DMatrix(codes, feature_types=cuts.feature_types, enable_categorical=True)
    ours = predict_margins(model_of(agreed, together.progress), rows)
    np.testing.assert_allclose(ours, peer.predict(matrix, output_margin=True), atol=2e-5)


def wait_for(port: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("XGBoost's server did not come")
