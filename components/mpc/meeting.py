"""How the members of a run find one another: each dials those it will send to and welcomes those it will hear.

A member that is not there yet is waited for; one that shows a wrong certificate, another version or another agreement
ends the meeting at once with the sentence that says so. A caller without a certificate of the project is turned away
and otherwise ignored, so that nobody outside can stop a run.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from components.mpc.hello import Hello, decode, difference
from components.mpc.link import Frame, Kind, LinkLost, cut, read_frame, write_frame
from components.mpc.network import PartyLost
from components.mpc.randomness import KEY_BYTES
from components.parties.certificates import tls_context
from components.parties.file import Owner, Parties

_HELLO_BYTES = 64 << 20
_HANDSHAKE = 10.0
_RETRY = 0.2
_LINGER = 1.0


class PartyStopped(PartyLost):
    """Another party gave up and said why: its sentence, handed on."""


@dataclass(frozen=True)
class Met:
    """A connection made: to `name` (dialled) or from it; `key` is what came with or goes to the dealer's."""

    name: str
    dialled: bool
    connection: ssl.SSLSocket
    hello: Hello
    key: bytes | None = None


class Meeting:
    """One member's part in finding all others; `dial` and `await_from` are the names to send to and to hear."""

    def __init__(
        self,
        parties: Parties,
        hello: Hello,
        *,
        dial: list[str],
        await_from: list[str],
        listener: socket.socket | None,
        keys: dict[str, bytes] | None = None,
    ):
        self.parties, self.hello, self._keys = parties, hello, keys or {}
        self._dial, self._await, self._listener = dial, await_from, listener
        self._events: SimpleQueue[Met | PartyLost] = SimpleQueue()
        self._notes: dict[str, str] = {}
        self._welcomed: set[str] = set()
        self._over, self._closing = threading.Event(), threading.Lock()
        self._reason: PartyLost | None = None
        member = parties.member(hello.name)
        files = {"certificate": member.certificate, "key": member.key, "authority": parties.authority}
        self._dialling = tls_context(serve=False, **files)
        self._serving = tls_context(serve=True, **files)

    def gather(self, met: Callable[[Met], None], failure: Callable[[], PartyLost | None]) -> dict[str, Hello]:
        """Tell `met` of every connection as it is made; when all are, the others' hellos by name.

        Raises
        ------
        PartyLost
            Somebody did not come in time, or should not take part; or `failure` reports that one is gone again.
        """
        for name in self._dial:
            self._start(self._call, name)
        if self._listener is not None:
            self._start(self._answer)
        missing = {(name, True) for name in self._dial} | {(name, False) for name in self._await}
        hellos: dict[str, Hello] = {}
        deadline = time.monotonic() + self.parties.gather
        try:
            while missing:
                if lost := failure():
                    raise lost
                if time.monotonic() > deadline:
                    raise self._absent(sorted(name for name, _ in missing)[0])
                try:
                    event = self._events.get(timeout=_RETRY)
                except Empty:
                    continue
                if isinstance(event, PartyLost):
                    raise event
                met(event)
                if hellos.setdefault(event.name, event.hello).session != event.hello.session:
                    raise PartyLost(
                        f"{self._title(event.name)} started again while the others gathered; start all again"
                    )
                missing.remove((event.name, event.dialled))
            return hellos
        except PartyLost as reason:
            self._reason = reason
            # Who is about to call meets the same trouble here, and need not wait for somebody who will not come.
            if self._listener is not None:
                time.sleep(_LINGER)
            raise
        finally:
            with self._closing:
                self._over.set()
            if self._listener is not None:
                cut(self._listener)
                self._listener.close()
            while not self._events.empty():
                if isinstance(late := self._events.get(), Met):
                    self._turn_away(late)

    def _start(self, target: Callable, *arguments) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _title(self, name: str) -> str:
        return self.parties.title(name)

    def _absent(self, name: str) -> PartyLost:
        notes = "; ".join(note for who, note in self._notes.items() if who in (name, ""))
        return PartyLost(
            f"{self._title(name)} did not come within {self.parties.gather:g} s{notes and f' ({notes})'}; "
            "start it, or correct its address in parties.yaml"
        )

    def _check(self, theirs: Hello) -> None:
        if apart := difference(theirs, self.hello):
            raise PartyLost(f"{self._title(theirs.name)} {apart}")

    def _call(self, name: str) -> None:
        while not self._over.is_set():
            try:
                self._offer(self._dialled(name, self.parties.member(name)))
                return
            except PartyLost as reason:
                self._events.put(reason)
                return
            except ssl.SSLCertVerificationError as error:
                self._events.put(
                    PartyLost(
                        f"{self._title(name)} shows a certificate that is not its own or not of this project's "
                        f"authority ({error.verify_message}); give every machine files of one 'troth parties init'"
                    )
                )
                return
            except (OSError, LinkLost) as error:
                if refused := _alert(error):
                    self._events.put(
                        PartyLost(
                            f"{self._title(name)} refused the certificate of '{self.hello.name}' ({refused}); "
                            "give every machine files of one 'troth parties init'"
                        )
                    )
                    return
                self._notes[name] = (getattr(error, "strerror", None) or str(error)).lower()
                self._over.wait(_RETRY)

    def _dialled(self, name: str, owner: Owner) -> Met:
        raw = socket.create_connection((owner.address, owner.port), timeout=_HANDSHAKE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with _closed_on_failure(self._dialling.wrap_socket(raw, server_hostname=name)) as connection:
            write_frame(connection, Kind.HELLO, self.hello.encode())
            frame = read_frame(connection, largest=_HELLO_BYTES)
            if frame.kind == Kind.ABORT:
                raise PartyStopped(str(frame.content, "utf-8", "replace"))
            theirs = self._read_hello(frame, [name])
            self._check(theirs)
            if name in self._keys:
                write_frame(connection, Kind.KEY, self._keys[name])
            return Met(name, True, connection, theirs, self._keys.get(name))

    def _answer(self) -> None:
        while not self._over.is_set():
            try:
                raw, place = self._listener.accept()
            except OSError:
                # Closed, because all are here or somebody will not come.
                return
            self._start(self._welcome, raw, place[0])

    def _welcome(self, raw: socket.socket, address: str) -> None:
        try:
            raw.settimeout(_HANDSHAKE)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with _closed_on_failure(self._serving.wrap_socket(raw, server_side=True)) as connection:
                self._offer(self._received(connection))
        except PartyLost as reason:
            self._events.put(reason)
        except (OSError, LinkLost) as error:
            # Anybody may knock; what they did wrong is only told if someone is missing in the end.
            self._notes[""] = f"a caller from {address} was turned away: {_alert(error) or str(error).lower()}"
        finally:
            # Of use where the handshake failed; else the connection has taken it over.
            raw.close()

    def _received(self, connection: ssl.SSLSocket) -> Met:
        names = [value for kind, value in connection.getpeercert().get("subjectAltName", ()) if kind == "DNS"]
        frame = read_frame(connection, largest=_HELLO_BYTES)
        try:
            theirs = self._read_hello(frame, names)
            if theirs.name in self._welcomed:
                raise LinkLost(f"{self._title(theirs.name)} takes part already; run it once")
        except (PartyLost, LinkLost) as reason:
            with suppress(OSError):
                write_frame(connection, Kind.ABORT, str(reason).encode())
            raise
        write_frame(connection, Kind.HELLO, self.hello.encode())
        self._check(theirs)
        key = None
        if theirs.name == self.parties.dealer.name:
            given = read_frame(connection, largest=KEY_BYTES)
            if given.kind != Kind.KEY or len(given.content) != KEY_BYTES:
                raise PartyLost(f"{self._title(theirs.name)} gave no key; install one version everywhere")
            key = bytes(given.content)
        self._welcomed.add(theirs.name)
        return Met(theirs.name, False, connection, theirs, key)

    def _offer(self, met: Met) -> None:
        with self._closing:
            if not self._over.is_set():
                self._events.put(met)
                return
        self._turn_away(met)

    def _turn_away(self, met: Met) -> None:
        # The other end holds the connection for made, and would otherwise only see it close.
        if met.dialled and self._reason is not None:
            with suppress(OSError):
                write_frame(met.connection, Kind.ABORT, str(self._reason).encode())
        met.connection.close()

    def _read_hello(self, frame: Frame, names: list[str]) -> Hello:
        """The hello of a frame that came from whoever has a certificate with these names."""
        who = ", ".join(map(repr, names)) or "nobody"
        try:
            if frame.kind != Kind.HELLO:
                raise ValueError
            theirs = decode(bytes(frame.content))
        except ValueError:
            raise PartyLost(f"{who} speaks another protocol; install one version of troth everywhere") from None
        if names != [theirs.name] or theirs.name not in {*self._dial, *self._await}:
            raise PartyLost(
                f"who says it is '{theirs.name}' shows the certificate of {who}; "
                "give each machine its own certificate and key"
            )
        return theirs


@contextmanager
def _closed_on_failure(connection: ssl.SSLSocket) -> Iterator[ssl.SSLSocket]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _alert(error: BaseException) -> str | None:
    """What the other end had against our certificate, or we against its; None for any other trouble."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    if error is None:
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = error.reason or ""
    return reason.lower().replace("_", " ") if "ALERT" in reason or "CERTIFICATE" in reason else None
