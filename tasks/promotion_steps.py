"""How a champion changes hands without a moment in which nobody could say who it is.

The intent goes into the ledger, then the aliases move, then the completion goes into the ledger. Whatever step a crash
cuts off, the pending intent says what was meant, and every step can be taken again; so whoever comes next, under the
same lock, takes them to the end (write-ahead logging: Gray and Reuter, Transaction Processing, 1993, chapter 9).
"""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.errors import InvalidInput
from components.ledger import Action, Entry, Ledger, Standing, Statement, signing_key, standing
from components.ledger.entry import statement_of
from tasks.promotion_ledger import examine, ledger_of, mirror_head, registered_model
from tasks.registry import POLICY, POLICY_DIGEST, REASONS, VERDICT
from tasks.registry_reach import check_reachable
from tasks.settings import Settings

_ENDS = {
    Action.PROMOTE: Action.PROMOTED,
    Action.OVERRIDE: Action.PROMOTED,
    Action.ROLLBACK: Action.ROLLED_BACK,
}


@dataclass
class Desk:
    """One model's ledger, locked and sound, with everything begun before now finished.

    `finished` is the entry that ended a transition some crash had left half-done, None where there was none.
    """

    client: MlflowClient
    settings: Settings
    name: str
    ledger: Ledger
    entries: tuple[Entry, ...]
    finished: Entry | None = None

    @property
    def standing(self) -> Standing:
        return standing(self.entries)

    def write(self, statement: Statement) -> Entry:
        """Append a statement, signed, and have the registry remember it."""
        keys = self.settings.registry.ledger
        entry = self.ledger.append(statement, signing_key(Path(keys.private_key), Path(keys.public_key)))
        self.entries = (*self.entries, entry)
        mirror_head(self.client, entry)
        return entry

    def find_version(self, version: str) -> ModelVersion | None:
        """The version as the registry has it, None where it has none."""
        try:
            return self.client.get_model_version(self.name, version)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None

    def require_version(self, version: str) -> ModelVersion:
        """The version, or `InvalidInput` where the registry has none."""
        found = self.find_version(version)
        if found is None:
            raise InvalidInput(f"model '{self.name}' has no version {version}; give one that is registered")
        return found

    def require_agreement(self) -> None:
        """Raise `InvalidInput` unless the champion's alias is where the ledger says it is."""
        alias = self.settings.registry.aliases.champion
        at, meant = registered_model(self.client, self.name).aliases.get(alias), self.standing.champion
        if (at and str(at)) != meant:
            raise InvalidInput(
                f"alias '{alias}' of model '{self.name}' is at version {at or 'none'}, the ledger says "
                f"{meant or 'none'}; settle it by promoting one of them by hand, or by a rollback, with the reason"
            )


@contextmanager
def desk_of(client: MlflowClient, settings: Settings, name: str) -> Iterator[Desk]:
    """Lock the ledger of `name`, verify it, finish what a crash left half-done, and hand it over.

    Raises
    ------
    InvalidInput
        A store does not answer, there is no such model, or the ledger is not sound.
    """
    check_reachable(settings)
    ledger = ledger_of(settings, name)
    with ledger.lock():
        found = examine(client, settings, name)
        found.require_sound()
        desk = Desk(client, settings, name, ledger, found.entries)
        if not found.is_mirrored:
            mirror_head(client, found.entries[-1])
        if pending := found.standing.pending:
            desk.finished = _finish(desk, pending)
        yield desk


def carry_out(desk: Desk, intent: Statement) -> Entry:
    """Write the intent, move the aliases, write the completion."""
    return _complete(desk, desk.write(intent))


def describe(desk: Desk, statement: Statement) -> None:
    """Tag the version with its verdict and what it rests on."""
    for tag, value in {
        VERDICT: statement.verdict,
        REASONS: "; ".join(statement.reasons)[:1000],
        POLICY: statement.policy,
        POLICY_DIGEST: statement.policy_digest,
    }.items():
        desk.client.set_model_version_tag(desk.name, statement.version, tag, value)


def point(desk: Desk, alias: str, version: str | None) -> None:
    """Put an alias on a version; with None, or a version that was deleted, on none."""
    if version is not None and desk.find_version(version):
        desk.client.set_registered_model_alias(desk.name, alias, version)
    else:
        desk.client.delete_registered_model_alias(desk.name, alias)


def release_challenger(desk: Desk, version: str, *, or_older: bool) -> None:
    """Take the challenger's alias off a version that is none any more, or off an older one that it has overtaken."""
    alias = desk.settings.registry.aliases.challenger
    at = registered_model(desk.client, desk.name).aliases.get(alias)
    if at is not None and (str(at) == version or or_older and int(at) < int(version)):
        desk.client.delete_registered_model_alias(desk.name, alias)


def this_person() -> str:
    """The operating system's name for whoever runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"uid {os.getuid()}"


def _finish(desk: Desk, pending: Entry) -> Entry:
    if desk.find_version(pending.version):
        return _complete(desk, pending)
    _point_at(desk, desk.standing)
    return desk.write(statement_of(pending, Action.ABANDON))


def _complete(desk: Desk, intent: Entry) -> Entry:
    end = _ENDS[intent.action]
    _point_at(desk, desk.standing.after(replace(intent, action=end)))
    if end is Action.PROMOTED:
        release_challenger(desk, intent.version, or_older=True)
    describe(desk, intent)
    return desk.write(statement_of(intent, end))


def _point_at(desk: Desk, meant: Standing) -> None:
    aliases = desk.settings.registry.aliases
    point(desk, aliases.previous, meant.previous)
    point(desk, aliases.champion, meant.champion)
