"""Events and alarms in whatever form a record has: our own Avro in any version, or the JSON envelope."""

import io
from typing import Any, Final

import fastavro

from trunkline.log.codec.builtin import BY_ID
from trunkline.log.codec.envelope import decode_event_envelope, is_envelope
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.registry import RegistryClient, WriterSchema
from trunkline.log.codec.schemas import ALARM_ID, EVENT_ID, FRAME_BYTES, PARSED, schema_id_of
from trunkline.log.port import StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, AlarmSeverity, Event

_OURS: Final = {EVENT_ID, ALARM_ID}
_READERS: Final = {BY_ID[schema_id]["namespace"] + "." + BY_ID[schema_id]["name"]: schema_id for schema_id in (EVENT_ID, ALARM_ID)}


def is_ours(value: bytes) -> bool:
    """Return whether an event was written with a schema of this version: its bytes may travel on as they are."""
    return value[:1] == b"\0" and schema_id_of(value) in _OURS


def decode_event_record(record: StoredRecord, schemas: RegistryClient) -> Event:
    """Return the event or alarm.

    Raises:
        CorruptData: it is none, or was written with a schema that ours cannot read.
        RetryLater: the schema has to be asked for, and the registry is away.
    """
    if is_envelope(record.value):
        return decode_event_envelope(record.value, record.timestamp)
    schema_id = schema_id_of(record.value)
    if schema_id in _OURS:
        return decode_event(record.value)
    schema = schemas.schema(schema_id)
    reader = _READERS.get(schema.name)
    if reader is None:
        raise CorruptData(f"schema id {schema_id} ({schema.name or 'no record'}) is neither an event nor an alarm")
    return _resolved(record.value, schema, reader)


def _resolved(value: bytes, schema: WriterSchema, reader: int) -> Event:
    """Read another version of our record into ours (W-95)."""
    try:
        fields: Any = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), schema.parsed, PARSED[reader])
        if reader == ALARM_ID:
            return Alarm(**{**fields, "severity": AlarmSeverity(fields["severity"])})
        return Event(**fields)
    except (ValueError, TypeError, EOFError, IndexError, KeyError, StopIteration, fastavro.read.SchemaResolutionError) as error:
        raise CorruptData(f"event of schema id {schema.id} cannot be decoded: {error}") from error
