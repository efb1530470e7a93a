"""A proxy with users over a real registry."""

from components.encryption.bundle import open_bundle
from components.encryption.enrolment import Enrolment, Scheme
from components.encryption.user import make_user
from tasks.proxy import grant_for
from tasks.publication_store import (
    BUNDLE,
    LIVE_WORD,
    read_file,
)
from tasks.publications import publish_champion
from tasks.settings import Publishing
from tests.tasks.conftest import NAME, Place

QUICK = Scheme(bits=2048)


class Proxy(Place):
    """A place whose settings name a proxy's files, and users with keys."""

    def __init__(self, place: Place, folder, *, uri: str | None = None) -> None:
        publishing = Publishing(
            uri=uri,
            artifacts=str(folder / "published"),
            master=str(folder / "proxy" / "master.key"),
            users=str(folder / "proxy" / "users.json"),
        )
        super().__init__(place.settings.model_copy(update={"publishing": publishing}), place.digests)
        object.__setattr__(self, "users", {})
        object.__setattr__(self, "folder", folder)
        for name in ("ada", "bob"):
            grant_for(self.settings, name)
            self.users[name] = make_user(folder / name, name)
            self.enrolment.issue(self.users[name].card, days=30)

    @property
    def enrolment(self) -> Enrolment:
        return Enrolment(self.folder / "proxy" / "users.json")

    @property
    def store(self):
        from tasks.tracking import client_of

        return client_of(self.settings.published)

    def publish(self, *names: str, scheme: Scheme = QUICK):
        return publish_champion(self.client, self.settings, NAME, wanted=dict.fromkeys(names, scheme))

    def live(self, name: str) -> tuple[str, str, str] | None:
        """Version, epoch and source of what is live for a user."""
        found = self.store.get_registered_model(f"{NAME}-for-{name}").aliases.get("live")
        if found is None:
            return None
        tags = self.store.get_model_version(f"{NAME}-for-{name}", str(found)).tags
        return str(found), tags["troth.epoch"], tags["troth.source"]

    def opened(self, name: str, version: str):
        """What the user's client makes of a version."""
        found = self.store.get_model_version(f"{NAME}-for-{name}", version)
        bundle, word = read_file(self.store, self.settings, found, BUNDLE), found.tags[LIVE_WORD]
        return open_bundle(bundle, word, self.users[name], grant_for(self.settings, name), NAME)

    def previous(self, name: str) -> str:
        return str(self.store.get_registered_model(f"{NAME}-for-{name}").aliases["previous"])


def artifacts_of(proxy):
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    uri = proxy.store.get_model_version_download_uri(f"{NAME}-for-ada", "1")
    return [Path(unquote(urlsplit(uri).path))]
