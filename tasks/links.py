"""One click from Prefect to MLflow and back."""

import os

from tasks.references import Run
from tasks.settings import Settings


def mlflow_link(settings: Settings, run: Run) -> str:
    """Where the run's page is: on the tracking server, or on the one `troth up` serves."""
    base = settings.tracking_uri
    if not base.startswith("http"):
        base = f"http://{settings.server.host}:{settings.server.mlflow_port}"
    return f"{base.rstrip('/')}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"


def model_link(settings: Settings, name: str, version: str) -> str:
    """Where a registered version's page is."""
    base = settings.registry_uri
    if not base.startswith("http"):
        base = f"http://{settings.server.host}:{settings.server.mlflow_port}"
    return f"{base.rstrip('/')}/#/models/{name}/versions/{version}"


def prefect_link(settings: Settings, flow_run_id: str) -> str:
    """Where a flow run's page is."""
    api = os.environ.get("PREFECT_API_URL", "")
    base = api.removesuffix("/api") if api else f"http://{settings.server.host}:{settings.server.prefect_port}"
    return f"{base}/runs/flow-run/{flow_run_id}"
