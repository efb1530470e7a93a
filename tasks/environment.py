"""The environment Prefect and MLflow read when they are imported: embedded, quiet, and telling nobody anything.

Both libraries take their settings from environment variables at import, so this runs first in every process. What a
user has set stays as it is, except that telemetry is off unless they ask for it by name.
"""

import json
import os
import urllib.request
from pathlib import Path

from components.errors import InvalidInput
from components.secret_file import close_to_others
from tasks.settings import Settings

_DEFAULTS = {
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    # Left alone, MLflow asks a server that has died for minutes before it says so.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A bar for each file that is read in place.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_CLI_PROMPT": "false",
    # The embedded server migrates its database on the first start, which takes long on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "GIT_PYTHON_REFRESH": "quiet",
}


def prepare_environment(settings: Settings) -> None:
    """Set what is not set; with a server of ours running on this machine, talk to it.

    Raises
    ------
    InvalidInput
        The home is not there and cannot be made.
    """
    try:
        # Predictions, logs and errors speak of people; nobody else on this machine reads them.
        settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except PermissionError:
        raise
    except OSError as error:
        raise InvalidInput(
            f"the home {settings.root} cannot be made ({(error.strerror or str(error)).lower()}); set TROTH_HOME to a "
            "folder that can be written to"
        ) from None
    keys = settings.root / "keys"
    for private in (settings.root, keys, *keys.glob("*.key")):
        close_to_others(private)
    defaults = _DEFAULTS | {"PREFECT_HOME": str(settings.root / "prefect")}
    if not os.environ.get("PREFECT_HOME") and (address := running_prefect(settings)):
        defaults["PREFECT_API_URL"] = address
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_TRACKING_URI"] = settings.tracking_uri
    os.environ["MLFLOW_REGISTRY_URI"] = settings.registry_uri


def running_file(settings: Settings) -> Path:
    """Where `troth up` notes the addresses it serves."""
    return settings.root / "up.json"


def running_prefect(settings: Settings) -> str | None:
    """The API address of the Prefect server `troth up` started here, when it answers."""
    try:
        address = json.loads(running_file(settings).read_text())["prefect_api"]
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return address if answer.status == 200 else None
    except (OSError, ValueError, KeyError):
        return None


def require_prefect() -> None:
    """Check that a Prefect server named by the user answers; without one an embedded server is used.

    Raises
    ------
    InvalidInput
        PREFECT_API_URL is set and nothing answers there.
    """
    if not (address := os.environ.get("PREFECT_API_URL")):
        return
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=5):
            return
    except (OSError, ValueError):
        raise InvalidInput(
            f"the Prefect server {address} does not answer; start it with 'troth up', or unset PREFECT_API_URL"
        ) from None
