"""Row alignment: what two and three sides have in common, and that what they send says nothing of the rest."""

import threading

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import InvalidInput
from components.mpc.intersection import PRIME, _multiplied, _to_curve, common_rows
from components.mpc.network import local_networks


def align(sides, exchange_of=lambda network: network.round):
    networks, _ = local_networks(len(sides), timeout=20)
    rows = {}

    def run(party):
        rows[party] = common_rows(sides[party], party, len(sides), exchange_of(networks[party]))

    threads = [threading.Thread(target=run, args=(party,)) for party in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [rows[party] for party in range(len(sides))], networks


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.text(max_size=2), unique=True, max_size=12), min_size=2, max_size=4))
def test_all_sides_find_the_common_ids_in_one_order(sides):
    rows, networks = align(sides)
    names = [[ids[row] for row in own] for ids, own in zip(sides, rows, strict=True)]
    assert all(other == names[0] for other in names)
    assert len(set(names[0])) == len(names[0])
    assert set(names[0]) == set.intersection(*map(set, sides))
    assert networks[0].traffic.rounds == len(sides) + 1


@pytest.mark.parametrize("parties", [2, 3])
def test_ids_of_one_side_appear_in_no_message(parties):
    sides = [[f"{party}-{k}" for k in range(40)] + ["both"] for party in range(parties)]
    seen = []

    def recording(network):
        def exchange(site, outgoing, incoming):
            seen.extend((site, bytes(content)) for content in outgoing.values())
            return network.round(site, outgoing, incoming)

        return exchange

    rows, _ = align(sides, recording)
    assert [own.tolist() for own in rows] == [[40]] * parties
    first = {bytes(content) for site, content in seen if site.endswith("masked")}
    seen.clear()
    align(sides, recording)
    again = {bytes(content) for site, content in seen if site.endswith("masked")}

    def points(messages):
        return {message[start : start + 32] for message in messages for start in range(0, len(message), 32)}

    # Fresh keys: no masked value comes twice, not even of the same id; and none is a bare hash.
    assert not points(first) & points(again)
    assert not points(first) & {_to_curve(name) for ids in sides for name in ids}


def test_the_order_sent_is_not_the_order_held(monkeypatch):
    class Key:
        generate = staticmethod(lambda: None)

    monkeypatch.setattr("components.mpc.intersection.X25519PrivateKey", Key)
    monkeypatch.setattr("components.mpc.intersection._multiplied", lambda key, points: list(points))
    sent = []

    def alone(site, outgoing, incoming):
        if site.endswith("sizes"):
            return {1: (0).to_bytes(8, "little")}
        sent.append(bytes(outgoing[1]))
        return {peer: memoryview(sent[0] if size else b"") for peer, size in incoming.items()}

    ids = [str(k) for k in range(200)]
    common_rows(ids, 0, 2, alone)
    places = [sent[0].index(_to_curve(name)) // 32 for name in ids]
    assert sorted(places) == list(range(200))
    assert abs(np.corrcoef(places, np.arange(200))[0, 1]) < 0.4


def test_keys_commute_and_points_lie_on_the_curve():
    one, other = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    points = [_to_curve(str(k)) for k in range(50)]
    assert len(set(points)) == 50
    both = _multiplied(one, _multiplied(other, points))
    assert both == _multiplied(other, _multiplied(one, points))
    for point in both + points:
        u = int.from_bytes(point, "little") % 2**255
        assert pow(u**3 + 486662 * u**2 + u, (PRIME - 1) // 2, PRIME) == 1


def test_an_id_held_twice_is_refused():
    with pytest.raises(InvalidInput, match="rows 1 and 3"):
        common_rows(["a", "b", "c", "b"], 0, 2, lambda *_: {})
