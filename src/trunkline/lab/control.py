"""How a running plant is told to go wrong: one JSON object a line each way, on a loopback port.

The running plant writes `lab.json` into its directory, readable by its owner only: ports, process id, and a token that every request must
carry. Requests are `{"token", "op": "add" | "clear" | "list" | "info", …}`; answers are `{"ok": true, …}` or `{"ok": false, "error"}`.
"""

import asyncio
import hmac
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from trunkline.lab.faults import Fault, FaultKind
from trunkline.model.errors import Misconfigured, NotConnected, Rejected

HOST = "127.0.0.1"
INFO_FILE = "lab.json"
_ANSWER_SECONDS = 10.0


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running plant is found; all ports on loopback.

    Attributes:
        pid: process id of the plant.
        modbus_port, opcua_port, mqtt_port: its devices.
        opcua_path: path of the OPC UA endpoint.
        broker: 'mosquitto' or 'amqtt'.
        control_port, token: for `request`.
        truth: path of the ground truth; empty if none is written.
    """

    pid: int
    modbus_port: int
    opcua_port: int
    mqtt_port: int
    opcua_path: str
    broker: str
    control_port: int
    token: str
    truth: str


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of the plant.

    Attributes:
        op: 'add' or 'clear' a fault, or 'list' them.
        kind, target, amount, seed, seconds: as in `trunkline.lab.faults.FaultBoard.add`.
        number: of the fault to clear.
    """

    op: str
    token: str = ""
    kind: FaultKind | None = None
    target: str | None = None
    amount: float | None = None
    seed: int | None = None
    seconds: float | None = None
    number: int | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the plant says.

    Attributes:
        ok: whether it was done.
        error: why not.
        faults: those added, cleared or listed.
    """

    ok: bool
    error: str = ""
    faults: list[Fault] = []


class ControlServer:
    """Takes requests and hands them to `handle`, which raises ValueError for what cannot be done."""

    def __init__(self, handle: Callable[[Request], Awaitable[list[Fault]]]) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self.token = secrets.token_urlsafe(24)
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=65_536)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _ANSWER_SECONDS)
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # a caller that does not speak, or speaks without end, gets no answer
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Answer(ok=False, error=f"not a request: {error}")
        if not hmac.compare_digest(request.token.encode(), self.token.encode()):
            return Answer(ok=False, error="wrong token")
        try:
            return Answer(ok=True, faults=await self._handle(request))
        except (ValueError, OSError) as error:
            return Answer(ok=False, error=str(error))


def write_endpoints(directory: Path, endpoints: Endpoints) -> None:
    """Write `lab.json` for callers, readable by the owner only."""
    draft = directory / f"{INFO_FILE}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(endpoints))
    draft.replace(directory / INFO_FILE)


def read_endpoints(directory: Path) -> Endpoints:
    """Return where the plant of a directory is found.

    Raises:
        Misconfigured: no plant was ever started there.
    """
    try:
        return msgspec.json.decode((directory / INFO_FILE).read_bytes(), type=Endpoints)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(f"no plant runs in {directory}: start one with 'trunkline lab plant', or name its --directory") from error


def request(directory: Path, what: Request) -> list[Fault]:
    """Ask the plant of a directory.

    Returns:
        The faults added, cleared or listed.

    Raises:
        Misconfigured: no plant was ever started there.
        NotConnected: it does not answer.
        Rejected: it refuses, and says why.
    """
    endpoints = read_endpoints(directory)
    line = msgspec.json.encode(msgspec.structs.replace(what, token=endpoints.token)) + b"\n"
    try:
        with socket.create_connection((HOST, endpoints.control_port), timeout=_ANSWER_SECONDS) as link, link.makefile("rb") as answers:
            link.sendall(line)
            told: Any = answers.readline()
    except OSError as error:
        raise NotConnected(f"the plant of {directory} does not answer ({error}): is it running?") from error
    if not told:
        raise NotConnected(f"the plant of {directory} hung up: is it stopping?")
    answer = msgspec.json.decode(told, type=Answer)
    if not answer.ok:
        raise Rejected(answer.error)
    return answer.faults
