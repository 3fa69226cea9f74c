"""A session: the services of a connected server, kept alive and watched.

Services are called on the library's protocol object, one level below its subscriptions: those retry and drop in the background,
which would hide a loss. Here every failure ends the session and the gateway builds a new one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.node import Node
from asyncua.ua.ua_binary import struct_from_binary

from trunkline.model.errors import SourceUnavailable
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.connection import drop, open_client
from trunkline.sources.opcua.items import batches
from trunkline.sources.opcua.stack import AttributeIds, Client, ObjectIds, StatusCodes, UaError, UaStatusCodeError, node_id, status_name
from trunkline.sources.port import SourceContext

T = TypeVar("T")

#: For servers that state no limit (0 or absent).
DEFAULT_LIMIT = 1000
#: Part of a token's or session's lifetime after which it is renewed (OPC UA Part 4, 5.6.2: 75 %).
_RENEW_AT = 0.75

#: Faults that end the session rather than one request.
_SESSION_FAULTS = frozenset(
    {
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionNotActivated,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadSecureChannelTokenUnknown,
        StatusCodes.BadSequenceNumberInvalid,
        StatusCodes.BadConnectionClosed,
        StatusCodes.BadServerHalted,
        StatusCodes.BadShutdown,
        StatusCodes.BadTimeout,
    }
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Limits:
    """How many operations the server takes in one request (OPC UA Part 5, 6.3.11), and how large event filters may be (6.3.2)."""

    read: int = DEFAULT_LIMIT
    monitored_items: int = DEFAULT_LIMIT
    browse: int = DEFAULT_LIMIT
    select_clauses: int = DEFAULT_LIMIT
    where_operands: int = DEFAULT_LIMIT


class Session:
    """An activated session with its keep-alive tasks. Make it with `open`.

    Attributes:
        namespaces: the server's namespace table as read last.
        limits: the server's operation limits.
        changed: set whenever something happened that a waiting reader should look at.
    """

    def __init__(self, client: Client, config: OpcUaConfig) -> None:
        self.namespaces: tuple[str, ...] = ()
        self.limits = Limits()
        self.changed = asyncio.Event()
        self._client = client
        self._config = config
        self._lost: SourceUnavailable | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, config: OpcUaConfig, context: SourceContext) -> "Session":
        """Connect and read what the server is like. Raises SourceUnavailable or SourceMisconfigured."""
        session = cls(await open_client(config, context), config)
        try:
            await session.load_namespaces()
            await session._load_limits()
        except UaError as error:
            await session.close()
            raise SourceUnavailable(f"{config.endpoint} does not tell its namespaces or limits: {error}") from error
        except BaseException:
            await session.close()
            raise
        session.run(session._watch, "watchdog")
        session.run(session._renew, "channel renewal")
        return session

    def run(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a task that lives as long as the session; if it fails, the session is lost."""
        task = asyncio.create_task(self._guard(work, name), name=f"opcua {self._config.id}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fail(self, why: str) -> SourceUnavailable:
        """Declare the session lost and wake who waits; return the error to raise. The first reason stays."""
        if self._lost is None:
            self._lost = SourceUnavailable(f"{self._config.endpoint}: {why}")
            self.changed.set()
        return self._lost

    def check(self) -> None:
        """Raise SourceUnavailable if the session is lost."""
        if self._lost is not None:
            raise SourceUnavailable(str(self._lost)) from self._lost

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - returning at the time limit is no error here
        """Wait until `changed` is set or `timeout` seconds have passed. Raises SourceUnavailable when the session is lost."""
        self.check()
        try:
            async with asyncio.timeout(timeout):
                await self.changed.wait()
        except TimeoutError:
            pass
        self.changed.clear()
        self.check()

    async def request(self, request: object, response: type[T], *, patience: float | None = None, fatal: bool = True) -> T:
        """Send one request and return its response, which is good.

        Args:
            request: a request structure of the library.
            response: the type of the response.
            patience: longest wait in seconds; the configured timeout by default.
            fatal: whether no answer in time ends the session.

        Raises:
            SourceUnavailable: no answer in time, or the connection or session is lost.
            UaStatusCodeError: the server refuses this request.
        """
        self.check()
        protocol = self._client.uaclient.protocol
        if protocol is None:
            raise self.fail("not connected")
        wait = patience or self._config.timeout
        try:
            async with asyncio.timeout(wait):
                body = await protocol.send_request(request, timeout=0)
            answer: Any = struct_from_binary(response, body)
            answer.ResponseHeader.ServiceResult.check()
        except TimeoutError as error:
            why = f"no answer to {type(request).__name__} within {wait:g} s"
            raise (self.fail(why) if fatal else SourceUnavailable(why)) from error
        except UaStatusCodeError as error:
            if error.code in _SESSION_FAULTS:
                raise self.fail(f"the server answered {status_name(error.code)}") from error
            raise
        except Exception as error:  # the library raises whatever its parser trips over when a server answers nonsense
            raise self.fail(f"{str(error) or type(error).__name__}") from error
        return answer  # type: ignore[no-any-return]  # structures of the library are typed by `response`

    async def read(self, nodes: Sequence[ua.NodeId], attribute: AttributeIds = AttributeIds.Value) -> list[ua.DataValue]:
        """Read an attribute of many nodes, in as many requests as the server's limit asks for."""
        found: list[ua.DataValue] = []
        for some in batches(nodes, self.limits.read):
            request = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
            request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in some]
            results = (await self.request(request, ua.ReadResponse)).Results
            if len(results) != len(some):
                raise self.fail(f"the server gave {len(results)} results for {len(some)} nodes")
            found.extend(results)
        return found

    def node(self, node: ua.NodeId) -> Node:
        """Return the library's view of a node, for its helpers."""
        return Node(self._client.uaclient.session, node)

    async def load_namespaces(self) -> None:
        """Read the namespace table."""
        (data,) = await self.read([node_id(ObjectIds.Server_NamespaceArray)])
        table = data.Value.Value if data.Value is not None else None
        if not isinstance(table, list):
            raise self.fail("the server has no namespace table")
        self.namespaces = tuple(str(uri) for uri in table)

    async def close(self) -> None:
        """End the tasks, leave the server, cut the socket: bounded in time, safe to call again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            alive = self._lost is None
            self.fail("closed")
            await drop(self._client, polite=alive)

    async def _load_limits(self) -> None:
        self.limits = Limits(read=1)  # until the server has said how many it takes
        self.limits.read = await self._limit(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead)
        self.limits.monitored_items = await self._limit(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall)
        self.limits.browse = await self._limit(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse)
        self.limits.select_clauses = await self._limit(ObjectIds.Server_ServerCapabilities_MaxSelectClauseParameters)
        self.limits.where_operands = await self._limit(ObjectIds.Server_ServerCapabilities_MaxWhereClauseParameters)

    async def _limit(self, node: int) -> int:
        (data,) = await self.read([node_id(node)])
        value = data.Value.Value if data.Value is not None else None
        return value if isinstance(value, int) and value > 0 else DEFAULT_LIMIT

    async def _watch(self) -> None:
        """Ask for the server's state: notices a frozen server and keeps the session from expiring."""
        state = [node_id(ObjectIds.Server_ServerStatus_State)]
        while True:
            await asyncio.sleep(min(self._config.watchdog_interval, self._client.session_timeout / 1000 / 3))
            await self.read(state)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._client.secure_channel_timeout / 1000 * _RENEW_AT)
            await self._client.open_secure_channel(renew=True)
            self._client.uaclient.revolve_security_token()

    async def _guard(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        try:
            await work()
        except SourceUnavailable as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001 - a task that dies unseen would leave a source that looks alive
            self.fail(f"{name} failed: {str(error) or type(error).__name__}")
