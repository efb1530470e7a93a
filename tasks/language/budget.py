"""The budget of a data set: paid before anything is trained, remembered on the disk and in MLflow.

The ledger's file decides. A copy of its last entry is a tag of the pipeline's experiment, so that a file that was put
back to an older state, or lost, is noticed by whoever cannot change both; every payment is an artifact of its run too.
A data set is a name. Beside each ledger lie keyed digests of the texts that were trained on under it, and of who said
them, so that the same texts, or people to whom the promise is given, do not begin a second budget under another name by
mistake; it is no guard against who means to.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from mlflow import MlflowClient

from components.errors import InvalidInput
from components.language.learn import STATE
from components.privacy import Budget, BudgetLedger, Plan, Steps
from components.privacy.ledger import Entry
from components.privacy.likeness import ALIKE, most_alike, read_digests, write_digests
from components.privacy.steps import merged
from tasks.language.known import KINDS, TEXTS, USERS, text_key
from tasks.locks import waiting
from tasks.settings import Settings
from tasks.tracking import Stage, experiment_id

TICKET, TOLD, PAYMENT = "ticket", "told", "privacy_budget.json"
_LEDGER = ".jsonl"
_LOCK = "privacy-budgets"


def ledger_at(settings: Settings, name: str) -> BudgetLedger:
    """The ledger of the data set `name`, as it was begun."""
    return BudgetLedger.begun(settings.budgets / f"{quote(name, safe='')}{_LEDGER}")


def pay(
    client: MlflowClient,
    settings: Settings,
    here: Stage,
    name: str,
    budget: Budget | None,
    plan: Plan | None,
    *,
    trainings: int,
    folder: Path,
    known: Mapping[str, np.ndarray],
) -> tuple[BudgetLedger, Entry]:
    """Reserve `trainings` trainings by `plan` on the data set `name`, once for all that is kept in `folder`.

    Without budget and plan it is written down that a training is plain. What is kept in the folder is the right to go
    on: a stage that was cut off finds its ticket and pays nothing. One whose folder is gone, or what was kept of a
    candidate that somebody has seen, would train again, and pays again.

    Parameters
    ----------
    known
        Digests of the training texts and of their users, by kind.

    Raises
    ------
    InvalidInput
        The data set has less left, its ledger is not the one MLflow remembers, these are another data set's texts
        or people, or the key they are known by is gone.
    """
    # One at a time, so that an older head never replaces a newer one, nor two names share texts.
    with waiting(settings, _LOCK):
        ledger = ledger_at(settings, name)
        if budget:
            ledger = BudgetLedger(ledger.path, budget)
        _require_remembered(client, settings, name, ledger)
        ticket, seen = folder / TICKET, _seen(folder)
        kept = [candidate for candidate in seen if (folder / candidate / STATE).exists()]
        if not ticket.exists() or kept != seen:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            ticket.write_text(secrets.token_hex(4))
            (folder / TOLD).write_text("".join(f"{candidate}\n" for candidate in kept))
        payer = f"{here.run_id}/{ticket.read_text()}"
        entry = next((entry for entry in ledger.entries() if entry.run == payer), None)
        if entry is None:
            text_key(settings)
            _require_no_other_name(settings, name, known, unit=budget.unit if budget else "")
            if plan:
                steps = merged([Steps(one.noise, one.rate, one.count * trainings) for one in plan.steps])
                entry = ledger.reserve(payer, steps)
            else:
                entry = ledger.note_plain(payer)
        # After a crash all of it may be missing but the entry.
        for kind in KINDS:
            place = _digests_at(settings, name, kind)
            write_digests(place, np.union1d(read_digests(place), known[kind]))
        here.record(asdict(entry), PAYMENT)
        _remember(client, settings, name, ledger)
        return ledger, entry


def note_told(folder: Path) -> None:
    """Note beside the ticket that what was learnt in a candidate's `folder` is told: it must not begin anew unpaid."""
    if folder.name not in _seen(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder.parent / TOLD).open("a") as file:
            file.write(f"{folder.name}\n")
            file.flush()
            os.fsync(file.fileno())


def budgets(settings: Settings) -> dict[str, BudgetLedger]:
    """Every data set's ledger, by name; a damaged one says so when its entries are asked for."""
    begun = [path for path in sorted(settings.budgets.glob(f"*{_LEDGER}")) if b"\n" in path.read_bytes()]
    return {unquote(path.name.removesuffix(_LEDGER)): BudgetLedger.begun(path) for path in begun}


def _seen(folder: Path) -> list[str]:
    """Candidates of which something was told."""
    return (folder / TOLD).read_text().split() if (folder / TOLD).exists() else []


def _digests_at(settings: Settings, name: str, kind: str) -> Path:
    return settings.budgets / f"{quote(name, safe='')}.{kind}"


def _require_no_other_name(settings: Settings, name: str, known: Mapping[str, np.ndarray], *, unit: str) -> None:
    """Refuse texts of another name, and its users where either of the two budgets is theirs."""
    names = sorted({unquote(path.stem) for path in settings.budgets.glob(f"*.{TEXTS}")} - {name})
    for kind in KINDS:
        others = {
            other: read_digests(_digests_at(settings, other, kind))
            for other in names
            if kind != USERS or "user" in (unit, getattr(ledger_at(settings, other).budget, "unit", ""))
        }
        found = most_alike(known[kind], others)
        if found.share <= ALIKE:
            continue
        share, ours, theirs = f"{100 * found.share:.0f} %", f"training {kind} of '{name}'", f"data set '{found.name}'"
        said = {
            "ours": f"{share} of the {ours} were trained on as {theirs}",
            "theirs": f"{share} of the {kind} of {theirs} are among the {ours}",
            "all": f"{share} of the {ours} were trained on under other names, most of them as {theirs}",
        }
        raise InvalidInput(
            f"{said[found.of]}, whose budget they spend; use its name (--name {found.name}), or other {kind}"
        )


def _tag(name: str) -> str:
    """A tag's name that MLflow takes, and no other data set's."""
    return f"troth.budget.{quote(name, safe='').replace('%', ':').replace('~', ':7E')}"


def _remember(client: MlflowClient, settings: Settings, name: str, ledger: BudgetLedger) -> None:
    entries = ledger.entries()
    client.set_experiment_tag(experiment_id(client, settings, "language"), _tag(name), f"{len(entries)}:{ledger.head}")


def _require_remembered(client: MlflowClient, settings: Settings, name: str, ledger: BudgetLedger) -> None:
    tags = client.get_experiment(experiment_id(client, settings, "language")).tags
    known, _, head = tags.get(_tag(name), "0:").partition(":")
    entries = ledger.entries()
    if int(known) > len(entries) or int(known) and entries[int(known) - 1].hash != head:
        raise InvalidInput(
            f"budget ledger {ledger.path} lacks entry {known} that MLflow remembers; restore the file from a copy, "
            "or nobody can say what was spent"
        )
