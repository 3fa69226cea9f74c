"""The readings that an alarm book watches, as columns sorted by tag."""

from dataclasses import dataclass
from itertools import repeat
from typing import Final

import numpy as np

from trunkline.log.codec.columns import BOOL, F64, I64, Columns
from trunkline.model.quality import SEVERITY_SHIFT, Quality
from trunkline.model.reading import Kind, Value
from trunkline.processing.alarms.plan import FAULTY, GOOD, MISSING, UNCERTAIN, Plan

#: Qualities that speak of silence, not of a fault of the instrument: their readings repeat what was known.
_SILENT: Final = np.array(
    [Quality.UNCERTAIN_STALE, Quality.BAD_COMMS_LOST, Quality.BAD_NOT_CONNECTED, Quality.BAD_WAITING, Quality.BAD_OUT_OF_SERVICE], np.uint16
)
_LEVELS: Final = np.array([GOOD, UNCERTAIN, FAULTY, FAULTY], np.int8)


@dataclass(slots=True)
class Samples:
    """Readings of watched tags, by tag and then in the order of the log. Every array has the same length.

    Attributes:
        columns: where they come from.
        origin: position in `columns`.
        place: the tag's place in the plan.
        time: in history, µs UTC.
        number: the value as a number; NaN for text and absent values.
        level: how far the value can be relied on (GOOD to FAULTY of `plan`).
    """

    columns: Columns
    origin: I64
    place: I64
    time: I64
    number: F64
    level: np.ndarray[tuple[int], np.dtype[np.int8]]

    def __len__(self) -> int:
        return len(self.place)

    @classmethod
    def of(cls, columns: Columns, plan: Plan) -> "Samples":
        """Return the readings of the plan's tags."""
        places = np.fromiter(map(plan.tag_place.get, columns.tags, repeat(-1)), np.int64, len(columns.tags))
        place = places[columns.tag]
        origin = np.flatnonzero(place >= 0)
        origin = origin[np.argsort(place[origin], kind="stable")]
        tag = columns.tag[origin]
        kind = columns.kinds[tag]
        number = np.where(kind == Kind.DOUBLE, columns.number[origin], columns.integer[origin])
        quality, absent = columns.quality[origin], columns.absent[origin]
        number[(kind == Kind.TEXT) | absent] = np.nan
        level = _LEVELS[quality >> SEVERITY_SHIFT]
        if level.any() or absent.any():
            level[absent & (level < FAULTY)] = MISSING
            level[np.isin(quality, _SILENT)] = MISSING
        return cls(columns, origin, place[origin], columns.time[origin], number, level)

    def take(self, places: I64 | BOOL) -> "Samples":
        """Return some of them; `places` keeps the order by tag."""
        return Samples(self.columns, self.origin[places], self.place[places], self.time[places], self.number[places], self.level[places])

    def value(self, position: int) -> Value:
        """Return the value of one reading."""
        return self.columns.value(int(self.origin[position]))

    def first(self) -> BOOL:
        """Return where a tag's readings begin."""
        first = np.ones(len(self), np.bool_)
        np.not_equal(self.place[1:], self.place[:-1], out=first[1:])
        return first
