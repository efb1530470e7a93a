"""Whom the proxy has issued keys to: one file of cards, epochs and ends, of which nothing is secret.

The keys themselves are nowhere: they follow from the master secret, the user, the model and the epoch. So a rotation is
the next epoch, and a revocation a word; both take effect when the models are published again. Which models a user may
ask, and how they are encrypted, stands here alone: the store of encrypted models is not asked, as its server is not
trusted.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from components.durable import flush
from components.encryption.user import Card, require_name
from components.errors import InvalidInput

DAY = 86400.0


@dataclass(frozen=True)
class Scheme:
    """How a model is encrypted."""

    mode: str = "order"
    bits: int = 3072
    cut_points: str = "decoys"


@dataclass(frozen=True)
class Asked:
    """A model that a user may ask: its scheme, and the key that is live since the change `serial`."""

    scheme: Scheme
    fingerprint: str
    serial: int


@dataclass(frozen=True)
class Enrolled:
    """A user; times in seconds since 1970."""

    card: Card
    epoch: int
    issued: float
    expires: float
    revoked: bool = False
    models: dict[str, Asked] = field(default_factory=dict)

    @property
    def user(self) -> str:
        return self.card.user

    def state(self, now: float) -> str:
        """'active', 'expired' or 'revoked'."""
        return "revoked" if self.revoked else "expired" if now >= self.expires else "active"


@dataclass(frozen=True)
class Enrolment:
    """The proxy's file of users; every change is on the disk, whole, before a method returns."""

    path: Path

    def users(self) -> list[Enrolled]:
        """Everyone, by name.

        Raises
        ------
        InvalidInput
            The file is damaged.
        """
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return []
        try:
            found = json.loads(text)
            return [_enrolled(user, found[user]) for user in sorted(found)]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidInput(f"{self.path} is no list of users; restore it from a backup") from None

    def find(self, user: str) -> Enrolled:
        """One user, or `InvalidInput` where there is no such."""
        for one in self.users():
            if one.user == user:
                return one
        raise _unknown(user)

    def issue(self, card: Card, *, days: float, after: int = 0, now: float | None = None) -> Enrolled:
        """Enrol a user, or one who was revoked again, at the next epoch; the same card again changes nothing.

        `after` is the last epoch that is known elsewhere, which a list restored from a backup may have forgotten: keys
        of an epoch are derived, and those of a used one would be the old ones.

        Raises
        ------
        InvalidInput
            The user is there with another card, or is revoked and has models that were not withdrawn yet, which a thief
            of the old keys could ask for ever.
        """
        require_name(card.user)
        now = time.time() if now is None else now
        with self._held() as users:
            before = users.get(card.user)
            if before and not before.revoked:
                if before.card == card:
                    return before
                raise InvalidInput(
                    f"user '{card.user}' has keys on another card; if the user made new keys, revoke the old ones first"
                )
            if before and before.models:
                left = ", ".join(sorted(before.models))
                raise InvalidInput(
                    f"user '{card.user}' is revoked, but models are not withdrawn yet ({left}); "
                    f"finish it with 'troth keys revoke {card.user}', then issue the new keys"
                )
            epoch = max(before.epoch if before else 0, after) + 1
            users[card.user] = Enrolled(card, epoch, now, now + days * DAY)
            return users[card.user]

    def rotate(self, user: str, *, days: float | None, after: int = 0, now: float | None = None) -> Enrolled:
        """The next epoch of a user, and the one after `after`; without `days` the keys end when they did.

        Raises
        ------
        InvalidInput
            There is no such user, or the user is revoked.
        """
        now = time.time() if now is None else now
        with self._held() as users:
            before = _of(users, user)
            if before.revoked:
                raise InvalidInput(
                    f"user '{user}' is revoked; issue keys again with 'troth keys issue {user} --card FILE'"
                )
            expires = before.expires if days is None else now + days * DAY
            users[user] = replace(before, epoch=max(before.epoch, after) + 1, issued=now, expires=expires)
            return users[user]

    def revoke(self, user: str) -> Enrolled:
        """End a user's access; the same again changes nothing."""
        with self._held() as users:
            users[user] = replace(_of(users, user), revoked=True)
            return users[user]

    def goes_live(
        self, user: Enrolled, model: str, scheme: Scheme, fingerprint: str, *, now: float | None = None
    ) -> int | None:
        """Note that a user may ask `model` so from here on; the number of this change, larger than all before.

        None, and nothing is noted, where the user was revoked or has other keys than `user` says.
        """
        now = time.time() if now is None else now
        with self._held() as users:
            found = users.get(user.user)
            if found is None or found.revoked or (found.card, found.epoch) != (user.card, user.epoch):
                return None
            before = found.models.get(model)
            serial = before.serial if before else 0
            if before is None or before.fingerprint != fingerprint:
                # The time, so that a list restored from a backup does not count anew.
                serial = max(serial + 1, int(now))
            asked = Asked(scheme, fingerprint, serial)
            users[user.user] = replace(found, models=found.models | {model: asked})
            return serial

    def withdrawn(self, user: str, model: str) -> None:
        """Note that a user may ask `model` no more."""
        with self._held() as users:
            found = _of(users, user)
            users[user] = replace(found, models={name: one for name, one in found.models.items() if name != model})

    @contextmanager
    def _held(self) -> Iterator[dict[str, Enrolled]]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            users = {one.user: one for one in self.users()}
            before = dict(users)
            yield users
            if users != before:
                self._write(users)
        finally:
            os.close(handle)

    def _write(self, users: dict[str, Enrolled]) -> None:
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        document = {user: _facts(one) for user, one in users.items()}
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        # A user taken off must not be back after a power cut.
        flush(self.path.parent)


def _of(users: dict[str, Enrolled], user: str) -> Enrolled:
    if user not in users:
        raise _unknown(user)
    return users[user]


def _unknown(user: str) -> InvalidInput:
    return InvalidInput(f"user '{user[:80]}' has no keys; see 'troth keys list', and 'troth keys issue'")


def _facts(one: Enrolled) -> dict:
    return asdict(one) | {"card": {"opens": one.card.opens.hex(), "signs": one.card.signs.hex()}}


def _enrolled(user: str, facts: dict) -> Enrolled:
    card = Card(user, *(bytes.fromhex(facts["card"][name]) for name in ("opens", "signs")))
    models = {
        model: Asked(Scheme(**one["scheme"]), one["fingerprint"], one["serial"])
        for model, one in facts.get("models", {}).items()
    }
    return Enrolled(**{**facts, "card": card, "models": models})
