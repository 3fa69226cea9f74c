"""From OPC UA DataValues to values, qualities and times of ours, without loss."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from asyncua import ua

from trunkline.model import times
from trunkline.model.quality import Quality, Severity, from_opcua, severity
from trunkline.model.reading import Kind, Value, coerce

#: Info type 'data value' with the overflow bit (OPC UA Part 4, 7.39.1): the server's queue of this item was too short.
_OVERFLOW = 0x0480
#: A DateTime at or before 1601 or at the end of time means 'none' (OPC UA Part 6, 5.2.2.5).
_NEVER_BEFORE = datetime(1601, 1, 2, tzinfo=UTC)
_NEVER_AFTER = datetime(9999, 12, 31, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INTEGERS = frozenset(range(ua.VariantType.SByte, ua.VariantType.UInt64 + 1))


class Sample(NamedTuple):
    """One value as the model wants it: `source_time` in µs UTC or None, `overflow` when the server says that it lost some before."""

    value: Value
    quality: int
    source_time: int | None
    overflow: bool


def sample(data: ua.DataValue, kind: Kind, element: int | None) -> Sample:
    """Convert what the server sent for one tag; a value that is not of the tag's kind becomes None with BAD_TYPE."""
    status = data.StatusCode.value if data.StatusCode is not None else 0
    quality = from_opcua(status)
    value: Value = None
    if severity(quality) is not Severity.BAD:  # the value of a bad status is to be ignored (Part 4, 7.11)
        try:
            value = _convert(_pick(data.Value, element), kind)
        except (TypeError, OverflowError):
            quality = Quality.BAD_TYPE
        else:
            quality = quality if value is not None else _why_nothing(data.Value, element)
    return Sample(value, quality, source_time(data.SourceTimestamp), status & _OVERFLOW == _OVERFLOW)


def source_time(stamp: datetime | None) -> int | None:
    """Return the source timestamp in µs UTC, or None where the server gave none. Server timestamps do not stand in (D-16)."""
    if stamp is None:
        return None
    aware = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    return (aware - times.EPOCH) // _MICROSECOND if _NEVER_BEFORE <= aware < _NEVER_AFTER else None


def _pick(variant: ua.Variant | None, element: int | None) -> object:
    if variant is None or element is None:
        return variant.Value if variant is not None else None
    array = variant.Value
    return array[element] if isinstance(array, list) and element < len(array) else None


def _why_nothing(variant: ua.Variant | None, element: int | None) -> int:
    """A status that is not bad and yet no value: nothing was written there yet, or the tag names an element that is not there."""
    missing_element = element is not None and variant is not None and variant.Value is not None
    return Quality.BAD_CONFIGURATION if missing_element else Quality.BAD_WAITING


def _convert(raw: object, kind: Kind) -> Value:
    if raw is None:
        return None
    if isinstance(raw, int | float | str):
        if kind is Kind.DOUBLE and isinstance(raw, int) and float(raw) != raw:
            raise OverflowError(f"{raw} has more digits than a double can hold")
        return coerce(raw, kind)
    if isinstance(raw, datetime):
        stamp = source_time(raw)
        if stamp is None:
            return None
        return times.to_iso(stamp) if kind is Kind.TEXT else coerce(stamp, kind)
    if kind is Kind.TEXT:
        return _text(raw)
    raise TypeError(f"{type(raw).__name__} is not a {kind.name.lower()} value")


def _text(raw: object) -> str | None:
    convert = next((turn for form, turn in _TEXT_FORMS if isinstance(raw, form)), None)
    if convert is None:
        raise TypeError(f"{type(raw).__name__} is not a text value")
    return convert(raw)


_TEXT_FORMS: tuple[tuple[type, Callable[[Any], str | None]], ...] = (
    (ua.LocalizedText, lambda raw: raw.Text),
    (ua.QualifiedName, lambda raw: raw.Name),
    (UUID, str),
    (bytes, bytes.hex),
    (ua.NodeId, lambda raw: raw.to_string()),
    (ua.StatusCode, lambda raw: raw.name),
    (ua.XmlElement, lambda raw: raw.Value),
)
_TEXT_TYPES = frozenset(
    {
        ua.VariantType.String,
        ua.VariantType.LocalizedText,
        ua.VariantType.DateTime,
        ua.VariantType.Guid,
        ua.VariantType.XmlElement,
        ua.VariantType.QualifiedName,
        ua.VariantType.NodeId,
    }
)


def kind_of(variant_type: ua.VariantType | None) -> str:
    """Return the tag kind that holds values of this type without loss; '' where none does."""
    match variant_type:
        case ua.VariantType.Float | ua.VariantType.Double:
            return "double"
        case ua.VariantType.Boolean:
            return "boolean"
        case _:
            return "integer" if variant_type in _INTEGERS else "text" if variant_type in _TEXT_TYPES else ""
