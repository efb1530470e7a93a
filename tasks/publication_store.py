"""How an encrypted version lies in the registry: its names, its tags, its files.

Files are an MLflow model from code (`published_model.py`), with the artifact, the sealed bundle and the leakage report
beside it. Nothing of it is secret, and nothing of it is run by Troth: both files are read as data and held to the
digests in the tags. A store that does not answer says nothing of a file: an error, where a file of another
digest is none.
"""

import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType
from mlflow.types import Schema as SignatureSchema

from tasks.settings import Settings
from tasks.tracking import experiment_id

OF, USER, SIGNS = "troth.encrypted_of", "troth.user", "troth.user_key"
STATE, EXPIRES, CHANGE = "troth.state", "troth.expires", "troth.change"
"""Tags of the registered model."""
SOURCE, SOURCE_DIGEST, SCHEMA = "troth.source", "troth.source_sha256", "troth.schema_digest"
SCHEME, EPOCH, FINGERPRINT, LEAKAGE = "troth.scheme", "troth.epoch", "troth.fingerprint", "troth.leakage"
ARTIFACT, BUNDLE, LIVE_WORD = "troth.artifact_sha256", "troth.bundle_sha256", "troth.live"
"""Tags of a version."""
LIVE, REVOKED = "live", "revoked"
FILES = {ARTIFACT: "artifacts/encrypted.npz", BUNDLE: "artifacts/bundle.sealed"}

_CODE = Path(__file__).with_name("published_model.py")
_PAGE = 1000


class FilesAway(ConnectionError):
    """The store of artifacts does not say what it has, which may pass."""


def users_of(client: MlflowClient, model: str | None = None) -> list[RegisteredModel]:
    """The registered models that hold encrypted versions: of one model, or of all."""
    found, token = [], None
    while True:
        page = client.search_registered_models(f"tags.`{OF}` != ''", max_results=_PAGE, page_token=token)
        # Names may hold quotes, which MLflow's filters cannot.
        found += [one for one in page if model is None or one.tags[OF] == model]
        if not (token := page.token):
            return found


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model, the newest first."""
    found = client.search_model_versions(f"name = '{name}'", max_results=_PAGE)
    return sorted(found, key=lambda one: int(one.version), reverse=True)


def store_version(
    client: MlflowClient, settings: Settings, name: str, files: Mapping[str, bytes], tags: Mapping[str, str]
) -> ModelVersion:
    """A new version of registered model `name` that holds `files`."""
    experiment = experiment_id(client, settings.published, "publish")
    logged = client.create_logged_model(experiment, name=name)
    with tempfile.TemporaryDirectory() as folder:
        places = {}
        for file, content in files.items():
            places[Path(file).stem] = str(Path(folder) / file)
            Path(places[Path(file).stem]).write_bytes(content)
        places["model"] = places.pop("encrypted")
        _save(
            Path(folder) / "model",
            places,
            model=Model(artifact_path=logged.artifact_location, model_id=logged.model_id),
            metadata=dict(tags),
        )
        client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    # An embedded store would look for models:/ID in the process's own tracking store (mlflow 3.17).
    is_server = settings.published.registry_uri.startswith("http")
    source = {"source": f"models:/{logged.model_id}", "model_id": logged.model_id}
    return client.create_model_version(
        name, **(source if is_server else {"source": logged.artifact_location}), tags=dict(tags)
    )


def _save(path: Path, places: Mapping[str, str], *, model: Model, metadata: dict[str, str]) -> None:
    columns = [SignatureSchema([ColSpec(DataType.binary, name)]) for name in ("query", "answer")]
    with warnings.catch_warnings():
        # An example of a query would need the user's keys.
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(_CODE),
            artifacts=dict(places),
            signature=ModelSignature(*columns),
            mlflow_model=model,
            # Left to itself, MLflow infers the requirements by loading the model in a process of its own. Troth is
            # none: it would be fetched by its name, which anybody may publish under.
            pip_requirements=[f"mlflow=={mlflow.__version__}"],
            metadata=metadata,
        )


def read_file(client: MlflowClient, settings: Settings, version: ModelVersion, tag: str) -> bytes | None:
    """The file that the tag names the digest of; None where it is missing or another.

    Raises
    ------
    FilesAway
        The store does not answer, or has the file and does not hand it out.
    """
    location = client.get_model_version_download_uri(version.name, str(version.version))
    stores = settings.published
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = download_artifacts(
                artifact_uri=f"{location}/{FILES[tag]}",
                dst_path=folder,
                tracking_uri=stores.tracking_uri,
                registry_uri=stores.registry_uri,
            )
            content = Path(path).read_bytes()
        except (OSError, MlflowException) as error:
            if _is_missing(location, FILES[tag], stores.tracking_uri):
                return None
            # The error itself may name an address with a password.
            raise FilesAway(
                f"{FILES[tag]} of version {version.version} of {version.name} cannot be fetched "
                f"({type(error).__name__}); see that the store of artifacts answers, then try again"
            ) from None
    return content if hashlib.sha256(content).hexdigest() == version.tags.get(tag) else None


def _is_missing(location: str, file: str, tracking_uri: str) -> bool:
    """Whether the store answers and says that it has no such file: stores' own errors do not tell this from silence."""
    try:
        found = list_artifacts(artifact_uri=f"{location}/{Path(file).parent}", tracking_uri=tracking_uri)
    except (OSError, MlflowException):
        return False
    return Path(file).name not in {Path(one.path).name for one in found}
