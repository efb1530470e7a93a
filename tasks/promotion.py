"""Who becomes champion: a gate's decision carried out, a person's override, and the way back.

Each is taken under the ledger's lock, against the champion it was meant for (compare and swap), and is written into the
ledger whatever it was: refusals too. Taking the same decision twice changes nothing the second time.
"""

from dataclasses import dataclass, replace

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from components.errors import InvalidInput
from components.gates.verdict import Decision, Verdict
from components.ledger import Action, Entry, Statement
from components.ledger.entry import statement_of
from tasks.promotion_steps import Desk, carry_out, describe, desk_of, point, release_challenger, this_person
from tasks.registry_artifact import altered, read_stored
from tasks.settings import Settings

ANYONE = "anyone"
"""Whoever is champion may be replaced."""

_SETTLED = (Action.PROMOTED, Action.HOLD, Action.REJECT, Action.REFUSE)


@dataclass(frozen=True)
class PromotionOutcome:
    """What became of a version.

    `action` is what the ledger's entry `sequence` records of it: promoted, rolled_back, hold, reject or refuse.
    `champion` is champion now, `replaced` was before; `changed` is False where nothing was left to do.
    """

    action: str
    version: str
    champion: str | None
    replaced: str | None
    sequence: int
    changed: bool
    why: str


def decide_promotion(
    client: MlflowClient,
    settings: Settings,
    *,
    name: str,
    version: str,
    verdict: Verdict,
    expected_champion: str | None,
    model_digest: str,
    schema_digest: str,
    data_digest: str,
    policy: str,
    policy_digest: str,
    who: str | None = None,
    why: str = "",
) -> PromotionOutcome:
    """Carry out a gate's verdict on `version`.

    PROMOTE makes it champion, and the old champion `previous`; HOLD makes it challenger; REJECT leaves it tagged with
    the reasons. A PROMOTE over any champion but `expected_champion`, against which the candidate was judged (None:
    there was none), is refused as stale. The digests are of the model, schema and data that the gate saw.

    Raises
    ------
    InvalidInput
        The store does not answer, the ledger is not sound, the version is missing or holds another model or
        schema than the one judged, or somebody moved the champion's alias outside the ledger. The champion stays where
        it was.
    """
    with desk_of(client, settings, name) as desk:
        judged = desk.require_version(version)
        _require_unchanged(desk, judged, model_digest, schema_digest, "judged")
        statement = Statement(
            action=Action(verdict.decision.lower()),
            version=version,
            replaces=desk.standing.champion if verdict.decision is Decision.PROMOTE else None,
            model_digest=model_digest,
            schema_digest=schema_digest,
            data_digest=data_digest,
            verdict=str(verdict.decision),
            policy=policy,
            policy_digest=policy_digest,
            reasons=verdict.reasons,
            run=judged.run_id or "",
            who=who or this_person(),
            why=why,
        )
        is_stale = verdict.decision is Decision.PROMOTE and expected_champion != desk.standing.champion
        if (earlier := _settled(desk, statement)) and (earlier.action is not Action.REFUSE or is_stale):
            return _outcome(desk, earlier, changed=desk.finished is not None)
        match verdict.decision:
            case Decision.PROMOTE if is_stale:
                entry = _refuse(desk, statement, expected_champion)
            case Decision.PROMOTE:
                desk.require_agreement()
                entry = carry_out(desk, statement)
            case Decision.HOLD:
                entry = _hold(desk, statement)
            case Decision.REJECT:
                entry = _reject(desk, statement)
        return _outcome(desk, entry)


def promote_by_hand(
    client: MlflowClient,
    settings: Settings,
    *,
    name: str,
    version: str,
    why: str,
    who: str | None = None,
    over: str | None = ANYONE,
) -> PromotionOutcome:
    """Make a version champion against the gate's verdict, on somebody's responsibility.

    `over` is the champion the person was shown (None: there was none); where another has taken its place since, the
    promotion is refused as stale. It also settles an alias that was moved outside the ledger: promoting the ledger's
    own champion puts it back.

    Raises
    ------
    InvalidInput
        No reason is given, no gate ever judged the version, it holds another model than the one judged, or as in
        `decide_promotion`.
    """
    _require_reason(why, "a promotion by hand")
    with desk_of(client, settings, name) as desk:
        found = desk.require_version(version)
        judged = _last_about(desk, version)
        if judged is None:
            raise InvalidInput(f"version {version} of model '{name}' was never judged; run its flow with a gate first")
        _require_unchanged(desk, found, judged.model_digest, judged.schema_digest, "judged")
        champion = desk.standing.champion
        if champion == version and _is_champion(desk, version):
            return _outcome(desk, desk.standing.reign[-1], changed=desk.finished is not None)
        said = replace(statement_of(judged, Action.OVERRIDE), replaces=champion, who=who or this_person(), why=why)
        if over not in (ANYONE, champion):
            return _outcome(desk, _refuse(desk, said, over))
        return _outcome(desk, carry_out(desk, said))


def rollback(
    client: MlflowClient, settings: Settings, *, name: str, why: str, who: str | None = None, leaving: str | None = None
) -> PromotionOutcome:
    """Give the champion's place back to the version it replaced; a second rollback goes one further back.

    Wherever the alias was moved outside the ledger, it goes to the version the ledger returns to.

    `leaving` is the champion to take down: where it is champion no longer, nothing happens, so that a retried rollback
    is not two. None stands for whoever is champion.

    Raises
    ------
    InvalidInput
        No reason is given, there is nothing to return to, that version was deleted or holds another model than it did,
        or as in `decide_promotion`.
    """
    _require_reason(why, "a rollback")
    with desk_of(client, settings, name) as desk:
        if desk.finished and desk.finished.action is Action.ROLLED_BACK:
            return _outcome(desk, desk.finished)
        reign = desk.standing.reign
        if leaving is not None and reign and reign[-1].version != leaving:
            return _outcome(desk, reign[-1], changed=False)
        if len(reign) < 2:
            raise InvalidInput(
                f"model '{name}' has no champion before {f'version {reign[-1].version}' if reign else 'this'} to roll "
                "back to; promote another version instead"
            )
        target, current = reign[-2], reign[-1]
        there = desk.require_version(target.version)
        _require_unchanged(desk, there, target.model_digest, target.schema_digest, "champion then")
        said = statement_of(target, Action.ROLLBACK)
        intent = replace(said, replaces=current.version, who=who or this_person(), why=why)
        return _outcome(desk, carry_out(desk, intent))


def _refuse(desk: Desk, statement: Statement, expected: str | None) -> Entry:
    champion = desk.standing.champion
    why = (
        f"stale: judged against {f'version {expected}' if expected else 'no champion'}, but "
        f"{f'version {champion}' if champion else 'nobody'} is champion now; give the same command again, to have it "
        "judged against that"
    )
    return desk.write(replace(statement, action=Action.REFUSE, why=why))


def _hold(desk: Desk, statement: Statement) -> Entry:
    # Effects first: the entry is the record of a decision that has been carried out, and until it is there the same
    # decision is simply taken again.
    describe(desk, statement)
    if desk.standing.champion != statement.version:
        point(desk, desk.settings.registry.aliases.challenger, statement.version)
    return desk.write(statement)


def _reject(desk: Desk, statement: Statement) -> Entry:
    describe(desk, statement)
    release_challenger(desk, statement.version, or_older=False)
    return desk.write(statement)


def _settled(desk: Desk, statement: Statement) -> Entry | None:
    """The entry by which the same verdict of the same run on the same version was carried out before."""
    same = (statement.version, statement.verdict, statement.run)
    return next(
        (e for e in reversed(desk.entries) if e.action in _SETTLED and (e.version, e.verdict, e.run) == same), None
    )


def _last_about(desk: Desk, version: str) -> Entry | None:
    return next((entry for entry in reversed(desk.entries) if entry.version == version), None)


def _require_unchanged(desk: Desk, found: ModelVersion, model_digest: str, schema_digest: str, when: str) -> None:
    """Raise `InvalidInput` unless the version holds that very model and reads its columns by that very schema."""
    what = f"version {found.version} of model '{desk.name}'"
    location = desk.client.get_model_version_download_uri(desk.name, str(found.version))
    stored = read_stored(desk.settings, location, what=what)
    if different := altered(stored, model_digest, schema_digest):
        part, holds, meant = different
        raise InvalidInput(
            f"{what} holds {part} {holds}, but {meant} was {when}; find out who changed the artifact, and register the "
            "model again"
        )


def _is_champion(desk: Desk, version: str) -> bool:
    alias = desk.settings.registry.aliases.champion
    return str(desk.client.get_registered_model(desk.name).aliases.get(alias)) == version


def _require_reason(why: str, what: str) -> None:
    if not why.strip():
        raise InvalidInput(f"{what} needs a reason; say why, it becomes part of the ledger")


def _outcome(desk: Desk, entry: Entry, *, changed: bool = True) -> PromotionOutcome:
    return PromotionOutcome(
        entry.action.value, entry.version, desk.standing.champion, entry.replaces, entry.sequence, changed, entry.why
    )
