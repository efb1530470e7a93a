"""One link: TLS 1.3, memory that stays bounded, and silence told from an end."""

import os
import socket
import threading
import time

import numpy as np
import pytest

from components.mpc import link
from components.mpc.link import Kind, LinkLost, Reader, Writer
from components.parties.certificates import tls_context
from components.parties.file import make_parties


@pytest.fixture
def pair(tmp_path):
    """A TLS connection: the end that dialled and the end that listened."""
    parties = make_parties(tmp_path / "pair", ["hospital", "insurer"])
    one, other = parties.owners
    server = socket.create_server(("127.0.0.1", 0))
    ends = {}

    def accept():
        context = tls_context(serve=True, certificate=other.certificate, key=other.key, authority=parties.authority)
        ends["listened"] = context.wrap_socket(server.accept()[0], server_side=True)

    thread = threading.Thread(target=accept)
    thread.start()
    context = tls_context(serve=False, certificate=one.certificate, key=one.key, authority=parties.authority)
    with context.wrap_socket(socket.create_connection(server.getsockname()), server_hostname="insurer") as dialled:
        thread.join()
        with ends["listened"] as listened:
            yield dialled, listened
    server.close()


def test_it_is_tls_1_3(pair):
    assert {end.version() for end in pair} == {"TLSv1.3"}


def test_a_reader_holds_no_more_than_its_limit_and_a_writer_waits(pair, monkeypatch):
    monkeypatch.setattr(link, "HELD", 4 << 20)
    monkeypatch.setattr(link, "QUEUED", 4 << 20)
    inbox = link.SimpleQueue()
    reader = Reader(pair[1], inbox, timeout=5, lost=lambda reason: inbox.put(reason))
    writer = Writer(pair[0], heartbeat=1, lost=lambda reason: None)
    block = np.frombuffer(os.urandom(1 << 20), dtype=np.uint8)
    sent = []

    def write():
        for number in range(40):
            writer.send(block.data, direct=False)
            sent.append(number)
        writer.end(patience=20)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(1)
    assert inbox.qsize() <= 6
    assert len(sent) < 40
    for _ in range(40):
        frame = inbox.get(timeout=5)
        assert frame.content == block.data
        reader.took(len(frame.content))
    assert inbox.get(timeout=5).kind == Kind.END
    thread.join(10)
    assert not thread.is_alive()


def test_silence_and_an_end_without_a_word_are_told_apart(pair):
    lost = link.SimpleQueue()
    Reader(pair[1], link.SimpleQueue(), timeout=0.5, lost=lost.put)
    assert "sent nothing for 0.5 s" in str(lost.get(timeout=5))

    pair[0].close()
    with pytest.raises(LinkLost, match="closed"):
        link.read_frame(pair[1])


def test_who_gives_up_waits_no_longer_for_an_end_that_took_all(pair):
    """Where the other end holds more than it reads, and is gone, it never says that it has taken the last."""
    writer, ended = Writer(pair[0], heartbeat=1, lost=lambda reason: None), []
    writer.send(memoryview(b"all there is"), direct=False)
    thread = threading.Thread(target=lambda: ended.append(writer.end(patience=None)))
    thread.start()
    while link.read_frame(pair[1]).kind != Kind.END:
        pass
    thread.join(0.5)
    assert thread.is_alive()
    writer.give_up("another party is lost")
    thread.join(20)
    assert ended == [False]
