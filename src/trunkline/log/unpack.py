"""What is inside a record, for people: every form that is found on our topics, and whatever else may lie there (E-69)."""

import io
import math
from datetime import datetime
from typing import Any, Final, NamedTuple

import fastavro
import msgspec

from trunkline.log.codec.columns import Columns, decode
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.codec.schemas import ALARM_ID, BLOCK_ID, EVENT_ID, FRAME_BYTES, PARSED, SINGLE_ID, schema_id_of
from trunkline.log.port import StoredRecord
from trunkline.model import quality, times
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, Event
from trunkline.model.reading import Value

_SHOWN_BYTES: Final = 4096
_JSON_STARTS: Final = (b"{", b"[")


class Unpacked(NamedTuple):
    """The content of a record.

    Attributes:
        form: block, single, event, alarm, json, empty, text or bytes; `avro schema N` for an Avro value that is not one of ours.
        content: what JSON can hold: a list of readings for a block, a mapping for a single, an event or an alarm, text or hexadecimal
            digits for what is none of these.
        problem: why it could not be read as the form it claims to be; None when it could.
    """

    form: str
    content: Any
    problem: str | None = None


def form_of(record: StoredRecord) -> str:
    """Return what a record is, by its first bytes."""
    value = record.value
    if not value:
        return "empty"
    try:
        schema_id = schema_id_of(value)
    except CorruptData:
        return "json" if value.lstrip()[:1] in _JSON_STARTS else _plain(value).form
    known = {BLOCK_ID: "block", SINGLE_ID: "single", EVENT_ID: "event", ALARM_ID: "alarm"}
    return known.get(schema_id, f"avro schema {schema_id}")


def unpack(record: StoredRecord) -> Unpacked:
    """Return what is inside; what cannot be decoded is shown as it is, with the reason. Never raises."""
    form = form_of(record)
    try:
        return Unpacked(form, _content(form, record))
    except (CorruptData, msgspec.DecodeError, UnicodeDecodeError) as error:
        return Unpacked(form, _plain(record.value).content, str(error))


def _content(form: str, record: StoredRecord) -> Any:  # noqa: ANN401 - what JSON can hold
    match form:
        case "block":
            return readings(decode([record]))
        case "single":
            return _single(record.value)
        case "event" | "alarm":
            return _event(decode_event(record.value))
        case "json":
            return msgspec.json.decode(record.value)
        case "empty":
            return _covered(record)
        case _:
            return _plain(record.value).content


def readings(columns: Columns) -> list[dict[str, Any]]:
    """Return readings one by one, in the order of their block."""
    return [
        {
            "tag": columns.tags[columns.tag[place]],
            "time": times.to_iso(int(columns.time[place])),
            "value": safe(columns.value(place)),
            "quality": quality.name(int(columns.quality[place])),
            "gateway_time": times.to_iso(int(columns.gateway_time[place])),
            "source": columns.sources[columns.source[place]],
            "seq": int(columns.seq[place]),
        }
        for place in range(len(columns))
    ]


def safe(value: Value) -> Value:
    """JSON has no NaN and no infinities: they are told in words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _single(value: bytes) -> dict[str, Any]:
    try:
        fields: Any = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), PARSED[SINGLE_ID], None)
    except (ValueError, TypeError, EOFError, IndexError, KeyError, StopIteration) as error:
        raise CorruptData(f"reading cannot be decoded: {error}") from error
    source_time: datetime | None = fields["source_time"]
    return {
        **fields,
        "value": safe(fields["value"]),
        "quality": quality.name(fields["quality"]),
        "source_time": None if source_time is None else times.to_iso(times.from_datetime(source_time)),
        "gateway_time": times.to_iso(times.from_datetime(fields["gateway_time"])),
    }


def _event(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = {**msgspec.to_builtins(event), "time": _iso(event.time), "gateway_time": _iso(event.gateway_time)}
    if isinstance(event, Alarm):
        fields["severity"] = event.severity.name
    return {name: safe(value) if isinstance(value, float) else value for name, value in fields.items()}


def _iso(us: int) -> str | int:
    try:
        return times.to_iso(us)
    except (ValueError, OverflowError):  # an impossible stamp is still to be seen
        return us


def _covered(record: StoredRecord) -> dict[str, Any]:
    """An empty record may stand for readings that validation took out: its header says which."""
    header = record.header(HEADER)
    if header is None:
        return {}
    head = decode_head(header)
    return {"origin": head.origin, "lo": head.lo, "hi": head.hi, "rejected": sum(tally.rejected for tally in head.tallies)}


def _plain(value: bytes) -> Unpacked:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return Unpacked("bytes", value[:_SHOWN_BYTES].hex())
    return Unpacked("text", text[:_SHOWN_BYTES]) if text.isprintable() else Unpacked("bytes", value[:_SHOWN_BYTES].hex())
