"""Golden cases: what a real server sends (server.yaml), how the site file takes it (site.yaml), what must become of it (expected.yaml)."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from asyncua import ua

from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.quality import Quality
from trunkline.sources.opcua.tests.desk import Desk
from trunkline.sources.opcua.tests.server import DeviceServer
from trunkline.sources.opcua.tests.support import Connected, events_until, heard, settings

CASES = sorted(path for path in (Path(__file__).parent / "event_cases").iterdir() if path.is_dir())


def load(file: Path, default: Any = None) -> Any:
    return yaml.safe_load(file.read_text()) if file.exists() else default


def served(value: Any) -> Any:
    match value:
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"node": text}:
            return ua.NodeId.from_string(text)
        case {"text": text}:
            return ua.LocalizedText(text)
        case {"time": text}:
            return datetime.fromisoformat(text)
        case {"status": code}:
            return ua.StatusCode(code)
        case _:
            return value


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
async def test_case(case: Path, device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """D-9, D-37, W-12, W-13, W-64, P-16, PD-25: what is told of an event and an alarm, and how its severity and state are shown."""
    site = load(case / "site.yaml", {"events": [{}]})
    expected = load(case / "expected.yaml")
    async with connected(settings(device.endpoint, site.pop("tags", []), **site)) as source:
        await heard(source)
        for entry in load(case / "server.yaml"):
            desk.send(entry["type"], **{name: served(value) for name, value in entry["fields"].items()})
        found = await events_until(source, lambda events: len(events) >= len(expected))
    assert [shown(event, wanted) for event, wanted in zip(found, expected, strict=True)] == expected


def shown(event: Event, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return of an event what the case speaks of."""
    facts: dict[str, Any] = {"class": type(event).__name__}
    for name in wanted.keys() - {"class"}:
        match name:
            case "severity":
                assert isinstance(event, Alarm)
                facts[name] = AlarmSeverity(event.severity).name
            case "quality":
                facts[name] = Quality(event.quality).name
            case "some":
                facts[name] = {key: event.attributes.get(key) for key in wanted[name]}
            case "time":
                facts[name] = "now" if event.time == event.gateway_time else event.time
            case _:
                facts[name] = getattr(event, name)
    return facts
