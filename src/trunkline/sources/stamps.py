"""Times as tables write them, to µs UTC (PD-27). A time without a zone needs one from the configuration."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from trunkline.model import times
from trunkline.sources.decoding import EPOCH_UNITS, Undecodable, in_calendar

ISO8601: Final = "iso8601"


class Stamp(NamedTuple):
    """A time.

    Attributes:
        moment: µs UTC.
        doubtful: the local time came twice, when clocks were set back; the first is taken.
    """

    moment: int
    doubtful: bool = False


def zone_of(text: str) -> tzinfo:
    """Return the zone of an IANA name such as 'Europe/Berlin', of 'UTC', or of an offset such as '+01:00'. Raises ValueError."""
    if text[:1] in ("+", "-"):
        try:
            offset = datetime.fromisoformat(f"2000-01-01T00:00:00{text}").utcoffset()
        except ValueError:
            offset = None
        if offset is None:
            raise ValueError(f"{text!r} is no offset from UTC: write for example '+01:00'")
        return timezone(offset)
    try:
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{text!r} is no time zone: write an IANA name such as 'Europe/Berlin', 'UTC', or an offset '+01:00'") from None


def check_format(time_format: str, zone: str) -> None:
    """Raise ValueError if a format is none, or leaves the zone open (PD-27)."""
    if time_format == ISO8601 or time_format in EPOCH_UNITS:
        return
    if "%" not in time_format:
        known = ", ".join((ISO8601, *EPOCH_UNITS))
        raise ValueError(f"{time_format!r} is no time format: use one of {known}, or a pattern such as '%d.%m.%Y %H:%M:%S'")
    told = datetime(2026, 11, 21, tzinfo=UTC)
    try:
        understood = datetime.strptime(told.strftime(time_format), time_format)  # noqa: DTZ007 - a trial
    except ValueError as error:
        raise ValueError(f"{time_format!r} is no time format: {error}") from None
    if understood.date() != told.date():
        raise ValueError(f"times of the format {time_format!r} have no whole date: year, month and day are needed")
    if "%z" not in time_format and not zone:
        raise ValueError(f"times of the format {time_format!r} have no zone: give 'zone', for example 'Europe/Berlin' or '+01:00'")


def stamp_reader(time_format: str, zone: str, decimal: str = ".") -> Callable[[object], Stamp]:
    """Return a function from what a table holds to a time; it raises Undecodable.

    Args:
        time_format: 'iso8601', 'epoch_s', 'epoch_ms', 'epoch_us', or a pattern of `datetime.strptime`.
        zone: of times that do not say theirs; empty: they are refused.
        decimal: sign before the fractions of an epoch that is written as text.
    """
    local = zone_of(zone) if zone else None
    unit = EPOCH_UNITS.get(time_format)

    def read(raw: object) -> Stamp:
        try:
            if isinstance(raw, datetime):
                return _placed(raw, local)
            if unit is not None:
                return Stamp(in_calendar(_epoch(raw, unit, decimal)))
            if not isinstance(raw, str):
                raise Undecodable(f"the time {raw!r:.40} is no text")
            text = raw.strip()
            return _placed(datetime.fromisoformat(text) if time_format == ISO8601 else datetime.strptime(text, time_format), local)  # noqa: DTZ007 - placed
        except (ValueError, OverflowError) as error:
            raise Undecodable(str(error) if isinstance(error, Undecodable) else f"impossible time: {error}") from error

    return read


def _epoch(raw: object, unit: int, decimal: str) -> int:
    if isinstance(raw, str):
        text = raw.strip().replace(decimal, ".")
        return int(text) * unit if text.lstrip("+-").isdecimal() else round(float(text) * unit)
    if isinstance(raw, int | float | Decimal) and not isinstance(raw, bool):
        return round(raw * unit)
    raise Undecodable(f"the time {raw!r:.40} is not a number")


def _placed(moment: datetime, local: tzinfo | None) -> Stamp:
    """Return the UTC of a time on a wall (PEP 495): of two the first, and doubtful; none that the clocks skipped."""
    if moment.tzinfo is not None:
        return Stamp(times.from_datetime(moment))
    if local is None:
        raise Undecodable(f"the time {moment.isoformat()} has no zone: give 'zone', or have it written with 'Z' or an offset")
    first, second = (moment.replace(tzinfo=local, fold=fold) for fold in (0, 1))
    change = (second.utcoffset() or timedelta()) - (first.utcoffset() or timedelta())
    if change > timedelta():
        raise Undecodable(f"the time {moment.isoformat()} does not exist in {local}: the clocks were set forward")
    return Stamp(times.from_datetime(first), change < timedelta())
