"""HTTP/1.1 as uvicorn speaks it, but with head and body of a response in one write, and no endless wait for a request.

Each write is a system call that may wake the other side; of a short answer's processor time the second one was a sixth.
uvicorn itself waits for ever for the first byte of a connection, and for the end of a request's head.
"""

from asyncio import AbstractEventLoop, Transport

from uvicorn.protocols.http.h11_impl import H11Protocol


class _Gathering:
    """A transport that writes once in a turn of the event loop what it was given in that turn."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport, self._loop, self._parts = transport, loop, []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


class GatheringProtocol(H11Protocol):
    """uvicorn's protocol over such a transport, for requests whose head comes within the time of keeping alive."""

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(_Gathering(transport, self.loop))
        self._wait(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        due = self.timeout_keep_alive_task
        super().data_received(data)
        if self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            # Still no whole head: what is left of the time is all there is.
            self._wait(max(0.0, due.when() - self.loop.time()) if due else self.timeout_keep_alive)

    def _wait(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)
