"""Batches of readings on their way from the process of a source to the gateway, and back into what `Source.read` returns."""

from typing import Final

import msgspec
import numpy as np

from trunkline.gateway.isolation.messages import BadFrame, Brought, Columns
from trunkline.model.events import Alarm, Event
from trunkline.model.quality import Quality
from trunkline.model.reading import INT64_MAX, INT64_MIN, Kind, Reading, Value
from trunkline.model.scan import Roster, Scan
from trunkline.sources.port import ReadBatch

#: Rosters that both ends remember, the oldest forgotten first. A source has a few at a time.
_ROSTERS: Final = 64

_encode = msgspec.msgpack.Encoder().encode
_readings = msgspec.msgpack.Decoder(list[Reading])
_event = msgspec.msgpack.Decoder(Event)
_alarm = msgspec.msgpack.Decoder(Alarm)


class Packer:
    """The sending end."""

    def __init__(self) -> None:
        self._rosters: dict[Roster, int] = {}
        self._next = 0

    def pack(self, call: int, number: int, batch: ReadBatch) -> Brought:
        """Return the message for what a read brought.

        Args:
            call: number of the call that it answers.
            number: of the batch; 0 when the source waits for no verdict.
            batch: as the source gave it.
        """
        readings = batch.readings
        events = [(isinstance(event, Alarm), msgspec.Raw(_encode(event))) for event in batch.events]
        if isinstance(readings, Scan):
            columns, packed = self._columns(readings), _encode([])
            return Brought(call, number, columns, msgspec.Raw(packed), events, batch.alive, batch.late, batch.checkpoint)
        try:
            packed = _encode(list(readings))
        except (TypeError, ValueError, OverflowError):
            packed = _encode([_plain(one) for one in readings])
        return Brought(call, number, None, msgspec.Raw(packed), events, batch.alive, batch.late, batch.checkpoint)

    def _columns(self, scan: Scan) -> Columns:
        number = self._rosters.get(scan.roster)
        listed: tuple[list[str], list[int]] | None = None
        if number is None:
            number = self._next = self._next + 1
            self._rosters[scan.roster] = number
            if len(self._rosters) > _ROSTERS:
                del self._rosters[next(iter(self._rosters))]
            listed = list(scan.roster.tags), [int(kind) for kind in scan.roster.kinds]
        return Columns(
            number,
            listed,
            np.ascontiguousarray(scan.gateway_time, np.int64).tobytes(),
            np.ascontiguousarray(scan.numbers, np.float64).tobytes(),
            np.ascontiguousarray(scan.integers, np.int64).tobytes(),
            list(scan.texts),
            None if scan.quality is None else np.ascontiguousarray(scan.quality, np.int64).tobytes(),
            None if scan.absent is None else np.ascontiguousarray(scan.absent, np.bool_).tobytes(),
        )


class Unpacker:
    """The receiving end."""

    def __init__(self) -> None:
        self._rosters: dict[int, Roster] = {}

    def unpack(self, brought: Brought) -> ReadBatch:
        """Return what a read brought, without `ack` and `nack`. Raises BadFrame."""
        try:
            events = [(_alarm if is_alarm else _event).decode(raw) for is_alarm, raw in brought.events]
            readings = self._scan(brought.scan) if brought.scan is not None else _readings.decode(brought.readings)
            return ReadBatch(readings, events, brought.alive, late=brought.late, checkpoint=brought.checkpoint)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            raise BadFrame(f"a batch that cannot be read: {error}") from error

    def _scan(self, columns: Columns) -> Scan:
        if columns.listed is not None:
            tags, kinds = columns.listed
            self._rosters[columns.roster] = Roster(tuple(tags), tuple(map(Kind, kinds)))
            if len(self._rosters) > _ROSTERS:
                del self._rosters[next(iter(self._rosters))]
        return Scan(
            self._rosters[columns.roster],
            np.frombuffer(columns.gateway_time, np.int64),
            np.frombuffer(columns.numbers, np.float64),
            np.frombuffer(columns.integers, np.int64),
            columns.texts,
            None if columns.quality is None else np.frombuffer(columns.quality, np.int64),
            None if columns.absent is None else np.frombuffer(columns.absent, np.bool_),
        )


def _plain(reading: Reading) -> Reading:
    """Return a reading that MessagePack can carry: a value of another type becomes the plain one that it is, or BAD."""
    value = _plain_value(reading.value)
    quality = int(reading.quality)
    if value is None and reading.value is not None:
        quality = Quality.BAD_TYPE
    source_time = None if reading.source_time is None else int(reading.source_time)
    return Reading(str(reading.tag), value, int(quality), source_time, int(reading.gateway_time))


def _plain_value(value: Value) -> Value:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, int | np.integer):
        return int(value) if INT64_MIN <= value <= INT64_MAX else None
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return None
