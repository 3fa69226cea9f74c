"""What the conformance suite needs to drive the Sparkplug source: a real broker with a password, and an edge node with a device."""

import asyncio
import contextlib
from typing import Any

from trunkline.model.reading import Value
from trunkline.sources.mqtt.tests.broker import Broker, Device, password_file
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.tests.edge import GROUP, EdgeNode

_PATH = "PLANT01.AREA01.UNIT_01"
_NODE, _PUMP = "edge-1", "pump"
#: path: kind, device, metric, data type, first value
_TAGS: dict[str, tuple[str, str, str, int, Value]] = {
    f"{_PATH}.FLOW": ("double", "", "Inputs/Flow", DataType.DOUBLE, 0.0),
    f"{_PATH}.COUNT": ("integer", _PUMP, "Count", DataType.INT64, 0),
    f"{_PATH}.RUNNING": ("boolean", _PUMP, "Running", DataType.BOOLEAN, False),
    f"{_PATH}.MODE": ("text", "", "Mode", DataType.STRING, ""),
}
_REFERENCE, _PASSWORD = "${secret:broker}", "canary-of-the-broker"


class Harness:
    """See `trunkline.sources.testing.rig`. A command's value comes back as the metric's next value."""

    reads_back = True

    def __init__(self) -> None:
        self.secrets = {_REFERENCE: _PASSWORD}
        self._broker = Broker(anonymous=False)
        password_file(self._broker, {"gateway": _PASSWORD, "edge": "e"})
        metrics: dict[str, dict[str, tuple[int, Value]]] = {"": {}, _PUMP: {}}
        for _, device, name, datatype, value in _TAGS.values():
            metrics[device][name] = (datatype, value)
        self._edge = EdgeNode(self._broker.port, metrics, _NODE, user="edge", password="e")

    async def start(self) -> None:
        await asyncio.to_thread(self._broker.start)
        await asyncio.to_thread(self._edge.connect)

    async def stop(self) -> None:
        await asyncio.to_thread(self._edge.stop)
        await asyncio.to_thread(self._broker.stop)

    def config(self) -> dict[str, Any]:
        return {
            "id": "edges",
            "type": "sparkplug",
            "host": "127.0.0.1",
            "port": self._broker.port,
            "username": "gateway",
            "password": _REFERENCE,
            "keepalive": 1,
            "timeout": 2,
            "group": GROUP,
            "tags": [
                {"path": path, "kind": kind, "node": _NODE, **({"device": device} if device else {}), "metric": name, "writable": True}
                for path, (kind, device, name, _, _) in _TAGS.items()
            ],
        }

    def tags(self) -> dict[str, str]:
        return {path: kind for path, (kind, *_) in _TAGS.items()}

    async def set(self, path: str, value: Value) -> None:
        _, device, name, _, _ = _TAGS[path]
        await asyncio.to_thread(self._edge.measure, device, name, value)

    async def unplug(self) -> None:
        await asyncio.to_thread(self._broker.kill)
        await asyncio.to_thread(self._edge.vanish)

    async def plug(self) -> None:
        self._broker.thaw()
        if not self._broker.running:
            await asyncio.to_thread(self._broker.start)
            await asyncio.to_thread(self._edge.connect)

    async def freeze(self) -> None:
        self._broker.freeze()

    async def thaw(self) -> None:
        self._broker.thaw()

    async def garbage(self) -> None:
        junk = (
            b"",
            b"\xff" * 20,
            b"\x12\xff\xff\xff\xff\x0f",
            b"\x00\x01",
            b"\x12\x02\x0a\x05",
            b"\x18\xff\x01",
            b"{}",
            b"\x12\x00" * 1000,
        )
        topics = [self._edge.topic(kind) for kind in ("NDATA", "NBIRTH", "NDEATH")]
        topics += [self._edge.topic(kind, _PUMP) for kind in ("DDATA", "DBIRTH", "DDEATH")]
        topics += [f"spBv1.0/{GROUP}/NDATA/stranger", f"spBv1.0/{GROUP}/DDATA/{'x' * 300}/y"]
        await asyncio.to_thread(self._send, *((topic, payload) for topic in topics for payload in junk))

    def _send(self, *messages: tuple[str, bytes]) -> None:
        with contextlib.closing(Device(self._broker.port, "edge", "e")) as device:
            device.send(*messages)
