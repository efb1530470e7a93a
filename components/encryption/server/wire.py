"""HTTP/1.1 as uvicorn speaks it, but with head and body of a response in one write.

Each write is a system call that may wake the other side; of a short answer's processor time the second one was a sixth.
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
    """uvicorn's protocol over such a transport."""

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(_Gathering(transport, self.loop))
