"""Models of every kind, published once a session for two users, and rows that try every edge of float32."""

import asyncio
import io
import time
from dataclasses import dataclass
from functools import cache

import httpx
import numpy as np
import pytest
import xgboost

from components.boosting import model_digest
from components.encryption import IssuedKeys, Publication, issue, publish
from components.encryption.server.admission import Admission
from components.encryption.server.app import Limits, create_app
from components.encryption.server.observed import Log
from components.encryption.server.run import SHELF, SPENT
from components.encryption.server.shelf import Shelf
from components.encryption.server.spent import Quota, Spent, prepare_spent
from tests.components.encryption.trial_server import Asking, Stand

MASTER = bytes(range(32))
KINDS = ("binary", "multiclass", "regression", "dart", "vector intercept", "one-hot", "stumps", "constant")
_OBJECTIVES = {
    "multiclass": {"objective": "multi:softprob", "num_class": 3},
    "vector intercept": {"objective": "multi:softprob", "num_class": 3, "base_score": [0.3, -0.2, 1.5]},
    "regression": {"objective": "reg:squarederror"},
}
_SETTINGS = {
    "dart": {"booster": "dart", "rate_drop": 0.5, "one_drop": 1},
    "one-hot": {"max_cat_to_onehot": 20},
    "stumps": {"max_depth": 1},
    "constant": {"gamma": 1e9},
}
EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754942e-38, 3.4028235e38, -3.4028235e38]
"""Zeros, infinities, missing, the smallest and largest of denormal and normal numbers."""
CODES = [-1.0, -0.5, 0.0, 1.7, 3.0, 11.0, 12.0, 2.0**24, np.inf, np.nan]


@dataclass(frozen=True)
class Case:
    """A trained model, the rows it was trained on, and rows at the edges."""

    booster: xgboost.Booster
    rows: np.ndarray
    edges: np.ndarray

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """(n, K), by XGBoost."""
        return self.booster.inplace_predict(rows, predict_type="margin").reshape(len(rows), -1)

    def leaves(self, rows: np.ndarray) -> np.ndarray:
        """(n, T) leaf numbers, by XGBoost; infinities, which its matrix refuses, as the largest numbers."""
        finite = np.where(np.isinf(rows), np.copysign(np.float32(3.4028235e38), rows), rows)
        names, types = self.booster.feature_names, self.booster.feature_types
        matrix = xgboost.DMatrix(finite, feature_names=names, feature_types=types, enable_categorical=True, nthread=1)
        return self.booster.predict(matrix, pred_leaf=True).reshape(len(rows), -1).astype(int)


def train(kind: str, *, rounds: int = 6, seed: int = 0) -> Case:
    """Two numbers, a small whole number, twelve categories; a tenth of the values missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, 4)).astype(np.float32)
    rows[:, 2] = rng.integers(0, 5, 300)
    rows[:, 3] = rng.integers(0, 12, 300)
    signal = rows[:, 0] + 0.5 * (rows[:, 2] > 2) + (rows[:, 3] % 3) + 0.3 * rng.normal(size=300)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    label = {
        "multiclass": np.digitize(signal, [0.5, 1.8]),
        "vector intercept": np.digitize(signal, [0.5, 1.8]),
        "regression": 30 * signal + 1000,
    }.get(kind, (signal > 1).astype(int))
    settings = {"objective": "binary:logistic", "max_depth": 4, "max_cat_to_onehot": 2, "nthread": 1, "seed": seed}
    settings |= _OBJECTIVES.get(kind, {}) | _SETTINGS.get(kind, {})
    names = ["dose", "marker", "visits", "town"]
    matrix = xgboost.DMatrix(
        rows, label, feature_names=names, feature_types=["q", "q", "q", "c"], enable_categorical=True
    )
    booster = xgboost.train(settings, matrix, rounds)
    return Case(booster, rows, _edges(booster, rng))


def _edges(booster: xgboost.Booster, rng: np.random.Generator) -> np.ndarray:
    """Rows of thresholds, their neighbours and the edges of float32, in random company."""
    splits = booster.trees_to_dataframe()
    columns = []
    for name in booster.feature_names[:3]:
        cuts = splits[(splits.Feature == name)].Split.to_numpy(dtype=np.float32)
        near = [np.nextafter(cuts, np.float32(towards)) for towards in (-np.inf, np.inf)]
        values = np.concatenate([np.float32(EDGES), cuts, *near])
        columns.append(rng.choice(values, 400))
    columns.append(rng.choice(np.float32(CODES), 400))
    return np.stack(columns, axis=1).astype(np.float32)


def keys_of(booster: xgboost.Booster, user: str = "ada", *, bits: int = 2048, epoch: int = 1) -> IssuedKeys:
    return _issued(model_digest(booster), user, bits, epoch)


@cache
def _issued(model: str, user: str, bits: int, epoch: int) -> IssuedKeys:
    """Primes are searched for once a session."""
    return issue(MASTER, user=user, model=model, epoch=epoch, bits=bits)


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    return {kind: train(kind) for kind in KINDS}


@pytest.fixture(scope="session")
def published(cases):
    """A function: the publication of a case for a user, made once a session."""
    made = {}

    def get(
        kind: str, mode: str = "order", cut_points: str = "decoys", user: str = "ada", epoch: int = 1
    ) -> Publication:
        key = kind, mode, cut_points, user, epoch
        if key not in made:
            booster = cases[kind].booster
            made[key] = publish(booster, keys_of(booster, user, epoch=epoch), mode=mode, cut_points=cut_points)
        return made[key]

    return get


@pytest.fixture(scope="session")
def issued():
    """The function `keys_of`."""
    return keys_of


@pytest.fixture(scope="session")
def trained():
    """The function `train`."""
    return train


@pytest.fixture
def stand(tmp_path):
    """An empty shelf."""
    return Stand(tmp_path / "server" / SHELF)


@pytest.fixture
def http(stand):
    """A function that sends a request to a server over the stand's shelf, in this process; `http.log` is its log."""
    prepare_spent(stand.shelf.parent / SPENT, now=time.time() - 1)
    quota, log = Quota(rows_a_minute=1000, rows_a_day=1200), io.StringIO()
    admission = Admission(Shelf(stand.shelf), Spent(stand.shelf.parent / SPENT, quota, keep=180))
    app = create_app(admission, limits=Limits(most_bytes=2**20), log=Log(log))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")
    with asyncio.Runner() as runner:

        def plain(method: str, target: str, **options) -> httpx.Response:
            return runner.run(client.request(method, target, **options))

        def send(asking: Asking) -> httpx.Response:
            return plain(asking.method, asking.target, headers=asking.headers, content=asking.body)

        send.log, send.plain, send.app, send.admission = log, plain, app, admission
        yield send
