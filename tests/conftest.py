"""What every test shares: a home of its own for the session, set before anything imports Prefect or MLflow."""

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="troth-tests-", ignore_cleanup_errors=True)
for _name in ("PREFECT_API_URL", "PREFECT_PROFILE", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "TROTH_CONFIG"):
    os.environ.pop(_name, None)
os.environ.update(
    TROTH_HOME=f"{_home.name}/home",
    PREFECT_HOME=f"{_home.name}/prefect",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="180",
    PREFECT_LOGGING_LEVEL="WARNING",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
)
