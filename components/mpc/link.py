"""One way between two parties: frames over a TLS connection that carries them in one direction, and back only the
acknowledgement that all were taken.

OpenSSL does not let two threads use a connection at once, so each direction has a connection of its own, with one
thread that writes or one that reads. The writer sends a heartbeat whenever it has been quiet, so that silence means a
party that is dead or stopped, and never one that computes. The reader takes what comes into memory until `limit` bytes
wait, then leaves the rest to TCP, which slows the sender down (and so shows it how fast the reader's program goes).
Large records need no help: OpenSSL splits a message into records of 16 KiB and reads into the caller's buffer.
"""

import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

HEADER = struct.Struct("<BxxxIQQ")
"""Kind, the sender's round, hash of the site, bytes that follow."""

DIRECT = 64 << 10
"""Messages up to this many bytes leave from the caller's thread, which spares a small round two thread switches."""

QUEUED = 64 << 20
"""Bytes that may wait in a writer before its caller does."""

HELD = 256 << 20
"""Bytes that may wait in a reader before the sender does."""

_AT_ONCE = 1 << 20


class Kind(IntEnum):
    HELLO = 1
    KEY = 2
    DATA = 3
    HEARTBEAT = 4
    ABORT = 5
    END = 6


_KINDS = frozenset(Kind)


class Frame(NamedTuple):
    """What a reader hands over."""

    kind: Kind
    round: int
    site: int
    content: memoryview


class LinkLost(Exception):
    """The other end is gone or silent; the text continues a sentence that begins with its name."""


class StoppedThere(LinkLost):
    """The other end gave up; the text is the whole sentence that says who failed and how."""


def write_frame(connection: ssl.SSLSocket, kind: Kind, content: bytes = b"") -> None:
    """Write a small frame."""
    connection.sendall(HEADER.pack(kind, 0, 0, len(content)) + content)


def read_frame(connection: ssl.SSLSocket, *, largest: int | None = None) -> Frame:
    """The next frame.

    Raises
    ------
    LinkLost
        The connection ended, stayed silent for its time-out, or carries something else.
    """
    kind, number, site, length = HEADER.unpack(_read(connection, bytearray(HEADER.size)))
    if kind not in _KINDS or (largest is not None and length > largest):
        raise LinkLost("sent something that is not Troth's; install one version everywhere")
    return Frame(kind, number, site, _read(connection, np.empty(length, dtype=np.uint8)))


def _read(connection: ssl.SSLSocket, buffer: bytearray | np.ndarray) -> memoryview:
    buffer, start = memoryview(buffer), 0
    try:
        while start < len(buffer):
            count = connection.recv_into(buffer[start:])
            if not count:
                raise LinkLost("closed the connection")
            start += count
    except TimeoutError:
        raise LinkLost(f"sent nothing for {connection.gettimeout():g} s") from None
    except OSError as error:
        raise LinkLost("closed the connection") from error
    return buffer


def cut(connection: socket.socket) -> None:
    """End a connection from any thread: whoever reads or writes on it wakes up."""
    # Not ssl's own method, which changes what the other thread is using.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Writer:
    """Sends frames in order; what is small or waits for nothing at once, the rest from a thread."""

    def __init__(self, connection: ssl.SSLSocket, *, heartbeat: float, lost: Callable[[LinkLost], None]):
        self.connection, self._heartbeat, self._lost = connection, heartbeat, lost
        self._queue: deque[tuple[bytes, memoryview]] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._last = time.monotonic()
        self._ending: Kind | None = None
        self._is_all_sent = False
        self.broken = False
        connection.settimeout(None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, content: memoryview, *, number: int = 0, site: int = 0, direct: bool = True) -> None:
        """Send a data frame; `content` must not change afterwards. Waits while too much is queued.

        Raises
        ------
        LinkLost
            The other end takes nothing any more.
        """
        header = HEADER.pack(Kind.DATA, number, site, len(content))
        if direct and not self._waiting and len(content) <= DIRECT and not self.broken:
            try:
                with self._writing:
                    self.connection.sendall(header + content)
                    self._last = time.monotonic()
                return
            except OSError:
                self._break()
        with self._changed:
            while self._waiting > QUEUED and not self._over:
                self._changed.wait()
            if self._over:
                raise LinkLost("closed the connection")
            self._queue.append((header, content))
            self._waiting += HEADER.size + len(content)
            self._changed.notify_all()

    def end(self, *, patience: float | None) -> bool:
        """Send what is queued, say that it was all, and wait until the other end has taken it; whether it has."""
        self._finish(Kind.END, b"", drop=False)
        self._thread.join(patience)
        return not self.broken and not self._thread.is_alive()

    def give_up(self, reason: str) -> None:
        """Say why nothing more will come, in place of what is queued, without waiting for it to be heard.

        Where all was sent there is nothing more to say, and the other end, which may be gone, is no longer waited for.
        """
        self._finish(Kind.ABORT, reason.encode(), drop=True)
        if self._is_all_sent:
            self.cut()

    def abort(self, reason: str, *, patience: float) -> None:
        """Say why nothing more will come, in place of what is queued, and end the connection."""
        self.give_up(reason)
        self._thread.join(patience)
        self.cut()

    def cut(self) -> None:
        """End the connection at once."""
        with self._changed:
            self.broken = True
            self._changed.notify_all()
        cut(self.connection)

    @property
    def _over(self) -> bool:
        return self.broken or self._ending == Kind.ABORT

    def _finish(self, kind: Kind, content: bytes, *, drop: bool) -> None:
        with self._changed:
            if drop:
                self._queue.clear()
            self._queue.append((HEADER.pack(kind, 0, 0, len(content)), memoryview(content)))
            self._ending = kind
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while not self.broken:
                with self._changed:
                    if not self._queue:
                        self._changed.wait(self._heartbeat)
                    frames, self._queue = self._queue, deque()
                    ending = self._ending
                with self._writing:
                    if frames:
                        self._write(frames)
                    elif time.monotonic() - self._last >= 0.9 * self._heartbeat:
                        write_frame(self.connection, Kind.HEARTBEAT)
                    else:
                        continue
                    self._last = time.monotonic()
                with self._changed:
                    self._waiting -= sum(HEADER.size + len(content) for _, content in frames)
                    self._changed.notify_all()
                if ending == Kind.END:
                    self._is_all_sent = True
                    # Somebody may have given up before it could be seen that all was sent.
                    if self._ending == Kind.END:
                        self._taken()
                if ending:
                    return
        except (OSError, LinkLost):
            self._break()
        finally:
            self.cut()
            with self._writing:
                self.connection.close()

    def _write(self, frames: deque[tuple[bytes, memoryview]]) -> None:
        # Small frames leave together; a large one from where it lies.
        together = bytearray()
        for header, content in frames:
            together += header
            if len(content) <= DIRECT:
                together += content
            if len(content) > DIRECT or len(together) > _AT_ONCE:
                self.connection.sendall(together)
                together = bytearray()
            if len(content) > DIRECT:
                self.connection.sendall(content)
        if together:
            self.connection.sendall(together)

    def _taken(self) -> None:
        # Not left to the kernel, which gives up on a receiver that takes its time after the sender's process is gone.
        if read_frame(self.connection).kind != Kind.END:
            raise LinkLost("closed the connection")

    def _break(self) -> None:
        with self._changed:
            first, self.broken = not self.broken, True
            self._changed.notify_all()
        if first:
            self._lost(LinkLost("closed the connection"))


class Reader:
    """Takes frames off a connection into `inbox`, as long as someone reads them there."""

    def __init__(
        self,
        connection: ssl.SSLSocket,
        inbox: SimpleQueue,
        *,
        timeout: float,
        lost: Callable[[LinkLost], None],
    ):
        self.connection, self.inbox, self._lost = connection, inbox, lost
        # Each counted by one thread, so that no frame needs a lock.
        self._came = self._used = 0
        self._room = threading.Event()
        connection.settimeout(timeout)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def took(self, size: int) -> None:
        """Say that `size` bytes of the inbox have been used."""
        self._used += size
        self._room.set()

    def wait(self, patience: float) -> None:
        """Wait until the other end has ended the link."""
        self._thread.join(patience)

    def cut(self) -> None:
        """End the connection at once."""
        self.took(1 << 62)
        cut(self.connection)

    def _run(self) -> None:
        try:
            while True:
                frame = read_frame(self.connection)
                match frame.kind:
                    case Kind.DATA:
                        self.inbox.put(frame)
                        self._came += len(frame.content)
                        while self._came - self._used > HELD:
                            self._room.wait()
                            self._room.clear()
                    case Kind.HEARTBEAT:
                        pass
                    case Kind.END:
                        self.inbox.put(frame)
                        write_frame(self.connection, Kind.END)
                        return
                    case Kind.ABORT:
                        raise StoppedThere(str(frame.content, "utf-8", "replace"))
                    case _:
                        raise LinkLost("sent a message out of order; install one version everywhere")
        except LinkLost as reason:
            self._lost(reason)
        except OSError:
            # Its last acknowledgement came too late for the other end, which had all it needed.
            pass
        except Exception as error:
            self._lost(LinkLost(f"sent what could not be taken ({type(error).__name__})"))
        finally:
            self.connection.close()
