"""Requests that no honest client sends, ten thousand in the slow run: each gets a 4xx, and nobody is told anything.

Neither in a response nor in the log stand another user's name, version or fingerprint, where files lie and what they
are called, or what was asked.
"""

import base64
import json
import random
import socket
import threading
import time

import pytest
import uvicorn

from components.encryption.server.spent import Quota
from tests.components.encryption.trial_server import MODEL, Asking, infer, infer_json, signed, user

ADA = user("ada")
SIGNED = ("troth-user", "troth-nonce", "troth-digest", "troth-signature")


def bent(rng: random.Random, query: bytes):
    """A request with one thing wrong, or several."""
    octets = bytearray(query)
    match rng.randrange(9):
        case 0:  # another header of the query
            octets[rng.randrange(24)] ^= 1 << rng.randrange(8)
            return infer(ADA, bytes(octets))
        case 1:  # cut off, or with more behind it
            end = rng.randrange(len(octets))
            return infer(ADA, bytes(octets[:end]) if rng.random() < 0.5 else query + rng.randbytes(end + 1))
        case 2:  # tokens of no category
            octets[24:] = rng.randbytes(len(octets) - 24)
            return infer(ADA, bytes(octets))
        case 3:  # another signature
            return infer(ADA, query).bent(troth_signature=rng.randbytes(64).hex())
        case 4:  # headers of anything
            name = rng.choice(["troth-user", "troth-time", "troth-nonce", "troth-digest", "troth-signature"])
            value = "".join(chr(rng.randrange(33, 127)) for _ in range(rng.randrange(80)))
            return infer(ADA, query).bent(**{name: value})
        case 5:  # a body of anything, signed
            body = rng.randbytes(rng.randrange(200))
            length = rng.choice(["", "0", str(rng.randrange(400)), "x", "9" * rng.randrange(1, 5000)])
            return signed(ADA, "POST", f"/v2/models/{MODEL}/infer", body, json_length=length)
        case 6:  # JSON of anything, signed
            return infer_json(ADA, anything(rng, 4))
        case 7:  # the wrong address or version
            tail = "".join(rng.choice("abz09.%-_~ü/") for _ in range(rng.randrange(1, 30)))
            place = rng.choice(["/v2/models/{}/infer", f"/v2/models/{MODEL}/versions/{{}}/infer", "/{}"])
            return signed(ADA, rng.choice(["POST", "GET", "PUT"]), place.format(tail.lstrip("/")), query)
        case _:  # the right document with one part replaced
            tensor = {"name": "query", "shape": [1], "datatype": "BYTES", "data": ["AAAA"]}
            tensor[rng.choice(list(tensor))] = anything(rng, 2)
            return infer_json(ADA, {"inputs": [tensor], "parameters": anything(rng, 2)})


def anything(rng: random.Random, depth: int):
    text = "".join(chr(rng.randrange(1, 900)) for _ in "abc")
    kinds = [None, True, rng.randrange(-(2**70), 2**70), rng.random(), text]
    if depth and rng.random() < 0.6:
        inner = [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
        names = ["inputs", "id", "outputs", "parameters", "data", "shape"]
        return inner if rng.random() < 0.5 else {rng.choice(names): one for one in inner}
    return rng.choice(kinds)


def octets_of(asking: Asking) -> set[str]:
    """The end of what was asked, as somebody might write it down; too little says nothing."""
    octets = asking.body[-24:]
    if len(octets) < 24:
        return set()
    encoded = {base64.b64encode(octets[start : start + 21]).decode() for start in range(3)}
    return {octets.hex(), octets.decode("latin-1"), str(octets)[2:-1], *encoded}


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("mode", "count"),
    [
        ("order", 450),
        ("hidden", 150),
        pytest.param("order", 8000, marks=SLOW),
        pytest.param("hidden", 2000, marks=SLOW),
    ],
)
def test_bent_requests(http, stand, published, cases, mode, count):
    kind = "multiclass" if mode == "order" else "stumps"
    publication, other = published(kind, mode), published(kind, mode, user="bob")
    ada = stand.publish("ada", publication, kind=kind)
    bob = stand.publish("bob", other, kind=kind, version="9073190731", epoch=8046280462)
    hidden = {bob.user, bob.version, str(bob.epoch), bob.fingerprint, bob.signs, bob.word, str(stand.shelf)}
    hidden |= {ada.signs, ada.word} | {digest for one in (ada, bob) for digest in (one.artifact, one.bundle)}
    # Each as long as it takes to be told from chance.
    hidden = {one[:32] for one in hidden} | {"Traceback", "components/"}
    http.admission.spent.quota = Quota(10**9, 10**9)
    query = publication.client.encrypt(cases[kind].rows[:1])
    rng, seen = random.Random(7), {}
    for _ in range(count):
        asking = bent(rng, query)
        response = http(asking)
        assert 400 <= response.status_code < 500, (asking, response.text)
        said = response.json()
        assert said["error"]
        seen[said["reason"]] = seen.get(said["reason"], 0) + 1
        told = response.text + str(response.headers) + http.log.getvalue()
        http.log.seek(0)
        http.log.truncate()
        assert '"fault"' not in told
        # What is shorter than a word stands in any sentence.
        typed = {one for one in map(asking.headers.get, SIGNED) if one and len(one) > 5}
        assert not [one for one in hidden | typed | octets_of(asking) if one in told], (asking, told)
    assert {"malformed", "unsigned", "signature", "wrong_key", "address", "method"} <= seen.keys(), seen
    for name, made in (("ada", publication), ("bob", other)):
        assert http(infer(user(name), made.client.encrypt(cases[kind].rows[:1]))).status_code == 200
    (line,) = (one for one in map(json.loads, http.log.getvalue().splitlines()) if one["user"] == "bob")
    # The planted words are where they may be.
    assert (line["version"], line["status"]) == (bob.version, 200)


@pytest.fixture
def port(http):
    """The same application behind a socket."""
    server = uvicorn.Server(uvicorn.Config(http.app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def test_noise_on_the_wire_ends_in_no_5xx(port):
    rng = random.Random(11)
    start = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: here\r\n".encode()
    for _ in range(400):
        noise = rng.randbytes(rng.randrange(1, 300))
        message = rng.choice([noise, start + noise, start + b"content-length: 9\r\n\r\n" + noise[:9], start + b"\r\n"])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
            wire.sendall(message)
            wire.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda wire=wire: _received(wire), b""))
        assert not answer or answer.startswith(b"HTTP/1.1 4"), answer


def _received(wire: socket.socket) -> bytes:
    try:
        return wire.recv(65536)
    except ConnectionResetError:
        return b""
