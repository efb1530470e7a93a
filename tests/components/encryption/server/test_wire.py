"""A connection that sends nothing, or never ends what it began, is closed; one that asks is not."""

import socket
import threading
import time

import pytest
import uvicorn

from components.encryption.server.wire import GatheringProtocol

PATIENCE = 0.5


@pytest.fixture
def port(http):
    config = uvicorn.Config(
        http.app, port=0, http=GatheringProtocol, timeout_keep_alive=PATIENCE, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def is_closed(wire: socket.socket) -> bool:
    wire.settimeout(10 * PATIENCE)
    try:
        return wire.recv(1000) == b""
    except TimeoutError:
        return False


HEAD = b"GET /v2/health/live HTTP/1.1\r\nhost: here\r\n"


def test_who_sends_nothing_is_let_go(port):
    with socket.create_connection(("127.0.0.1", port)) as wire:
        assert is_closed(wire)


@pytest.mark.parametrize("asked", [0, 1])
def test_a_head_that_never_ends_is_not_waited_for(port, asked):
    with socket.create_connection(("127.0.0.1", port)) as wire:
        for _ in range(asked):
            wire.sendall(HEAD + b"\r\n")
            assert b"200" in wire.recv(1000)
        wire.sendall(HEAD)
        # Each letter alone would be in time.
        assert not all(is_sent(wire) for _ in range(50))


def is_sent(wire: socket.socket) -> bool:
    time.sleep(PATIENCE / 5)
    try:
        return wire.send(b"a") == 1
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_who_asks_again_in_time_is_answered(port):
    with socket.create_connection(("127.0.0.1", port)) as wire:
        for _ in range(4):
            wire.sendall(HEAD + b"\r\n")
            assert b"200" in wire.recv(1000)
            time.sleep(PATIENCE / 2)
