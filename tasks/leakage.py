"""The leakage report of a publication: attacks run against the very artifact before it goes into the registry.

Nobody's rows are needed: queries are made up within the model's range. Where another user's artifact of the same model
is published already, the two are compared. An artifact above a bound is not published: it was made wrongly.
"""

import json
from dataclasses import replace

from mlflow import MlflowClient

from components.encryption import LeakageReport, Publication, leakage_report, read_model
from components.encryption.made_up import made_up_rows
from components.errors import InvalidInput
from tasks.publication_store import ARTIFACT, SOURCE_DIGEST, read_file, users_of
from tasks.settings import Settings


def measured_leakage(
    client: MlflowClient, settings: Settings, made: Publication, *, model: str, name: str, digest: str
) -> LeakageReport:
    """The report of a publication of `model` into registered model `name`.

    Raises
    ------
    InvalidInput
        An attack succeeds beyond its bound.
    """
    rows = made_up_rows(made.forest)
    report = leakage_report(made, rows, other=_of_another(client, settings, made, model, name, digest))
    for leak in report.leaks:
        if not leak.is_within:
            raise InvalidInput(
                f"'{name}' would leak more than it may ({leak.name}: {leak.success:.3g}, at most {leak.bound:.3g}); "
                "rotate the user's keys and publish again"
            )
    return report


def summary(report: LeakageReport) -> str:
    """A report as a tag: of each attack its success and its bound, if it has one."""
    leaks = {leak.name: [round(leak.success, 4), leak.bound and round(leak.bound, 4)] for leak in report.leaks}
    return json.dumps({"within_bounds": report.within_bounds, "leaks": leaks})


def _of_another(
    client: MlflowClient, settings: Settings, made: Publication, model: str, name: str, digest: str
) -> Publication | None:
    """The same model as published for another user; of it only the artifact is known here."""
    alias = settings.publishing.live
    for other in users_of(client, model):
        version = other.aliases.get(alias)
        if other.name == name or version is None:
            continue
        found = client.get_model_version(other.name, str(version))
        if found.tags.get(SOURCE_DIGEST) == digest and (content := read_file(client, settings, found, ARTIFACT)):
            artifact = read_model(content)
            if type(artifact) is type(made.model):
                return replace(made, model=artifact)
    return None
