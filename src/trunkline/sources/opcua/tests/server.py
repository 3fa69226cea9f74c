"""A real OPC UA server in a thread of its own."""

import logging
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_session import InternalSession
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import BadServiceUnsupported, BadTooManyOperations

from trunkline.sources.opcua.tests.loopthread import LoopThread

T = TypeVar("T")

URI = "http://plant.example/pumps"

logging.getLogger("asyncua.server").setLevel(logging.CRITICAL)
logging.getLogger("asyncua.common").setLevel(logging.CRITICAL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Users(UserManager):
    def __init__(self, users: dict[str, str]) -> None:
        self._users = users

    def get_user(self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None) -> User | None:
        if username is None or self._users.get(username) == password:
            return User(role=UserRole.User, name=username)
        return None


@dataclass
class DeviceServer:
    """A server with the settings a test needs; `stop` and `start` again is a restart on the same port."""

    port: int = field(default_factory=free_port)
    namespaces: tuple[str, ...] = (URI,)
    users: dict[str, str] = field(default_factory=dict)
    anonymous: bool = True
    certificate: Path | None = None
    key: Path | None = None
    policies: tuple[ua.SecurityPolicyType, ...] = (ua.SecurityPolicyType.NoSecurity,)
    max_per_read: int = 0
    max_monitored_per_call: int = 0
    max_per_browse: int = 0
    refused: str = ""

    def __post_init__(self) -> None:
        self.largest: dict[str, int] = {}
        self.server: Server | None = None
        self._thread: LoopThread | None = None

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plant"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the server's loop and wait."""
        assert self._thread is not None
        return self._thread.run(work)

    def start(self) -> "DeviceServer":
        self._thread = LoopThread("opcua device")
        self.run(self._start())
        return self

    def stop(self) -> None:
        if self._thread is None or self.server is None:
            return
        self.run(self.server.stop())
        self._thread.close()
        self._thread = self.server = None

    def add(self, name: str, value: Any, kind: ua.VariantType = ua.VariantType.Double, *, writable: bool = False, uri: str = URI) -> str:
        """Add a variable below Objects; return its address."""
        self.run(self._add(name, value, kind, writable, uri))
        return f"nsu={uri};s={name}"

    def set(
        self,
        name: str,
        value: Any,
        kind: ua.VariantType = ua.VariantType.Double,
        *,
        status: int = 0,
        source_time: datetime | None = None,
        uri: str = URI,
    ) -> None:
        """Set value, status and source time of a variable."""
        variant = ua.Variant(value, kind, is_array=isinstance(value, list))
        data = ua.DataValue(variant, StatusCode=ua.StatusCode(status), SourceTimestamp=source_time)  # type: ignore[arg-type]  # library's types
        self.run(self._write(name, data, uri))

    def set_many(self, name: str, values: list[float], uri: str = URI) -> None:
        """Set one value after the other without a pause."""

        async def all_of_them() -> None:
            for value in values:
                await self._write(name, ua.DataValue(ua.Variant(value, ua.VariantType.Double)), uri)

        self.run(all_of_them())

    async def _start(self) -> None:
        server = Server(user_manager=_Users(self.users))
        server.iserver.bind_condition_methods = 1  # answers ConditionRefresh; the events that enclose it have this severity
        await server.init()
        server.disable_clock()
        server.set_endpoint(self.endpoint)
        server.set_server_name("Test device")
        server.set_security_policy(list(self.policies))
        if self.certificate and self.key:
            await server.load_certificate(self.certificate)
            await server.load_private_key(self.key)
        tokens: list[type] = [ua.AnonymousIdentityToken] if self.anonymous else []
        server.set_identity_tokens([*tokens, *([ua.UserNameIdentityToken] if self.users else [])])
        for uri in self.namespaces:
            await server.register_namespace(uri)
        self.server = server
        await self._limit()
        await server.start()

    async def _add(self, name: str, value: Any, kind: ua.VariantType, writable: bool, uri: str) -> None:
        assert self.server is not None
        index = await self.server.get_namespace_index(uri)
        variant = ua.Variant(value, kind, is_array=isinstance(value, list))
        node = await self.server.nodes.objects.add_variable(ua.NodeId(name, index), name, variant)  # type: ignore[arg-type]  # library's types
        if writable:
            await node.set_writable()

    def node(self, name: str, index: int) -> Node:
        assert self.server is not None
        return self.server.get_node(ua.NodeId(name, index))  # type: ignore[arg-type]  # library's types

    async def _write(self, name: str, data: ua.DataValue, uri: str) -> None:
        assert self.server is not None
        await self.node(name, self._index(uri)).write_value(data)

    def _index(self, uri: str) -> int:
        # namespace 1 is the server's own
        return 2 + self.namespaces.index(uri)

    async def _limit(self) -> None:
        """State limits and enforce them on every session from outside; note the largest request of each kind."""
        assert self.server is not None
        iserver = self.server.iserver
        for node, value in (
            (ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, self.max_per_read),
            (ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall, self.max_monitored_per_call),
            (ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse, self.max_per_browse),
        ):
            variant = ua.Variant(value, ua.VariantType.UInt32)
            await self.server.get_node(ua.NodeId(node)).write_value(variant)  # type: ignore[arg-type]  # library's types
        create = iserver.create_session
        device = self

        def create_limited(name: str, *rest: Any, **options: Any) -> InternalSession:
            session = create(name, *rest, **options)
            device._guard(session, "read", "NodesToRead", device.max_per_read)
            device._guard(session, "create_monitored_items", "ItemsToCreate", device.max_monitored_per_call)
            device._guard(session, "browse", "NodesToBrowse", device.max_per_browse)
            if device.refused:

                async def refuse(*_: Any, **__: Any) -> None:
                    raise BadServiceUnsupported

                setattr(session, device.refused, refuse)
            return session

        iserver.create_session = create_limited  # type: ignore[method-assign]  # the library has no hook for limits

    def _guard(self, session: InternalSession, service: str, field_name: str, limit: int) -> None:
        original = getattr(session, service)

        async def guarded(params: Any, *rest: Any) -> Any:
            count = len(getattr(params, field_name))
            self.largest[service] = max(count, self.largest.get(service, 0))
            if limit and count > limit:
                raise BadTooManyOperations
            return await original(params, *rest)

        setattr(session, service, guarded)
