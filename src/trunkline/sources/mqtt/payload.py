"""Payloads to readings. Nothing that a device sends raises: what cannot be decoded becomes a BAD reading of the tags concerned."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from trunkline.model import quality
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value
from trunkline.sources.decoding import Undecodable, checked_value, parse_plain, parse_time, told_quality
from trunkline.sources.jsonpath import Finder, compile_path, is_singular
from trunkline.sources.mqtt.config import MqttTagConfig


class Message(NamedTuple):
    """A message as the broker delivered it.

    Attributes:
        sequence: place in the order of arrival within one connection.
        topic: topic name.
        payload: bytes as sent.
        qos: 0 to 2.
        packet: packet identifier to acknowledge; 0 at QoS 0.
        retained: kept by the broker from before the subscription.
        received: when it arrived, µs UTC.
    """

    sequence: int
    topic: str
    payload: bytes
    qos: int
    packet: int
    retained: bool
    received: int


#: Takes a message and why it, or a part of it, could not be decoded.
Report: TypeAlias = Callable[[Message, str], None]


def _samples(found: list[Any]) -> list[Any]:
    """Return the samples of a path's result: a list found in one place is a row of samples."""
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def _spread(path: "_Path | None", document: Any, count: int) -> Sequence[Any]:  # noqa: ANN401 - any JSON document
    """Return what a path finds for each of `count` samples, None where it finds nothing. Raises Undecodable if the numbers do not fit."""
    found = path.find(document) if path else []
    entries = _samples(found)
    if len(entries) == count:
        return entries
    if not entries:
        return (None,) * count
    if path and path.singular and entries is found:
        return found * count  # one for all samples
    raise Undecodable(f"{len(entries)} entries at {path.text if path else ''} for {count} values")


class _Path:
    """A compiled JSONPath."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.find: Finder = compile_path(text)
        self.singular = is_singular(text)


class TagDecoder:
    """Decodes the readings of one tag out of messages."""

    def __init__(self, tag: MqttTagConfig, max_text_bytes: int, report: Report) -> None:
        """Compile the paths of `tag`; `report` is told of everything that cannot be decoded."""
        self._report = report
        self.path = tag.path
        self.json = tag.value is not None
        self._kind = tag.value_kind
        self._max_text_bytes = max_text_bytes
        self._time_format = tag.timestamp_format
        self._value, self._time, self._quality = (_Path(text) if text else None for text in (tag.value, tag.timestamp, tag.quality))

    def undecodable(self, message: Message, why: str) -> Reading:
        """Return the reading that says that something came and could not be understood."""
        self._report(message, f"tag {self.path}: {why}")
        return Reading(self.path, None, Quality.BAD_DECODING, None, message.received)

    def decode_plain(self, message: Message) -> list[Reading]:
        """Decode a payload that is the value itself. Raises Undecodable."""
        value = checked_value(parse_plain(message.payload, self._kind), self._kind, self._max_text_bytes)
        return [self._reading(message, value, Quality.GOOD, None)]

    def decode_json(self, message: Message, document: Any) -> list[Reading]:  # noqa: ANN401 - any JSON document
        """Decode one or more samples of a JSON document. Raises Undecodable if none can be told; a single bad one is a BAD reading."""
        found = _samples(self._value.find(document)) if self._value else []
        if not found:
            raise Undecodable("no value at the path")
        moments = _spread(self._time, document, len(found))
        codes = _spread(self._quality, document, len(found))
        return [self._sample(message, *sample) for sample in zip(found, moments, codes, strict=True)]

    def _sample(self, message: Message, raw: object, moment: object, code: object) -> Reading:
        try:
            value = checked_value(raw, self._kind, self._max_text_bytes)
            told = told_quality(code)
        except Undecodable as error:
            return self.undecodable(message, str(error))
        if value is None and quality.severity(told) is not quality.Severity.BAD:
            told = Quality.BAD  # PD-26: no value needs a BAD quality
        try:
            source_time = None if moment is None else parse_time(moment, self._time_format)
        except Undecodable:
            return self._reading(message, value, quality.worse(told, Quality.BAD_TIME), None)
        return self._reading(message, value, told, source_time)

    def _reading(self, message: Message, value: Value, told: int, source_time: int | None) -> Reading:
        if message.retained and source_time is None:
            # the broker kept it for an unknown time: it is a first idea of the value, not a measurement of now
            told = quality.worse(told, Quality.UNCERTAIN_INITIAL)
        return Reading(self.path, value, told, source_time, message.received)
