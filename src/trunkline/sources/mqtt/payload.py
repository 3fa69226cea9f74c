"""Payloads to readings. Nothing that a device sends raises: what cannot be decoded becomes a BAD reading of the tags concerned."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from trunkline.model import quality, times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading, Value, coerce
from trunkline.sources.broker.message import Message
from trunkline.sources.mqtt.config import MqttTagConfig, TimeFormat
from trunkline.sources.mqtt.paths import Finder, compile_path, is_singular

_EPOCH_UNITS: dict[str, int] = {"epoch_s": times.SECOND, "epoch_ms": 1000, "epoch_us": 1}

#: Years 1 to 9999: what datetime, and PostgreSQL with it, can hold.
_FIRST_TIME = -62_135_596_800 * times.SECOND
_LAST_TIME = 253_402_300_800 * times.SECOND - 1

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d{1,19}")
_TRUE = frozenset({"true", "on", "yes", "1"})
_FALSE = frozenset({"false", "off", "no", "0"})


class Undecodable(ValueError):
    """A payload, or a part of it, is not what the configuration says; the text is the reason."""


#: Takes a message and why it, or a part of it, could not be decoded.
Report: TypeAlias = Callable[[Message, str], None]


def parse_json(payload: bytes) -> Any:  # noqa: ANN401 - any JSON document
    """Decode strict JSON (RFC 8259: no NaN, no Infinity). Raises Undecodable."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Undecodable(f"not JSON: {error}") from error
    except RecursionError as error:
        raise Undecodable("JSON nested too deeply") from error


def parse_plain(payload: bytes, kind: Kind) -> Value:
    """Decode a payload that is one plain value. Raises Undecodable."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Undecodable("not UTF-8 text") from error
    if kind is Kind.TEXT:
        return text
    word = text.strip().lower()
    if kind is Kind.BOOLEAN and word in _TRUE | _FALSE:
        return word in _TRUE
    if kind is Kind.INTEGER and _INTEGER.fullmatch(word):
        return int(word)
    if kind in (Kind.DOUBLE, Kind.INTEGER) and len(word) <= 64 and _NUMBER.fullmatch(word):
        return float(word)
    raise Undecodable(f"{text[:40]!r} is not a {kind.name.lower()} value")


def parse_time(value: object, time_format: TimeFormat) -> int:
    """Return µs UTC of a time as a device writes it. Raises Undecodable."""
    try:
        if time_format == "iso8601":
            if not isinstance(value, str):
                raise Undecodable(f"the time {value!r:.40} is not ISO 8601 text")
            moment = times.from_iso(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = round(value * _EPOCH_UNITS[time_format])
        else:
            raise Undecodable(f"the time {value!r:.40} is not a number")
    except (ValueError, OverflowError) as error:
        raise Undecodable(f"impossible time: {error}") from error
    if not _FIRST_TIME <= moment <= _LAST_TIME:
        raise Undecodable(f"the time {value!r:.40} is outside the years 1 to 9999")
    return moment


def checked_value(raw: object, kind: Kind, max_text_bytes: int) -> Value:
    """Return a decoded value as its tag's kind. Raises Undecodable for another kind, numbers that are not finite and long texts."""
    if raw is not None and not isinstance(raw, int | float | str):
        raise Undecodable(f"{type(raw).__name__} is not a {kind.name.lower()} value")
    if isinstance(raw, str) and len(raw.encode(errors="replace")) > max_text_bytes:
        raise Undecodable(f"text of {len(raw)} characters is longer than {max_text_bytes} bytes")
    try:
        value = coerce(raw, kind)
    except (TypeError, OverflowError) as error:
        raise Undecodable(str(error)) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise Undecodable("not a finite number")
    return value


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
            told = self._told_quality(code)
        except Undecodable as error:
            return self.undecodable(message, str(error))
        if value is None and quality.severity(told) is not quality.Severity.BAD:
            told = Quality.BAD  # PD-26: no value needs a BAD quality
        try:
            source_time = None if moment is None else parse_time(moment, self._time_format)
        except Undecodable:
            return self._reading(message, value, quality.worse(told, Quality.BAD_TIME), None)
        return self._reading(message, value, told, source_time)

    def _told_quality(self, code: object) -> int:
        if code is None:
            return Quality.GOOD
        if not isinstance(code, str):
            raise Undecodable(f"the quality {code!r:.40} is not a word")
        try:
            return quality.from_short(code)
        except ValueError as error:
            raise Undecodable(str(error)) from error

    def _reading(self, message: Message, value: Value, told: int, source_time: int | None) -> Reading:
        if message.retained and source_time is None:
            # the broker kept it for an unknown time: it is a first idea of the value, not a measurement of now
            told = quality.worse(told, Quality.UNCERTAIN_INITIAL)
        return Reading(self.path, value, told, source_time, message.received)
