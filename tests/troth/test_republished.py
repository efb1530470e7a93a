"""A person's word about a champion reaches those who ask it encrypted: `troth promote` and `rollback` publish again."""

import pytest

MODEL = "people"


@pytest.fixture
def registry(grow, use, tmp_path):
    """A registry of its own in which version 1 is champion."""
    return use(grow(tmp_path))


@pytest.fixture
def grow(grow):
    return lambda folder: grow(folder, {})


def encrypted_source(name: str) -> str | None:
    """Which version of the plain model a user's live one was made of."""
    from tasks.publication_store import SOURCE, users_of
    from tasks.settings import load_settings
    from tasks.tracking import client_of

    store = client_of(load_settings().published)
    for found in users_of(store):
        if found.name == f"{MODEL}-for-{name}" and "live" in found.aliases:
            return store.get_model_version(found.name, str(found.aliases["live"])).tags[SOURCE]
    return None


def test_a_promotion_by_hand_and_a_rollback_publish_again(troth, registry, files, policy, quick):
    for name in ("ada", "bob"):
        assert troth("keys", "new", name).code == 0
        assert troth("keys", "issue", name, "--card", f"{name}/user.card").code == 0
    held = policy(minimum_rows=100_000, publish={"users": ["ada", "bob"], "bits": 2048})
    ran = troth("run", "tabular", *files(seed=3), "--policy", held, *quick)
    assert "HOLD" in ran.out
    assert (encrypted_source("ada"), encrypted_source("bob")) == (None, None)

    # Whom the policy lists is served though nobody asked this model before; who has no keys any more is named.
    assert troth("keys", "revoke", "bob").code == 0
    promoted = troth("promote", MODEL, "--reason", "reviewed with the clinic")
    assert promoted.code == 0, promoted.err
    assert f"{MODEL}-for-ada is live now" in promoted.out
    assert f"troth publish {MODEL} --user bob --mode order --bits 2048" in promoted.out
    assert (encrypted_source("ada"), encrypted_source("bob")) == (f"models:/{MODEL}/2", None)

    assert troth("rollback", MODEL, "--reason", "alerts doubled").code == 0
    assert encrypted_source("ada") == f"models:/{MODEL}/1"
    again = troth("promote", MODEL, 2, "--reason", "it was the sensor")
    assert again.code == 0
    assert encrypted_source("ada") == f"models:/{MODEL}/2"
    # Said once: bob was told of, and is not meant for ever.
    assert "bob" not in again.out
