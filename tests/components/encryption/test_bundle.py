"""A bundle goes by way of a server that may do with it what it wants, and opens for one user alone."""

import numpy as np
import pytest

from components.encryption import Malformed, WrongKey
from components.encryption.bundle import live_word, make_bundle, open_bundle, proxy_key, read_terms
from tests.components.encryption.trial_server import GRANT, MASTER, MODEL, grant, schema_of, terms_of, user


@pytest.fixture(scope="module", params=["order", "hidden"])
def made(request, published):
    publication = published("multiclass", request.param)
    terms = terms_of("ada", publication)
    bundle = make_bundle(terms, publication.client, schema_of("multiclass"), user("ada").card, proxy_key(MASTER))
    return publication, terms, bundle


def word(terms, serial: int = 7, master: bytes = MASTER) -> str:
    return live_word(terms, serial, proxy_key(master))


def test_the_user_gets_the_very_keys(made, cases):
    publication, terms, bundle = made
    opened = open_bundle(bundle, word(terms), user("ada"), grant("ada"), MODEL)

    assert (opened.terms, opened.serial) == (terms, 7)
    assert read_terms(bundle, GRANT) == terms
    assert opened.schema == schema_of("multiclass")
    rows = cases["multiclass"].rows[:2]
    answer = publication.model.answer(opened.client.encrypt(rows))
    np.testing.assert_allclose(opened.client.decrypt(answer), cases["multiclass"].margins(rows), atol=1e-4)


def test_nobody_else_opens_it(made):
    _, terms, bundle = made
    with pytest.raises(WrongKey, match="ada"):
        open_bundle(bundle, word(terms), user("bob"), grant("bob"), MODEL)
    with pytest.raises(WrongKey, match="other"):
        open_bundle(bundle, word(terms), user("ada"), grant("ada"), "other")


def test_a_bundle_needs_the_proxys_word_that_this_very_one_is_live(made, published):
    _, terms, bundle = made
    others = word(terms_of("ada", published("binary")))
    later = word(terms).replace("7 ", "8 ", 1)
    for wrong in (others, later, word(terms, master=b"s" * 32), word(terms)[:-2], "7 zz"):
        with pytest.raises(WrongKey, match="not signed"):
            open_bundle(bundle, wrong, user("ada"), grant("ada"), MODEL)
    for wrong in ("", "seven " + word(terms)[2:], "-7" + word(terms)[1:], "9" * 5000):
        with pytest.raises(Malformed, match="live"):
            open_bundle(bundle, wrong, user("ada"), grant("ada"), MODEL)


def test_a_bundle_of_the_servers_own_is_not_believed(made):
    publication, terms, _ = made
    forged = make_bundle(terms, publication.client, schema_of("multiclass"), user("ada").card, proxy_key(b"s" * 32))
    with pytest.raises(WrongKey, match="not signed"):
        open_bundle(forged, word(terms), user("ada"), grant("ada"), MODEL)


def test_no_changed_octet_goes_unnoticed(made):
    _, terms, bundle = made
    places = [*range(0, 300), *range(300, len(bundle), len(bundle) // 40)]
    for place in places:
        changed = bytearray(bundle)
        changed[place] ^= 1
        with pytest.raises((Malformed, WrongKey)):
            open_bundle(bytes(changed), word(terms), user("ada"), grant("ada"), MODEL)


@pytest.mark.parametrize("content", [b"", b"TrU1", b"TrU1" + bytes(4), b"TrU1" + b"\xff" * 80, bytes(500)])
def test_what_is_no_bundle_is_refused(content):
    with pytest.raises((Malformed, WrongKey)):
        open_bundle(content, "7 00", user("ada"), grant("ada"), MODEL)
