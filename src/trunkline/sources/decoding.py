"""What devices write, to values: JSON, words, times. Shared by sources whose payload is text.

Nothing that a device sends raises anything but `Undecodable`, whose text says what is wrong with it.
"""

import math
import re
from typing import Any, Literal, TypeAlias

import msgspec

from trunkline.model import quality, times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Value, coerce

TimeFormat: TypeAlias = Literal["iso8601", "epoch_s", "epoch_ms", "epoch_us"]

EPOCH_UNITS: dict[str, int] = {"epoch_s": times.SECOND, "epoch_ms": 1000, "epoch_us": 1}

#: Years 1 to 9999: what datetime, and PostgreSQL with it, can hold.
_FIRST_TIME = -62_135_596_800 * times.SECOND
_LAST_TIME = 253_402_300_800 * times.SECOND - 1

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d{1,19}")
_TRUE = frozenset({"true", "on", "yes", "1"})
_FALSE = frozenset({"false", "off", "no", "0"})


class Undecodable(ValueError):
    """A payload, or a part of it, is not what the configuration says; the text is the reason."""


def parse_json(payload: bytes | str) -> Any:  # noqa: ANN401 - any JSON document
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
        return parse_text(payload.decode(), kind)
    except UnicodeDecodeError as error:
        raise Undecodable("not UTF-8 text") from error


def parse_text(text: str, kind: Kind) -> Value:
    """Return the value that a text stands for. Raises Undecodable."""
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
            moment = round(value * EPOCH_UNITS[time_format])
        else:
            raise Undecodable(f"the time {value!r:.40} is not a number")
    except (ValueError, OverflowError) as error:
        raise Undecodable(f"impossible time: {error}") from error
    return in_calendar(moment)


def in_calendar(moment: int) -> int:
    """Return a time unchanged. Raises Undecodable outside the years 1 to 9999."""
    if not _FIRST_TIME <= moment <= _LAST_TIME:
        raise Undecodable(f"the time {moment} µs is outside the years 1 to 9999")
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


def told_quality(code: object) -> int:
    """Return the quality of one of the words GOOD, UNCERTAIN, BAD, OOR, SUSPECT and UNKNOWN; None is GOOD. Raises Undecodable."""
    if code is None:
        return Quality.GOOD
    if not isinstance(code, str):
        raise Undecodable(f"the quality {code!r:.40} is not a word")
    try:
        return quality.from_short(code)
    except ValueError as error:
        raise Undecodable(str(error)) from error
