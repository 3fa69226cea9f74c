"""Messages to events and alarms (PD-25): one JSON object each, fields found by paths."""

import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any

from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import content_uuid
from trunkline.model.quality import Quality
from trunkline.model.reading import INT64_MAX, INT64_MIN, Value
from trunkline.model.tags import MAX_PATH, TagPath
from trunkline.sources.broker.message import Message
from trunkline.sources.decoding import Undecodable, parse_json, parse_time
from trunkline.sources.jsonpath import Finder, compile_path
from trunkline.sources.mqtt.config import EventConfig, EventFields

#: Type of the event that stands for a message which could not be understood.
REFUSED = "EVENT_UNDECODABLE"

_SHOWN_BYTES = 1_000
_MAX_TYPE = 128
_MAX_TEXT = 4_000


def _identity(message: Message, time: int) -> str:
    """Return a UUID made of the event's time and content.

    A message that the broker delivers again is then the same event; a random identity would make it a second one.
    """
    return str(content_uuid(time, hashlib.sha256(message.topic.encode() + b"\0" + message.payload).digest()))


def _plain(value: object) -> Value:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and INT64_MIN <= value <= INT64_MAX):
        return value
    return str(value)[:_MAX_TEXT]


class EventDecoder:
    """Decodes the events of one topic filter."""

    def __init__(self, config: EventConfig, source: str) -> None:
        """Compile the paths of `config`; `source` is the id of the source."""
        self._config = config
        self._source = source
        self._finders: dict[str, Finder] = {name: compile_path(getattr(config.fields, name)) for name in EventFields.model_fields}

    def decode(self, message: Message) -> Event:
        """Decode a message. Raises Undecodable."""
        document = parse_json(message.payload)
        if not isinstance(document, dict):
            raise Undecodable("not a JSON object")
        return self._event(message, document)

    def refused(self, message: Message, why: str) -> Event:
        """Return the event that keeps a message which could not be understood, so that it is seen and not lost."""
        return Event(
            id=_identity(message, message.received),
            type=REFUSED,
            time=message.received,
            gateway_time=message.received,
            asset=self._config.asset or "",
            source=self._source,
            text=f"a message on {message.topic[:MAX_PATH]!r} is not an event: {why}"[:_MAX_TEXT],
            quality=Quality.BAD_DECODING,
            attributes={
                "topic": message.topic[:MAX_PATH],
                "bytes": len(message.payload),
                "payload": message.payload[:_SHOWN_BYTES].decode(errors="replace"),
            },
        )

    def _event(self, message: Message, document: dict[str, Any]) -> Event:
        def field(name: str) -> object:
            found = self._finders[name](document)
            return found[0] if found else None

        told_time = field("time")
        time = message.received if told_time is None else parse_time(told_time, self._config.time_format)
        common: dict[str, Any] = {
            "id": _told_identity(field("id")) or _identity(message, time),
            "type": _type_name(field("type") or self._config.type),
            "time": time,
            "gateway_time": message.received,
            "asset": _asset(field("asset") or self._config.asset),
            "tag": _text(field("tag"), MAX_PATH),
            "source": self._source,
            "text": _text(field("text"), _MAX_TEXT),
            "before": _plain(field("before")),
            "after": _plain(field("after")),
            "actor": _text(field("actor"), 256),
            "quality": Quality.UNCERTAIN_NO_SOURCE_TIME if told_time is None else Quality.GOOD,
            "attributes": _attributes(field("attributes")),
        }
        severity = _severity(field("severity")) or self._config.default_severity
        return Event(**common) if severity is None else _alarm(common, severity, field)


def _alarm(common: dict[str, Any], severity: AlarmSeverity, field: Callable[[str], object]) -> Alarm:
    threshold, active = field("threshold"), field("active")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
        raise Undecodable(f"the threshold {threshold!r:.40} is not a number")
    if active is not None and not isinstance(active, bool):
        raise Undecodable(f"'active' must be true or false, not {active!r:.40}")
    return Alarm(
        **common,
        severity=severity,
        active=active is not False,
        value=_plain(field("value")),
        threshold=None if threshold is None else float(threshold),
        unit=_text(field("unit"), 32),
    )


def _text(value: object, most: int) -> str:
    return "" if value is None else str(value)[:most]


def _asset(value: object) -> str:
    if value is None:
        return ""
    try:
        return str(TagPath.parse(str(value)))
    except ValueError as error:
        raise Undecodable(str(error)) from error


def _type_name(value: object) -> str:
    """Return SCREAMING_SNAKE of what the device calls it. Raises Undecodable when it says nothing."""
    name = re.sub(r"[^A-Z0-9]+", "_", _text(value, _MAX_TYPE).upper()).strip("_")
    if not name:
        raise Undecodable("no event type")
    return name


def _told_identity(value: object) -> str:
    if value is None:
        return ""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError as error:
        raise Undecodable(f"the id {value!r:.60} is not a UUID") from error


def _severity(value: object) -> AlarmSeverity | None:
    if value is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise Undecodable(f"the severity {value!r:.40} is neither a word nor a number")
    try:
        return AlarmSeverity[value.upper()] if isinstance(value, str) else AlarmSeverity(value)
    except (KeyError, ValueError) as error:
        raise Undecodable(f"the severity {value!r:.40} is none of LOW, MEDIUM, HIGH, CRITICAL") from error


def _attributes(value: object) -> dict[str, Value]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Undecodable("the attributes are not an object")
    return {str(name)[:_MAX_TYPE]: _plain(content) for name, content in value.items()}
