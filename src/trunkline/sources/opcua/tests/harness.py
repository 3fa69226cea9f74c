"""A device for the conformance suite: a real OPC UA server behind a proxy that misbehaves on demand."""

import asyncio
from typing import Any

from asyncua import ua

from trunkline.model import times
from trunkline.sources.opcua.tests.proxy import Proxy
from trunkline.sources.opcua.tests.server import URI, DeviceServer

Value = float | int | bool | str

_TAGS: dict[str, tuple[str, ua.VariantType, Value]] = {
    "PLANT01.AREA01.UNIT_01.FLOW": ("double", ua.VariantType.Double, 1.5),
    "PLANT01.AREA01.UNIT_01.COUNT": ("integer", ua.VariantType.Int64, 7),
    "PLANT01.AREA01.UNIT_01.RUNNING": ("boolean", ua.VariantType.Boolean, True),
    "PLANT01.AREA01.UNIT_01.STATE": ("text", ua.VariantType.String, "idle"),
}


class Harness:
    """See `trunkline.sources.testing.rig`.

    Attributes:
        reads_back: a value written by the source is what the device serves afterwards.
    """

    reads_back = True

    def __init__(self) -> None:
        self._device = DeviceServer()
        self._proxy = Proxy(("127.0.0.1", self._device.port))

    async def start(self) -> None:
        await asyncio.to_thread(self._device.start)
        for path, (_, kind, value) in _TAGS.items():
            await asyncio.to_thread(self._device.add, path, value, kind, writable=True)
        await self._proxy.start()

    async def stop(self) -> None:
        await self._proxy.stop()
        await asyncio.to_thread(self._device.stop)

    def config(self) -> dict[str, Any]:
        return {
            "id": "opc",
            "type": "opcua",
            "endpoint": f"opc.tcp://127.0.0.1:{self._proxy.port}",
            "publishing_interval": 0.05,
            "sampling_interval": 0.0,
            "timeout": 2.0,
            "watchdog_interval": 0.5,
            "events": [{}],
            "tags": [{"path": path, "kind": kind, "node": f"nsu={URI};s={path}"} for path, (kind, _, _) in _TAGS.items()],
        }

    def tags(self) -> dict[str, str]:
        return {path: kind for path, (kind, _, _) in _TAGS.items()}

    async def set(self, path: str, value: Value) -> None:
        now = times.to_datetime(times.now())
        await asyncio.to_thread(self._device.set, path, value, _TAGS[path][1], source_time=now)

    async def unplug(self) -> None:
        await self._proxy.unplug()

    async def plug(self) -> None:
        await self._proxy.plug()

    async def freeze(self) -> None:
        await self._proxy.freeze()

    async def thaw(self) -> None:
        await self._proxy.plug()

    async def garbage(self) -> None:
        await self._proxy.garbage()
