"""Events and alarms as single Avro records with the schema id in front."""

import io
from typing import Any

import fastavro
import msgspec

from trunkline.log.codec.schemas import ALARM_ID, EVENT_ID, FRAME_BYTES, PARSED, frame, schema_id_of
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, AlarmSeverity, Event

_FRAMES = {EVENT_ID: frame(EVENT_ID), ALARM_ID: frame(ALARM_ID)}


def encode_event(event: Event) -> bytes:
    """Return the framed Avro value of an event or alarm."""
    fields: dict[str, Any] = msgspec.structs.asdict(event)
    schema_id = ALARM_ID if isinstance(event, Alarm) else EVENT_ID
    if isinstance(event, Alarm):
        fields["severity"] = int(event.severity)
    out = io.BytesIO()
    out.write(_FRAMES[schema_id])
    fastavro.schemaless_writer(out, PARSED[schema_id], fields)
    return out.getvalue()


def decode_event(value: bytes) -> Event:
    """Return the event or alarm. Raises CorruptData."""
    schema_id = schema_id_of(value)
    if schema_id not in _FRAMES:
        raise CorruptData(f"schema id {schema_id} is neither an event nor an alarm")
    try:
        fields: Any = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), PARSED[schema_id], None)
        if schema_id == ALARM_ID:
            return Alarm(**{**fields, "severity": AlarmSeverity(fields["severity"])})
        return Event(**fields)
    except (ValueError, TypeError, EOFError, IndexError, KeyError, StopIteration) as error:
        raise CorruptData(f"event cannot be decoded: {error}") from error
