"""What the conformance suite needs to drive the simulated source: no device, so nothing to set or unplug."""

from typing import Any

from trunkline.model.reading import Value

_SIGNALS: dict[str, tuple[str, dict[str, Any]]] = {
    "PLANT01.AREA01.UNIT_01.FLOW": ("double", {"shape": "walk"}),
    "PLANT01.AREA01.UNIT_01.COUNT": ("integer", {"shape": "counter", "start": 2**63 - 3}),
    "PLANT01.AREA01.UNIT_01.RUNNING": ("boolean", {"shape": "square", "period": 0.1}),
    "PLANT01.AREA01.UNIT_01.MODE": ("text", {"shape": "cycle"}),
}


class Harness:
    """See `trunkline.sources.testing.rig`."""

    reads_back = True
    can_set = False
    can_unplug = False

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def config(self) -> dict[str, Any]:
        tags = [{"path": path, "kind": kind, "signal": signal, "writable": True} for path, (kind, signal) in _SIGNALS.items()]
        return {"id": "practice", "type": "simulated", "interval_ms": 20, "tags": tags}

    def tags(self) -> dict[str, str]:
        return {path: kind for path, (kind, _) in _SIGNALS.items()}

    async def set(self, path: str, value: Value) -> None:
        raise NotImplementedError

    async def unplug(self) -> None:
        raise NotImplementedError

    async def plug(self) -> None:
        return

    async def freeze(self) -> None:
        raise NotImplementedError

    async def thaw(self) -> None:
        return

    async def garbage(self) -> None:
        raise NotImplementedError
