"""The stages: each a Prefect task that reads references, calls components, and records what came out in MLflow.

Whoever imports any part of this package has Prefect's and MLflow's telemetry off before either is imported.
"""

import os

for _name, _value in {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A model from the registry must never run code of its own when it is loaded.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}.items():
    os.environ.setdefault(_name, _value)
