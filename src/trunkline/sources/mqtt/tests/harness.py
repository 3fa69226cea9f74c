"""What the conformance suite needs to drive the MQTT source: a real broker with a password, and a device that publishes to it."""

import asyncio
from typing import Any

import msgspec

from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.sources.mqtt.tests.broker import Broker, Device, password_file

_PATH = "PLANT01.AREA01.UNIT_01"
_KINDS = {f"{_PATH}.FLOW": "double", f"{_PATH}.COUNT": "integer", f"{_PATH}.RUNNING": "boolean", f"{_PATH}.MODE": "text"}
_REFERENCE, _PASSWORD = "${secret:broker}", "canary-of-the-broker"


def _topic(path: str) -> str:
    return path.replace(".", "/")


class Harness:
    """See `trunkline.sources.testing.rig`. What the source writes comes back as the tag's next message."""

    reads_back = True

    def __init__(self) -> None:
        self.secrets = {_REFERENCE: _PASSWORD}
        self._broker = Broker(anonymous=False)
        password_file(self._broker, {"gateway": _PASSWORD, "device": "d"})

    async def start(self) -> None:
        await asyncio.to_thread(self._broker.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._broker.stop)

    def config(self) -> dict[str, Any]:
        return {
            "id": "broker",
            "type": "mqtt",
            "host": "127.0.0.1",
            "port": self._broker.port,
            "username": "gateway",
            "password": _REFERENCE,
            "keepalive": 1,
            "timeout": 2,
            "tags": [
                {
                    "path": path,
                    "kind": kind,
                    "topic": _topic(path),
                    "value": "$.value",
                    "timestamp": "$.time",
                    "command_topic": _topic(path),
                    "command_value": "value",
                }
                for path, kind in _KINDS.items()
            ],
        }

    def tags(self) -> dict[str, str]:
        return dict(_KINDS)

    async def set(self, path: str, value: Value) -> None:
        payload = msgspec.json.encode({"value": value, "time": times.to_iso(times.now())})
        await asyncio.to_thread(self._send, (_topic(path), payload))

    async def unplug(self) -> None:
        await asyncio.to_thread(self._broker.kill)

    async def plug(self) -> None:
        self._broker.thaw()
        if not self._broker.running:
            await asyncio.to_thread(self._broker.start)

    async def freeze(self) -> None:
        self._broker.freeze()

    async def thaw(self) -> None:
        self._broker.thaw()

    async def garbage(self) -> None:
        junk = (b"", b"\xff\xfe\x00", b"{", b"[" * 100_000, b"NaN", b'{"value":NaN}', b'{"value":[[]]}', b'{"time":1}', b'{"value":1e999}')
        await asyncio.to_thread(self._send, *((_topic(path), payload) for path in _KINDS for payload in junk))

    def _send(self, *messages: tuple[str, bytes]) -> None:
        with Device(self._broker.port, "device", "d") as device:
            device.send(*messages)
