"""Readings one to a record, as third parties write them."""

import io
import json
from typing import Any

import fastavro

from trunkline.log.codec.builtin import BY_ID
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.schemas import SINGLE_ID, frame
from trunkline.log.port import Record, StoredRecord
from trunkline.model import times
from trunkline.model.reading import Kind, Value

NOW = times.from_iso("2026-01-01T12:00:00Z")
FLOW, COUNT, RUNS, MODE = "P.A.U.FLOW", "P.A.U.COUNT", "P.A.U.RUNS", "P.A.U.MODE"
KINDS = {FLOW: Kind.DOUBLE, COUNT: Kind.INTEGER, RUNS: Kind.BOOLEAN, MODE: Kind.TEXT}
OFFLINE = RegistryClient()


def written(schema_id: int, fields: dict[str, Any]) -> bytes:
    """What a third party's serializer writes."""
    out = io.BytesIO()
    out.write(frame(schema_id))
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(BY_ID[schema_id]))), fields)
    return out.getvalue()


def single(tag: str, value: Value, second: int = 0, **more: Any) -> bytes:
    fields = {"tag": tag, "value": value, "source_time": NOW + second * times.SECOND, "gateway_time": NOW, "source": "s", **more}
    return written(SINGLE_ID, fields)


def envelope(value: object = 50.2, tag: str = "FLOW", **more: object) -> bytes:
    message = {
        "event_id": "0197d2a0-0000-7000-8000-00000000002a",
        "timestamp": "2026-01-01T12:00:00Z",
        "asset": {"plant": "P", "area": "A", "unit": "U"},
        "tag": tag,
        "value": value,
        "unit_of_measure": "m³/h",
        "quality": "GOOD",
        "category": "telemetry",
        "node_id": 42,
    }
    return json.dumps({key: item for key, item in {**message, **more}.items() if item is not ...}).encode()


def stored(*values: bytes | Record, topic: str = "telemetry.raw", first: int = 100) -> list[StoredRecord]:
    records = [one if isinstance(one, Record) else Record(one) for one in values]
    return [StoredRecord(topic, 0, first + number, NOW, one.key, one.value, one.headers) for number, one in enumerate(records)]


def shown(columns: Columns) -> list[tuple[str, Value, int]]:
    return [(columns.tags[columns.tag[place]], columns.value(place), int(columns.quality[place])) for place in range(len(columns))]
