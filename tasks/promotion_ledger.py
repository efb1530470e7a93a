"""The ledger and the registry held side by side: what each says of a model, and whether they agree.

The ledger's head is mirrored as tags of the registered model, so that entries cut off the ledger are missed. Reading
needs no lock and no private key: aliases and tags are read between two readings of the ledger, and read again when a
promotion went by in between.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from components.errors import InvalidInput
from components.ledger import Entry, Finding, Head, Ledger, Standing, TrustedKeys, standing, trusted_keys, verify
from tasks.settings import Settings

SEQUENCE_TAG, HEAD_TAG = "troth.ledger.sequence", "troth.ledger.head"
_ATTEMPTS = 20


@dataclass(frozen=True)
class Examination:
    """What the ledger and the registry say of a model.

    `findings` is empty when the ledger is sound. `standing` is who should be champion, `aliases` (alias → version) who
    is. `entries` are the readable ones, in order; `mirror` is the last one as the registry remembers it.
    """

    name: str
    findings: tuple[Finding, ...]
    entries: tuple[Entry, ...]
    standing: Standing
    aliases: dict[str, str]
    mirror: Head

    @property
    def is_mirrored(self) -> bool:
        """Whether the registry remembers the last entry."""
        return not self.entries or self.mirror == Head(self.entries[-1].sequence, self.entries[-1].hash)

    def require_sound(self) -> None:
        """Raise `InvalidInput` about the first finding, if there is one."""
        if self.findings:
            first, more = self.findings[0], len(self.findings) - 1
            others = f" (and {more} more findings)" if more else ""
            raise InvalidInput(
                f"entry {first.sequence} of the promotion ledger of model '{self.name}': {first.detail}{others}; "
                "restore the ledger from a backup, or correct what was changed by hand"
            )


def ledger_of(settings: Settings, name: str) -> Ledger:
    """The ledger of registered model `name`."""
    return Ledger(Path(settings.registry.ledger.path), name)


def examine(client: MlflowClient, settings: Settings, name: str) -> Examination:
    """Verify the ledger of `name` against the public keys and the registry's memory of its head.

    Raises
    ------
    InvalidInput
        There is no such registered model, or no public key to verify its entries with.
    """
    ledger = ledger_of(settings, name)
    readings = ledger.read()
    for _ in range(_ATTEMPTS):
        registered = registered_model(client, name)
        again = ledger.read()
        if again == readings:
            break
        readings = again
    keys = trusted_keys(Path(settings.registry.ledger.public_key)) if readings else TrustedKeys({})
    mirror = _mirror(registered)
    entries = tuple(reading.entry for reading in readings if reading.entry)
    return Examination(
        name=name,
        findings=verify(readings, model=name, keys=keys, mirror=mirror),
        entries=entries,
        standing=standing(entries),
        aliases={alias: str(version) for alias, version in registered.aliases.items()},
        mirror=mirror,
    )


def registered_model(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model, or `InvalidInput` where there is none."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = [one.name for one in client.search_registered_models()]
        close = get_close_matches(name, known, n=1)
        advice = f"did you mean '{close[0]}'?" if close else "run a flow that registers one"
        raise InvalidInput(f"there is no registered model '{name}'; {advice}") from None


def mirror_head(client: MlflowClient, entry: Entry) -> None:
    """Have the registry remember `entry` as the ledger's last."""
    client.set_registered_model_tag(entry.model, HEAD_TAG, entry.hash)
    client.set_registered_model_tag(entry.model, SEQUENCE_TAG, str(entry.sequence))


def _mirror(registered: RegisteredModel) -> Head:
    sequence = registered.tags.get(SEQUENCE_TAG, "0")
    return Head(int(sequence) if sequence.isdecimal() else -1, registered.tags.get(HEAD_TAG, Head().hash))
