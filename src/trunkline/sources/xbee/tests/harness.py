"""What the conformance suite of all sources needs in order to drive the XBee source: a module on a pseudo terminal, a radio behind it."""

import random
import struct
import tempfile
from pathlib import Path
from typing import Any

from trunkline.model.reading import Kind, Value
from trunkline.sources.xbee.tests.radio import NODE, OTHER_NODE, Module

#: tag path -> (radio, first register, place in the payload, struct code, format, prefix of writes)
_PLACES: dict[str, tuple[str, int, int, str, str, str]] = {
    "OFFSHORE.WELLS.WELL_12.PRESSURE": (NODE, 40001, 0, "f", "float32", "01"),
    "OFFSHORE.WELLS.WELL_12.COUNT": (NODE, 40003, 4, "q", "int64", "02"),
    "OFFSHORE.WELLS.WELL_12.FLOWING": (NODE, 40007, 12, "H", "bool", "03"),
    "OFFSHORE.WELLS.WELL_12.STATE": (NODE, 40008, 14, "12s", "string(12)", "04"),
    "OFFSHORE.WELLS.WELL_13.LEVEL": (OTHER_NODE, 40001, 0, "d", "float64", ""),
}
_KINDS = {"f": Kind.DOUBLE, "d": Kind.DOUBLE, "q": Kind.INTEGER, "H": Kind.BOOLEAN, "12s": Kind.TEXT}
_SIZES = {NODE: 26, OTHER_NODE: 8}


class Harness:
    """Two radios behind a module in API mode 2, with a tag of every kind. What is written is what the radio sends next.

    Attributes:
        reads_back: a value that was written is read back afterwards.
    """

    reads_back = True

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="xbee-")
        self._payloads = {node: bytearray(size) for node, size in _SIZES.items()}
        self._module: Module | None = None
        self._path = Path(self._folder.name) / "module"
        self._random = random.Random(12)

    async def start(self) -> None:
        self._module = Module(self._path, mode=2)
        self._module.on_transmit = self._written

    async def stop(self) -> None:
        self.module.stop()
        self._folder.cleanup()

    @property
    def module(self) -> Module:
        assert self._module is not None
        return self._module

    def config(self) -> dict[str, Any]:
        maps: dict[str, dict[int, Any]] = {NODE: {}, OTHER_NODE: {}}
        for node, register, start, code, _, prefix in _PLACES.values():
            at = f"bytes {start} to {start + struct.calcsize(f'>{code}') - 1}"
            maps[node][register] = {"at": at, "writable": True, "prefix": prefix} if prefix else at
        return {
            "id": "radios",
            "type": "xbee",
            "port": str(self._path),
            "api_mode": 2,
            "timeout_ms": 500,
            "nodes": [
                {"unit_id": unit, "node_id": node, "registers": registers} for unit, (node, registers) in enumerate(maps.items(), start=1)
            ],
            "tags": [
                {
                    "path": path,
                    "unit_id": 1 if node == NODE else 2,
                    "address": register,
                    "format": form,
                    "kind": _KINDS[code].name.lower(),
                    "time": "gateway",
                }
                for path, (node, register, _, code, form, _) in _PLACES.items()
            ],
        }

    def tags(self) -> dict[str, Kind]:
        return {path: _KINDS[code] for path, (_, _, _, code, _, _) in _PLACES.items()}

    async def set(self, path: str, value: Value) -> None:
        """The radio measures, and sends its payload."""
        node, _, start, code, _, _ = _PLACES[path]
        raw = struct.pack(f">{code}", value.encode() if isinstance(value, str) else value)
        self._payloads[node][start : start + len(raw)] = raw
        self.module.receive(bytes(self._payloads[node]), node)

    def _written(self, node: str, payload: bytes) -> None:
        """A radio takes what was written as its measurement, and sends its payload."""
        for other, _, start, _, _, prefix in _PLACES.values():
            if other == node and prefix and payload[:1] == bytes.fromhex(prefix):
                self._payloads[node][start : start + len(payload) - 1] = payload[1:]
        self.module.receive(bytes(self._payloads[node]), node)

    async def unplug(self) -> None:
        self.module.unplug()

    async def plug(self) -> None:
        self.module.plug()

    async def freeze(self) -> None:
        self.module.silent = True

    async def thaw(self) -> None:
        self.module.silent = False

    async def garbage(self) -> None:
        """Noise, halves of frames, frames with wrong checksums, types and lengths."""
        whole = bytes.fromhex("7E00127D33")
        for size in range(1, 40):
            self.module.put(self._random.randbytes(size))
            self.module.put(whole[: size % 6])
            self.module.put(b"\x7e\x00\x04\x92\x01\x02\x03\x00" + b"\x7e" * (size % 3))
            self.module.put(b"\x7e\xff\xff" + self._random.randbytes(size))
