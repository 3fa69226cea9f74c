"""Golden cases: what a real server serves (server.yaml), which tags ask for it (tags.yaml), what must be read (expected.yaml)."""

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from asyncua import ua

from trunkline.model.quality import Quality
from trunkline.sources.opcua.tests.server import URI, DeviceServer
from trunkline.sources.opcua.tests.support import Connected, first_of, settings

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def served(entry: dict[str, Any]) -> Any:
    value: Any = entry.get("value")
    match entry["type"]:
        case "LocalizedText":
            return ua.LocalizedText(value)
        case "DateTime":
            return datetime.fromisoformat(value)
        case "Guid":
            return UUID(value)
        case "ByteString":
            return bytes.fromhex(value)
        case _:
            return value


def serve(device: DeviceServer, prefix: str, entry: dict[str, Any]) -> None:
    kind = ua.VariantType[entry["type"]]
    name = f"{prefix}.{entry['name']}"
    device.add(name, served(entry), kind)
    stamp = entry.get("source_time")
    device.set(
        name, served(entry), kind, status=entry.get("status", 0), source_time=None if stamp is None else datetime.fromisoformat(stamp)
    )


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
async def test_case(case: Path, mode: str, device: DeviceServer, connected: Connected) -> None:
    """W-42, D-16, D-17: values without loss, status codes and source times kept, by subscription and by polling alike."""
    prefix = f"{case.name}.{mode}"
    for entry in load(case / "server.yaml"):
        serve(device, prefix, entry)
    tags = [{**entry, "node": f"nsu={URI};s={prefix}.{entry['node']}"} for entry in load(case / "tags.yaml")]
    expected = load(case / "expected.yaml")
    async with connected(settings(device.endpoint, tags, mode=mode)) as source:
        found = await first_of(source, *expected)
    for path, wanted in expected.items():
        reading = found[path]
        assert (reading.value, type(reading.value)) == (wanted["value"], type(wanted["value"])), path
        assert reading.quality == Quality[wanted["quality"]], path
        if "source_time" in wanted:
            assert reading.source_time == wanted["source_time"], path
