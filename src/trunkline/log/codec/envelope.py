"""The JSON envelope of plant ingestion (P-8 to P-20; PD-6, PD-25, PD-26, PD-27): one message, one reading, event or alarm.

    {"event_id": "0197…", "timestamp": "2026-11-21T13:00:00.5Z", "asset": {"plant": "PLANT01", "area": "AREA02", "unit": "UNIT_05"},
     "tag": "FLOW_RATE", "value": 50.2, "unit_of_measure": "m³/h", "quality": "GOOD", "category": "telemetry", "node_id": 42}

Strict: an unknown field, a time without a zone, a name with a dot or a value that is no number is refused with the reason.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import numpy as np

from trunkline.log.codec.assembly import ABSENT, Parts
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.port import Record, StoredRecord
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.quality import Quality
from trunkline.model.reading import INT64_MAX, INT64_MIN, Kind
from trunkline.model.tags import MAX_PART, MAX_TAG, SEPARATOR, TagPath

_Part = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9][A-Z0-9_-]*$", max_length=MAX_PART)]
_Tag = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9][A-Z0-9_-]*$", max_length=MAX_TAG)]
_Unit = Annotated[str, msgspec.Meta(max_length=32)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Status = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Value = float | int | bool | str | None
_Int64 = Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]

_MICROSECOND: Final = timedelta(microseconds=1)
_NODE: Final = "node-"


class Short(StrEnum):
    """P-13."""

    GOOD = "GOOD"
    BAD = "BAD"
    UNCERTAIN = "UNCERTAIN"
    OOR = "OOR"


class Class(StrEnum):
    """P-14."""

    TELEMETRY = "telemetry"
    EVENT = "event"
    ALARM = "alarm"


class Grade(StrEnum):
    """P-16."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class Asset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Equipment path (P-11)."""

    plant: _Part
    area: _Part
    unit: _Part


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A message.

    Attributes:
        event_id: identity everywhere (P-9).
        timestamp: when it was measured or happened.
        asset, tag: where.
        value: a number; for tags of other kinds a boolean or text; None only with quality BAD.
        unit_of_measure: engineering unit.
        quality: short code.
        category: decides topic and table.
        node_id: originating node (P-15).
        severity: of alarms, and of nothing else.
        status_code: OPC UA status, which says more than the quality (PD-26).
        gateway_time: when the node read it; missing: the record's own time (PD-27).
        boot_epoch, sequence: the node's count, for finding gaps (PD-6).
        event_type, before, after, text, actor, attributes: what an event tells beside its number (PD-25).
        active, threshold: of alarms.
        correlation_id, trace_id: P-17.
    """

    event_id: UUID
    timestamp: _Moment
    asset: Asset
    tag: _Tag
    value: _Value = None
    unit_of_measure: _Unit = ""
    quality: Short
    category: Class
    node_id: _Int64
    severity: Grade | None = None
    status_code: _Status | None = None
    gateway_time: _Moment | None = None
    boot_epoch: _Int64 | None = None
    sequence: _Int64 | None = None
    event_type: str = ""
    before: _Value = None
    after: _Value = None
    text: str = ""
    actor: str = ""
    attributes: dict[str, _Value] = {}
    active: bool = True
    threshold: float | None = None
    correlation_id: str = ""
    trace_id: str = ""


_decoder = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()
_JSON_START = re.compile(rb"\s*\{")


def is_envelope(value: bytes) -> bool:
    """Return whether bytes look like a JSON object."""
    return _JSON_START.match(value) is not None


def validate_envelope(raw: bytes) -> Envelope:
    """Return the message (P-18, P-20). Raises CorruptData with the reason; `validate` is for those who want a result instead."""
    try:
        envelope = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptData(f"envelope: {error}") from None
    if (envelope.severity is None) == (envelope.category is Class.ALARM):
        has = (
            "an alarm needs 'severity'"
            if envelope.severity is None
            else f"'severity' belongs to alarms, not to category {envelope.category}"
        )
        raise CorruptData(f"envelope: {has}")
    return envelope


def validate(raw: bytes) -> tuple[Envelope | None, str]:
    """Return the message and '', or None and the reason; never raises (P-18, P-19)."""
    try:
        return validate_envelope(raw), ""
    except CorruptData as error:
        return None, str(error)


# --- readings


def decode_envelopes(records: Sequence[StoredRecord]) -> Parts:
    """Decode JSON readings; what is wrong with one is said in `Parts.wrong`, and the others go on."""
    size = len(records)
    tags, tag = _Numbers(), np.zeros(size, np.int32)
    sources, source = _Numbers(), np.zeros(size, np.int32)
    source_time, gateway_time = np.zeros(size, np.int64), np.zeros(size, np.int64)
    quality, branch = np.zeros(size, np.uint16), np.full(size, ABSENT, np.int32)
    number, integer = np.zeros(size, np.float64), np.zeros(size, np.int64)
    text: dict[int, str] = {}
    wrong: dict[int, str] = {}
    ids = [bytes(16)] * size
    for place, record in enumerate(records):
        try:
            one = validate_envelope(record.value)
        except CorruptData as error:
            wrong[place] = str(error)
            continue
        if one.category is not Class.TELEMETRY:
            wrong[place] = f"class: a message of category {one.category} on a topic of telemetry (W-10)"
            continue
        asset = one.asset
        tag[place] = tags.of((asset.plant, asset.area, asset.unit, one.tag))
        source[place] = sources.of((_source(one, record),))
        source_time[place] = _micros(one.timestamp)
        gateway_time[place] = record.timestamp if one.gateway_time is None else _micros(one.gateway_time)
        quality[place] = _quality(one.quality, one.status_code)
        ids[place] = one.event_id.bytes
        match one.value:
            case float():
                branch[place], number[place] = Kind.DOUBLE, one.value
            case bool():
                branch[place], integer[place] = Kind.BOOLEAN, one.value
            case int():
                branch[place] = Kind.INTEGER
                if INT64_MIN <= one.value <= INT64_MAX:
                    integer[place] = one.value
                else:
                    wrong[place] = f"value: {one.value} does not fit a signed 64-bit integer"
            case str():
                branch[place], text[place] = Kind.TEXT, one.value
    return Parts(
        tags=[SEPARATOR.join(parts) for parts in tags.found] or [""],
        tag=tag,
        sources=[source for (source,) in sources.found] or [""],
        source=source,
        source_time=source_time,
        gateway_time=gateway_time,
        quality=quality,
        branch=branch,
        number=number,
        integer=integer,
        text=text,
        wrong=wrong,
        event_ids=ids,
    )


def _source(one: Envelope, record: StoredRecord) -> str:
    """Return the source that the record's head names, if a part of ours wrote it; else the node."""
    header = record.header(HEADER) if record.headers else None
    if header is not None:
        try:
            tallies = decode_head(header).tallies
        except CorruptData:
            tallies = ()  # told by whoever looks for the range that it covers
        if tallies:
            return tallies[0].source
    return f"{_NODE}{one.node_id}"


class _Numbers:
    """Numbers things in the order in which they are first seen."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}

    def of(self, thing: tuple[Any, ...]) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))

    @property
    def found(self) -> list[tuple[Any, ...]]:
        return list(self._numbers)


def encode_envelopes(columns: Columns, units: Mapping[str, str], event_ids: Sequence[UUID], nodes: Sequence[int]) -> list[Record]:
    """Return one JSON message for each reading, key = tag path (P-27); heads are the caller's.

    Args:
        columns: readings; their tags have the four parts plant, area, unit and tag.
        units: engineering unit by tag path.
        event_ids: identity of each reading.
        nodes: per tag of the columns, who sends its readings (P-15).

    Raises:
        ValueError, OverflowError: a tag path has not four parts, or a time is beyond the calendar.
    """
    assets = [_asset(path) for path in columns.tags]
    keys = [path.encode() for path in columns.tags]
    records = []
    for place, tag in enumerate(columns.tag.tolist()):
        graded = int(columns.quality[place])
        asset, name = assets[tag]
        envelope = Envelope(
            event_id=event_ids[place],
            timestamp=times.to_datetime(int(columns.time[place])),
            asset=asset,
            tag=name,
            value=columns.value(place),
            unit_of_measure=units.get(columns.tags[tag], ""),
            quality=Short(q.to_short(graded)),
            category=Class.TELEMETRY,
            node_id=nodes[tag],
            status_code=None if graded == Quality.GOOD else graded << 16,
            gateway_time=times.to_datetime(int(columns.gateway_time[place])),
            sequence=int(columns.seq[place]),
        )
        records.append(Record(_encoder.encode(envelope), keys[tag]))
    return records


# --- events and alarms


def decode_event_envelope(raw: bytes, arrived: int) -> Event:
    """Return the event or alarm of a JSON message; `arrived` is the record's own time, µs. Raises CorruptData."""
    one = validate_envelope(raw)
    if one.category is Class.TELEMETRY:
        raise CorruptData("class: a message of category telemetry on a topic of events (W-10)")
    number = one.value if isinstance(one.value, int | float) and not isinstance(one.value, bool) else None
    common: dict[str, Any] = {
        "id": str(one.event_id),
        "type": one.event_type or one.tag,
        "time": _micros(one.timestamp),
        "gateway_time": arrived if one.gateway_time is None else _micros(one.gateway_time),
        "asset": SEPARATOR.join((one.asset.plant, one.asset.area, one.asset.unit)),
        "tag": one.tag,
        "source": f"{_NODE}{one.node_id}",
        "text": one.text,
        "before": one.before,
        "after": one.after if one.after is not None or one.category is Class.ALARM else number,
        "actor": one.actor,
        "quality": _quality(one.quality, one.status_code),
        "attributes": one.attributes,
        "correlation_id": one.correlation_id,
        "trace_id": one.trace_id,
    }
    if one.severity is None:
        return Event(**common)
    severity = AlarmSeverity[one.severity]
    return Alarm(**common, severity=severity, active=one.active, value=one.value, threshold=one.threshold, unit=one.unit_of_measure)


def encode_event_envelope(event: Event, node_id: int) -> bytes:
    """Return the JSON message of an event or alarm. Raises ValueError when its asset has not three parts or its id is no UUID."""
    asset, name = _asset(f"{event.asset}.{event.tag or event.type}")
    alarm = event if isinstance(event, Alarm) else None
    return _encoder.encode(
        Envelope(
            event_id=UUID(event.id),
            timestamp=times.to_datetime(event.time),
            asset=asset,
            tag=name,
            value=alarm.value if alarm else None,
            unit_of_measure=alarm.unit if alarm else "",
            quality=Short(q.to_short(event.quality)),
            category=Class.ALARM if alarm else Class.EVENT,
            node_id=node_id,
            severity=Grade(alarm.severity.name) if alarm else None,
            status_code=None if event.quality == Quality.GOOD else event.quality << 16,
            gateway_time=times.to_datetime(event.gateway_time),
            event_type=event.type,
            before=event.before,
            after=event.after,
            text=event.text,
            actor=event.actor,
            attributes=event.attributes,
            active=alarm.active if alarm else True,
            threshold=alarm.threshold if alarm else None,
            correlation_id=event.correlation_id,
            trace_id=event.trace_id,
        )
    )


def _asset(path: str) -> tuple[Asset, str]:
    parts = TagPath.parse(path).parts
    if len(parts) != 4:
        raise ValueError(f"tag path {path!r} has {len(parts)} parts: the envelope needs plant, area, unit and tag")
    plant, area, unit, tag = parts
    return Asset(plant, area, unit), tag


@lru_cache(maxsize=1024)
def _quality(short_code: Short, status_code: int | None) -> int:
    """Return the quality of the status code if it agrees with the short code, else the worse of the two."""
    short = q.from_short(short_code)
    if status_code is None:
        return int(short)
    status = q.from_opcua(status_code)
    return status if q.to_short(status) == short_code else q.worse(status, short)


def _micros(moment: datetime) -> int:
    return (moment - times.EPOCH) // _MICROSECOND


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the envelope, for third parties."""
    document: dict[str, Any] = msgspec.json.schema(Envelope)
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]  # plain JSON, no types of ours
