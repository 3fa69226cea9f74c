"""Metrics to readings. Nothing that an edge node sends raises: what cannot be decoded becomes a BAD reading of its tag."""

import math
from collections.abc import Callable
from typing import Final, TypeAlias

from trunkline.model import quality, times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading, Value, coerce
from trunkline.sources.sparkplug import datatypes
from trunkline.sources.sparkplug.codec import Metric
from trunkline.sources.sparkplug.config import SparkplugTagConfig
from trunkline.sources.sparkplug.datatypes import DataType, NoScalar
from trunkline.sources.sparkplug.wire import Undecodable

#: ms in µs.
MILLISECOND: Final = 1000
#: Year 9999: what datetime, and PostgreSQL with it, can hold.
_LAST_TIME: Final = 253_402_300_800 * times.SECOND - 1

#: 6.4.9.1: 'one of the valid quality codes of 0, 192, or 500'.
_QUALITIES: Final = {0: Quality.BAD, 192: Quality.GOOD, 500: Quality.UNCERTAIN_STALE}
#: Some senders put codes of their own there whose upper bit says bad, as in an OPC UA status.
_SIGN_BIT: Final = 0x8000_0000

#: Takes the path of a tag and why a value of its metric could not be decoded.
Report: TypeAlias = Callable[[str, str], None]


def told_quality(code: int | None) -> Quality:
    """Return the quality that a metric's property 'Quality' means; GOOD where it is absent."""
    if code is None:
        return Quality.GOOD
    return _QUALITIES.get(code, Quality.BAD if code & _SIGN_BIT else Quality.UNCERTAIN)


def source_time(milliseconds: int) -> int | None:
    """Return ms UTC as µs; None for a time that no calendar has."""
    moment = milliseconds * MILLISECOND
    return moment if moment <= _LAST_TIME else None


class TagReader:
    """Makes the readings of one tag."""

    def __init__(self, tag: SparkplugTagConfig, report: Report) -> None:
        """Prepare; `report` is told of every value that cannot be decoded."""
        self.path = tag.path
        self.metric = tag.metric
        self._kind = tag.value_kind
        self._report = report

    def reading(self, metric: Metric, datatype: int | None, sent: int | None, received: int) -> Reading:
        """Return the reading of a metric.

        Args:
            metric: as it was sent.
            datatype: of the metric, or of its birth.
            sent: the payload's time, ms UTC: it stands in for a metric's own, but not for that of history.
            received: when the message came, µs UTC.
        """
        told: int = told_quality(metric.quality)
        value, fault = self._value(metric, datatype)
        if fault is not None:
            told = quality.worse(told, fault)
        elif value is None:
            told = quality.worse(told, Quality.BAD)  # PD-26: no value needs a BAD quality
        stamp = metric.timestamp if metric.timestamp is not None or metric.historical else sent
        moment = None if stamp is None else source_time(stamp)
        if stamp is not None and moment is None:
            self._report(self.path, f"the time {stamp} ms is beyond the year 9999")
            told = quality.worse(told, Quality.BAD_TIME)
        return Reading(self.path, value, int(told), moment, received)

    def without_value(self, told: Quality, received: int, moment: int | None = None) -> Reading:
        """Return the reading that says why there is no value."""
        return Reading(self.path, None, told, moment, received)

    def _value(self, metric: Metric, datatype: int | None) -> tuple[Value, Quality | None]:
        """Return the value in the tag's kind, or None and why."""
        if metric.null:
            return None, None
        try:
            value = datatypes.value_of(metric, datatype)
            if datatype == DataType.DATETIME and isinstance(value, int):
                value = self._moment(value)
            value = coerce(value, self._kind)
        except (NoScalar, TypeError, OverflowError) as error:
            self._report(self.path, str(error))
            return None, Quality.BAD_TYPE
        except Undecodable as error:
            self._report(self.path, str(error))
            return None, Quality.BAD_DECODING
        if isinstance(value, float) and not math.isfinite(value):
            return None, Quality.BAD_NOT_FINITE
        return value, None

    def _moment(self, milliseconds: int) -> Value:
        """Return a DateTime: ISO 8601 for text, µs for integers."""
        moment = source_time(milliseconds)
        if moment is None:
            raise Undecodable(f"the time {milliseconds} ms is beyond the year 9999")
        return times.to_iso(moment) if self._kind is Kind.TEXT else moment
