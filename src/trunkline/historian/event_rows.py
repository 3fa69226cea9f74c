"""Events and alarms as rows."""

import uuid
from typing import Any

import msgspec
import psycopg

from trunkline.historian import statements
from trunkline.historian.segments import LATEST
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.reading import Category, Value


def category_of(event: Event) -> Category:
    """Return ALARM or EVENT."""
    return Category.ALARM if isinstance(event, Alarm) else Category.EVENT


def fault_of(event: Event) -> str | None:
    """Return why PostgreSQL could never store this event, or None."""
    try:
        uuid.UUID(event.id)
    except ValueError:
        return f"event id {event.id!r:.60} is not a UUID"
    for name in ("type", "asset", "tag", "source", "text", "actor", "correlation_id", "trace_id", "origin"):
        if "\0" in getattr(event, name):
            return f"{name} contains a NUL character"
    for name in ("time", "gateway_time"):
        if not times.EARLIEST <= getattr(event, name) < LATEST:
            return f"{name} {getattr(event, name)} is outside the years 2000 to 2200"
    return None


def row_of(event: Event) -> dict[str, Any]:
    """Return the columns of the event table, all but `feed_id` and `hour`."""
    alarm = event if isinstance(event, Alarm) else None
    return {
        "id": uuid.UUID(event.id),
        "category": int(category_of(event)),
        "t": times.to_datetime(event.time),
        "gateway_t": times.to_datetime(event.gateway_time),
        "type": event.type,
        "asset": event.asset,
        "tag": event.tag,
        "text": event.text,
        "before": _json(event.before),
        "after": _json(event.after),
        "actor": event.actor,
        "quality": event.quality,
        "attributes": msgspec.json.encode(event.attributes).decode(),
        "correlation_id": event.correlation_id,
        "trace_id": event.trace_id,
        "severity": int(alarm.severity) if alarm else None,
        "active": alarm.active if alarm else None,
        "value": _json(alarm.value) if alarm else None,
        "threshold": alarm.threshold if alarm else None,
        "unit": alarm.unit if alarm else "",
    }


def event_of(row: tuple[Any, ...]) -> Event:
    """Return the event of a row of `statements.EVENT_COLUMNS`, fetched in binary form (times in µs)."""
    (
        id_, category, t, gateway_t, type_, asset, tag, text, before, after, actor, quality,
        attributes, correlation_id, trace_id, severity, active, value, threshold, unit, origin, source,
    ) = row  # fmt: skip
    common: dict[str, Any] = {
        "id": str(id_),
        "type": type_,
        "time": t,
        "gateway_time": gateway_t,
        "asset": asset,
        "tag": tag,
        "origin": origin,
        "source": source,
        "text": text,
        "before": _value(before),
        "after": _value(after),
        "actor": actor,
        "quality": quality,
        "attributes": msgspec.json.decode(attributes),
        "correlation_id": correlation_id,
        "trace_id": trace_id,
    }
    if category == Category.EVENT:
        return Event(**common)
    return Alarm(**common, severity=AlarmSeverity(severity), active=active, value=_value(value), threshold=threshold, unit=unit)


def store_event(cursor: psycopg.Cursor[Any], event: Event, feed: int, hour: int) -> str | None:
    """Insert one event; return None when it is new, '' when it is stored already, or why it clashes with the one stored (PD-23)."""
    row = row_of(event)
    if cursor.execute(statements.WRITE_EVENT, {**row, "feed_id": feed, "hour": hour}).fetchone():
        return None
    stored = cursor.connection.cursor(binary=True).execute(statements.READ_EVENT, (event.id,)).fetchone()
    # when a device or broker delivers again, the gateway reads again: the time of reading is no content
    same = stored is not None and {**row_of(event_of(stored)), "gateway_t": row["gateway_t"]} == row
    return "" if same else f"another event with the id {event.id} is stored already"


def _json(value: Value) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _value(text: str | None) -> Value:
    value: Value = None if text is None else msgspec.json.decode(text)
    return value
