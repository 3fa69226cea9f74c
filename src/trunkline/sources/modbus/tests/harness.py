"""What the conformance suite of all sources needs in order to drive a real Modbus TCP device."""

import struct
from typing import Any

from trunkline.model.reading import Kind, Value
from trunkline.sources.modbus.tests.devices import Device, Front

#: tag path -> (table, first register, struct code of the value)
_PLACES: dict[str, tuple[str, int, str]] = {
    "PLANT01.AREA01.UNIT_01.FLOW": ("holding", 0, "f"),
    "PLANT01.AREA01.UNIT_01.LEVEL": ("holding", 2, "d"),
    "PLANT01.AREA01.UNIT_01.COUNTER": ("holding", 10, "q"),
    "PLANT01.AREA01.UNIT_01.RUNNING": ("coil", 0, "?"),
    "PLANT01.AREA01.UNIT_01.BATCH": ("holding", 20, "16s"),
}
_FORMATS = {"f": "float32", "d": "float64", "q": "int64", "?": "bool", "16s": "string(16)"}
_KINDS = {"f": Kind.DOUBLE, "d": Kind.DOUBLE, "q": Kind.INTEGER, "?": Kind.BOOLEAN, "16s": Kind.TEXT}
_REGISTERS = {1: {"holding": {0: [0] * 40}, "coil": {0: [0] * 16}}}


class Harness:
    """A device with one tag of every kind, whose line can be cut, frozen and filled with noise.

    Attributes:
        reads_back: a value that was written is read back afterwards.
    """

    reads_back = True

    def __init__(self) -> None:
        self._device = Device(_REGISTERS)
        self._front = Front()

    async def start(self) -> None:
        """Start the device."""
        await self._device.start()
        await self._front.start(self._device.port)

    async def stop(self) -> None:
        """Stop it, whatever its state."""
        await self._front.stop()
        await self._device.stop()

    def config(self) -> dict[str, Any]:
        """Return the section of the site file for a source that reads the device."""
        return {
            "id": "modbus-harness",
            "type": "modbus",
            "host": "127.0.0.1",
            "port": self._front.port or 502,  # before the start any valid one will do
            "poll_interval_ms": 50,
            "timeout_ms": 500,
            "tags": [
                {"path": path, "address": f"{table}:{start}", "format": _FORMATS[code], "kind": _KINDS[code].name.lower()}
                for path, (table, start, code) in _PLACES.items()
            ],
        }

    def tags(self) -> dict[str, Kind]:
        """Return the kind of every tag."""
        return {path: _KINDS[code] for path, (_, _, code) in _PLACES.items()}

    async def set(self, path: str, value: Value) -> None:
        """Change a value in the device."""
        table, start, code = _PLACES[path]
        if table == "coil":
            await self._device.set(1, table, start, [bool(value)])
            return
        wire = struct.pack(f">{code}", value.encode() if isinstance(value, str) else value)
        await self._device.set(1, table, start, struct.unpack(f">{len(wire) // 2}H", wire))

    async def unplug(self) -> None:
        """Drop the connections and refuse new ones."""
        await self._front.stop()

    async def plug(self) -> None:
        """Be reachable and sane again."""
        self._front.mode = "pass"
        await self._front.stop()
        await self._front.start(self._device.port)

    async def freeze(self) -> None:
        """Accept connections and requests, and never answer."""
        self._front.mode = "frozen"

    async def thaw(self) -> None:
        """Answer again."""
        self._front.mode = "pass"

    async def garbage(self) -> None:
        """Answer with noise and half frames until `plug`."""
        self._front.mode = "garbage"
