"""The cable between a device and the network: a TCP relay that can be pulled.

Each lab server listens on a port of its own on loopback and is reached through a cable that listens on the public port. So every
protocol is unplugged in the same way, whatever its server library can do, and the device behind goes on living.
"""

import asyncio
from contextlib import suppress
from typing import cast


class _Wire(asyncio.Protocol):
    """One direction pair of a relayed connection: what comes in here goes out at `peer`."""

    def __init__(self, cable: "Cable", peer: "_Wire | None" = None) -> None:
        self._cable = cable
        self._peer = peer
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._cable.wires.add(self)
        if self._cable.silent:
            self.transport.pause_reading()
        if self._peer is None:
            self._cable.reach(self)

    def join(self, peer: "_Wire") -> None:
        """Connect to the far side; what came before it was there goes out now."""
        self._peer = peer
        if peer.transport and self.transport and self.transport.is_closing():
            peer.transport.close()
        elif peer.transport:
            peer.transport.writelines(self._early)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._peer and self._peer.transport:
            self._peer.transport.write(data)
        else:
            self._early.append(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self._peer and self._peer.transport:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer and self._peer.transport and not self._cable.silent:
            self._peer.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self._cable.wires.discard(self)
        if self._peer and self._peer.transport:
            self._peer.transport.close()

    def abort(self) -> None:
        """Drop the connection without a farewell."""
        if self.transport:
            self.transport.abort()


class Cable:
    """Relays connections from a public port to a server's own port, both on loopback.

    Args:
        port: public port; 0 picks a free one.

    Attributes:
        inner: the server's own port, set when it is known.
        port: the public port; the one picked once plugged.
        silent: whether everything is held back.
        wires: both ends of each connection.
    """

    HOST = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self.inner = 0
        self._server: asyncio.Server | None = None
        self._reaching: set[asyncio.Task[None]] = set()
        self.wires: set[_Wire] = set()
        self.silent = False

    async def plug(self) -> None:
        """Listen; nothing happens if it does already. Raises OSError when the port is taken."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Wire(self), self.HOST, self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def unplug(self) -> None:
        """Cut every connection and accept none."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for task in list(self._reaching):
            task.cancel()
        for wire in list(self.wires):
            wire.abort()
        await server.wait_closed()

    def silence(self, *, silent: bool) -> None:
        """Hold back everything on open and new connections, or let it flow again."""
        if silent == self.silent:
            return
        self.silent = silent
        for wire in self.wires:
            if wire.transport and not wire.transport.is_closing():
                (wire.transport.pause_reading if silent else wire.transport.resume_reading)()

    def reach(self, wire: _Wire) -> None:
        """Connect a caller to the server."""
        task = asyncio.create_task(self._reach(wire))
        self._reaching.add(task)
        task.add_done_callback(self._reaching.discard)

    async def _reach(self, wire: _Wire) -> None:
        try:
            with suppress(asyncio.CancelledError):
                _, far = await asyncio.get_running_loop().create_connection(lambda: _Wire(self, wire), self.HOST, self.inner)
                wire.join(far)
        except OSError:
            wire.abort()
