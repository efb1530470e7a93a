"""For whom a version is meant that was not promoted: kept by the proxy, and honoured if a person promotes it after all.

A run that ends in HOLD publishes nothing, but its policy has said for whom it would have. That stands in `proxy/plans`,
and not in a tag, since whoever may write into the store of encrypted models must not add users.
"""

import hashlib
import json
import secrets
import time
from dataclasses import asdict
from pathlib import Path

from components.encryption.enrolment import Scheme
from components.secret_file import create_once
from tasks.proxy import enrolment_of
from tasks.settings import Settings


def keep_plan(settings: Settings, model: str, version: str, wanted: dict[str, Scheme]) -> None:
    """Remember for whom, and how, a version is to be encrypted once it is champion; for nobody: forget it."""
    before = _plans(settings, model)
    rest = {one: plan for one, plan in before.items() if one != version}
    after = rest | ({version: {user: asdict(scheme) for user, scheme in wanted.items()}} if wanted else {})
    if after != before:
        path = _path(settings, model)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        create_once(draft, json.dumps(after).encode())
        draft.replace(path)


def plan_of(settings: Settings, model: str, version: str) -> tuple[dict[str, Scheme], dict[str, Scheme]]:
    """For whom a version is meant: users with good keys, and those whose keys are not good any more."""
    meant = {user: Scheme(**plan) for user, plan in _plans(settings, model).get(version, {}).items()}
    now = time.time()
    active = {one.user for one in enrolment_of(settings).users() if one.state(now) == "active"}
    good = {user: scheme for user, scheme in meant.items() if user in active}
    return good, {user: scheme for user, scheme in meant.items() if user not in active}


def _plans(settings: Settings, model: str) -> dict[str, dict[str, dict]]:
    path = _path(settings, model)
    return json.loads(path.read_text()) if path.exists() else {}


def _path(settings: Settings, model: str) -> Path:
    name = hashlib.sha256(model.encode()).hexdigest()[:32]
    return Path(settings.publishing.users).parent / "plans" / f"{name}.json"
