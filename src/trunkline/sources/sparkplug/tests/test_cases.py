"""Golden cases: cases/<name>/ holds a source's tags, messages to publish, and what must be read."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trunkline.model import quality, times
from trunkline.sources.mqtt.tests.broker import Broker, Device
from trunkline.sources.sparkplug import codec, datatypes
from trunkline.sources.sparkplug.codec import Form, Metric, Payload
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.tests import edge
from trunkline.sources.sparkplug.tests.edge import GROUP
from trunkline.sources.sparkplug.tests.support import Listener, connected, until

CASES = Path(__file__).parent / "cases"
VECTORS = {one["case"]: one for one in json.loads((CASES.parent / "vectors" / "pysparkplug.json").read_text())["cases"]}
NOW = times.from_iso("2026-11-21T13:00:00Z")


def _stamp(text: str | None) -> int | None:
    return None if text is None else times.from_iso(text) // 1000


def _metric(told: dict[str, Any]) -> Metric:
    """Return a metric of a case; 'form' and 'raw' stand for values that no data type writes."""
    told = dict(told)
    told["timestamp"] = told["ms"] if "ms" in told else _stamp(told.get("timestamp"))
    datatype = DataType[told["datatype"]] if "datatype" in told else None
    others = {key: told[key] for key in ("alias", "historical", "transient", "quality", "timestamp") if key in told}
    if "form" in told:
        return Metric(name=told.get("name"), datatype=datatype, form=Form[told["form"]], raw=told.get("raw"), **others)
    if datatype is None and "as" in told:
        form, raw = datatypes.written(told["value"], DataType[told["as"]])
        return Metric(name=told.get("name"), form=form, raw=raw, **others)
    return edge.metric(told.get("name"), datatype or 0, told.get("value"), **others)


def _message(told: dict[str, Any]) -> tuple[str, bytes]:
    if "vector" in told:
        return VECTORS[told["vector"]]["topic"], bytes.fromhex(VECTORS[told["vector"]]["hex"])
    device = f"/{told['device']}" if "device" in told else ""
    topic = f"spBv1.0/{GROUP}/{told['type']}/{told.get('node', 'edge-1')}{device}"
    if "hex" in told:
        return topic, bytes.fromhex(told["hex"])
    metrics = tuple(_metric(one) for one in told.get("metrics", ()))
    return topic, codec.encode(Payload(timestamp=_stamp(told.get("timestamp")), seq=told.get("seq"), metrics=metrics))


#: What comes after the messages of a case, so that it is known when all of them have been read.
END = {"path": "P.END", "node": "end", "metric": "End"}
LAST = {"node": "end", "type": "NBIRTH", "seq": 0, "metrics": [{"name": "End", "datatype": "DOUBLE", "value": 1.0}]}


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str, broker: Broker, device: Device, tmp_path: Path) -> None:
    """W-45, W-48, W-108, D-16, PD-26: from messages on a real broker to readings and events."""
    tags = yaml.safe_load((CASES / name / "config.yaml").read_text())["tags"]
    messages = [*yaml.safe_load((CASES / name / "messages.yaml").read_text()), LAST]
    expected = json.loads((CASES / name / "expected.json").read_text())
    options = {"id": name.replace("_", "-"), "timeout": 60, "tags": [*tags, END]}
    with Listener(broker.port, f"spBv1.0/{GROUP}/NCMD/#") as listener:
        async with connected(broker, tmp_path, now=lambda: NOW, **options) as source:
            await listener.count(2)  # the source asks first; then the edge nodes speak
            await asyncio.to_thread(device.send, *(_message(message) for message in messages), qos=0)
            readings, events = await until(source, "P.END", 1.0)
    assert [
        [one.tag, one.value, quality.name(one.quality), None if one.source_time is None else times.to_iso(one.source_time)]
        for one in readings[:-1]
    ] == expected["readings"]
    told = [[event.type, event.text, event.attributes] for event in events if event.attributes["edge_node"] != "end"]
    assert told == expected["events"]
    assert source.undecodable == expected.get("undecodable", 0)
