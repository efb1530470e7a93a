"""Does the store answer? Asked before anything else, because MLflow itself keeps trying for minutes."""

import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from components.errors import InvalidInput
from tasks.settings import Settings

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_PATIENCE = 5.0  # seconds


def check_reachable(settings: Settings) -> None:
    """Return at once where the tracking and registry stores answer; a store in a local file always does.

    Raises
    ------
    InvalidInput
        One does not; names its address without the password.
    """
    for role, uri in {"tracking": settings.tracking_uri, "registry": settings.registry_uri}.items():
        address = urlsplit(uri)
        scheme = address.scheme.partition("+")[0]
        if address.hostname and not _answers(scheme, address.hostname, address.port, uri):
            shown = f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")
            raise InvalidInput(
                f"{role} server {shown} does not answer; start it with 'troth up' or set MLFLOW_{role.upper()}_URI"
            )


def _answers(scheme: str, host: str, port: int | None, uri: str) -> bool:
    try:
        if scheme in ("http", "https"):
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_PATIENCE).close()
        elif port := port or _PORTS.get(scheme):
            socket.create_connection((host, port), timeout=_PATIENCE).close()
    except urllib.error.HTTPError as error:
        # A login page or a proxy that hides /health is an answer; a proxy whose server is down is none.
        return error.code < 500
    except OSError:
        return False
    return True
