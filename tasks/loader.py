"""Models out of the registry, for whoever serves or compares with them: raw columns in, probabilities out.

A champion is only handed out when the ledger stands behind it: the alias is where the last completed transition put it
(or, while one is pending, where it was or is going), the entry is signed with a trusted key in an unbroken chain, and
the model and schema that were just read have the digests the entry names. Nothing stored with the model is executed.

Other references (`@previous`, `@challenger`, a version number) promise nothing and are loaded for comparison; they are
held to the digests noted when they were registered, which anyone who may edit the registry can change.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xgboost
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.boosting import predict
from components.data.frame import features_of
from components.data.schema import Schema
from components.errors import InvalidInput
from components.ledger import Action
from tasks.promotion_ledger import Examination, examine, registered_model
from tasks.registry import MODEL_DIGEST, SCHEMA_DIGEST
from tasks.registry_artifact import StoredLanguageModel, altered, read_stored
from tasks.registry_reach import check_reachable
from tasks.settings import Settings, load_settings
from tasks.tracking import client_of

_CROWNED = (Action.PROMOTED, Action.ROLLED_BACK)
_URI = re.compile(r"models:/(?P<name>[^/@:]+)(@(?P<alias>[^/@]+)|/(?P<version>\d+))")


class RefusedModel(InvalidInput):
    """The registry names a model that nothing vouches for; the message is one sentence that says what is amiss."""


@dataclass(frozen=True)
class LoadedModel:
    """A model together with the schema by which it reads columns."""

    name: str
    version: str
    run_id: str
    schema: Schema
    booster: xgboost.Booster
    model_digest: str

    def predict(self, data: pd.DataFrame) -> np.ndarray:
        """Scores of rows in the schema's raw columns; others are ignored.

        Probabilities of the positive class (n,), of each class (n, K), or the predicted value (n,) for regression.

        Raises
        ------
        InvalidInput
            Feature columns are missing, or a numeric one holds something else; names them.
        """
        return predict(self.booster, features_of(data, self.schema, model=self.name))


@dataclass(frozen=True)
class LoadedLanguageModel:
    """A language model together with where it is from; `model` is a `components.language.model.LanguageModel`."""

    name: str
    version: str
    run_id: str
    model: object
    model_digest: str

    def answer(self, texts: Sequence[str]) -> pd.DataFrame:
        """What the model says of each text: intent, score, scores (intent → probability) and slots.

        Raises
        ------
        InvalidInput
            A text is empty.
        """
        from components.language.told import answers_to

        return pd.DataFrame(answers_to(self.model, texts))


def load(uri: str, settings: Settings | None = None) -> LoadedModel | LoadedLanguageModel:
    """The model at `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises
    ------
    InvalidInput
        The address is not of that form or points nowhere, or the store does not answer.
    RefusedModel
        It points at a model that the ledger (for the champion) or its own digests do not vouch for.
    """
    address = _URI.fullmatch(uri)
    if address is None:
        raise InvalidInput(f"'{uri}' is not a registered model's address; use models:/NAME@champion or models:/NAME/3")
    settings = settings or load_settings()
    check_reachable(settings)
    client = client_of(settings)
    name, alias, version = address["name"], address["alias"], address["version"]
    if alias == settings.registry.aliases.champion:
        registered_model(client, name)
        champion = champion_of(client, settings, name)
        if champion is None:
            raise InvalidInput(f"model '{name}' has no champion yet; promote a version first")
        return champion
    return _without_promise(client, settings, name, version or _at_alias(client, name, alias))


def champion_of(client: MlflowClient, settings: Settings, name: str) -> LoadedModel | LoadedLanguageModel | None:
    """The champion of `name`, which the ledger vouches for; None where there is neither an alias nor a ledger's word.

    Raises
    ------
    RefusedModel
        There is a champion, or should be one, and the ledger does not stand behind what the registry has.
    """
    if not client.search_registered_models(f"name = '{name}'"):
        return None
    found = _sound(client, settings, name)
    alias = settings.registry.aliases.champion
    version, meant = found.aliases.get(alias), found.standing.champion
    if version is None and meant is None:
        return None
    entry = found.standing.backing(version) if version else None
    if entry is None:
        raise RefusedModel(
            f"alias '{alias}' of model '{name}' is at version {version or 'none'}, but the promotion ledger made "
            f"{f'version {meant}' if meant else 'none'} champion; somebody moved it, settle it by promoting by hand"
        )
    return _read(client, settings, name, version, entry.model_digest, entry.schema_digest, by=f"entry {entry.sequence}")


def past_champion(
    client: MlflowClient, settings: Settings, name: str, version: str
) -> LoadedModel | LoadedLanguageModel:
    """A version that is or was champion, held to what the ledger says it was.

    Raises
    ------
    RefusedModel
        The ledger is not sound, never made that version champion, or names another model.
    """
    entries = _sound(client, settings, name).entries
    entry = next((one for one in reversed(entries) if one.version == version and one.action in _CROWNED), None)
    if entry is None:
        raise RefusedModel(f"version {version} of model '{name}' was never made champion by the promotion ledger")
    return _read(client, settings, name, version, entry.model_digest, entry.schema_digest, by=f"entry {entry.sequence}")


def _sound(client: MlflowClient, settings: Settings, name: str) -> Examination:
    try:
        found = examine(client, settings, name)
        found.require_sound()
    except InvalidInput as error:
        raise RefusedModel(str(error)) from None
    return found


def _without_promise(
    client: MlflowClient, settings: Settings, name: str, version: str
) -> LoadedModel | LoadedLanguageModel:
    try:
        tags = client.get_model_version(name, version).tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InvalidInput(f"model '{name}' has no version {version}; give one that is registered") from None
    noted = tags.get(MODEL_DIGEST), tags.get(SCHEMA_DIGEST)
    return _read(client, settings, name, version, *noted, by="its registration")


def _at_alias(client: MlflowClient, name: str, alias: str) -> str:
    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            raise
        raise InvalidInput(f"model '{name}' has no version at alias '{alias}'; set it, or give a version") from None


def _read(
    client: MlflowClient,
    settings: Settings,
    name: str,
    version: str,
    model_meant: str | None,
    schema_meant: str | None,
    *,
    by: str,
) -> LoadedModel | LoadedLanguageModel:
    """The version, if it holds what `by` says it does."""
    what = f"version {version} of model '{name}'"
    stored = read_stored(settings, client.get_model_version_download_uri(name, version), what=what)
    if found := altered(stored, model_meant, schema_meant):
        part, holds, meant = found
        raise RefusedModel(
            f"{what} holds {part} {holds}, but {by} names {meant}; find out who changed it, and roll back or register "
            "it again"
        )
    run_id = client.get_model_version(name, version).run_id or ""
    if isinstance(stored, StoredLanguageModel):
        return LoadedLanguageModel(name, version, run_id, stored.model(), stored.model_digest)
    return LoadedModel(name, version, run_id, stored.schema, stored.booster(), stored.model_digest)
