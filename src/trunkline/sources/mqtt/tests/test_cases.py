"""Golden cases: cases/<name>/ holds a source's section of the site file, messages to publish, and what must be read."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from trunkline.model import quality, times
from trunkline.model.events import Alarm, Event
from trunkline.sources.mqtt.tests.broker import Broker, Device
from trunkline.sources.mqtt.tests.support import connected, take

CASES = Path(__file__).parent / "cases"
NOW = times.from_iso("2026-11-21T13:00:00Z")


def _payload(message: dict[str, Any]) -> bytes:
    if "repeat" in message:
        return str(message["payload"]).encode() * int(message["repeat"])
    return base64.b64decode(message["base64"]) if "base64" in message else str(message["payload"]).encode()


def _told(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = {"category": "alarm" if isinstance(event, Alarm) else "event", **msgspec.to_builtins(event)}
    for stamp in ("time", "gateway_time"):
        told[stamp] = times.to_iso(told[stamp])
    return told


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str, broker: Broker, device: Device, tmp_path: Path) -> None:
    """W-43, P-13, P-16, P-40…P-47, PD-25, PD-26, PD-27: from messages on a real broker to readings, events and alarms."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    messages = yaml.safe_load((CASES / name / "messages.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    async with connected(broker, tmp_path, now=lambda: NOW, **{"id": name.replace("_", "-"), "tags": (), **section}) as source:
        for message in messages:
            await device.publish(message["topic"], _payload(message))
        readings, events, batches = await take(source, len(expected.get("readings", [])), len(expected.get("events", [])))
        for batch in batches:
            await batch.ack()
    stamps = [None if reading.source_time is None else times.to_iso(reading.source_time) for reading in readings]
    assert [
        [reading.tag, reading.value, quality.name(reading.quality), stamp] for reading, stamp in zip(readings, stamps, strict=True)
    ] == expected.get("readings", [])
    assert [_told(event) for event in events] == expected.get("events", [])
    assert source.undecodable == expected.get("undecodable", 0)
