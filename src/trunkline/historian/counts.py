"""What one flush adds to the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trunkline.historian.pgbinary import INT2, INT4, INT8, ArrayParameter
from trunkline.historian.segments import I32, I64
from trunkline.ledger.status import EdgeCount
from trunkline.log.codec.distinct import counted
from trunkline.log.codec.head import BlockHead
from trunkline.model import times
from trunkline.model.reading import Category

COUNTS = ("stored", "rejected", "deduplicated", "repeats")
_PLACE = {name: place for place, name in enumerate(COUNTS)}
_NOTHING_TOLD = (0, 0, 0)
_NOTHING_DONE = (0,) * len(COUNTS)

_Cell = tuple[int, int, int]


def ledger_hours(time: I64, gateway_time: I64) -> I32:
    """`trunkline.log.codec.writer.ledger_hour` for arrays."""
    impossible = (time < times.EARLIEST) | (time > gateway_time + times.DAY)
    return np.where(impossible, 0, time // times.HOUR).astype(np.int32)


@dataclass(slots=True)
class LedgerCounts:
    """Numbers of records by (feed id, category, ledger hour): what was done here, and what gateways tell of their side."""

    _rows: dict[_Cell, list[int]] = field(default_factory=dict)
    _told: dict[_Cell, tuple[int, ...]] = field(default_factory=dict)

    def add(self, count: str, feed: int, category: Category, hour: int, records: int = 1) -> None:
        """Add records to one of `COUNTS`."""
        if records:
            row = self._rows.setdefault((feed, int(category), hour), [0] * len(COUNTS))
            row[_PLACE[count]] += records

    def add_tallies(self, head: BlockHead, category: Category, feeds: Mapping[tuple[str, str], int]) -> None:
        """Add what validation took out of a block."""
        for tally in head.tallies:
            feed = feeds[head.origin, tally.source]
            self.add("rejected", feed, category, tally.hour, tally.rejected)
            self.add("deduplicated", feed, category, tally.hour, tally.deduplicated)

    def add_readings(self, count: str, feed: I32, hour: I32) -> None:
        """Add one reading for each place of the two arrays."""
        hours, counts = counted(hour)
        for one, number in zip(hours.tolist(), counts.tolist(), strict=True):
            feeds, shares = counted(feed if number == len(feed) else feed[hour == one])
            for place, share in zip(feeds.tolist(), shares.tolist(), strict=True):
                self.add(count, place, Category.TELEMETRY, one, share)

    def tell(self, feed: int, category: Category, told: EdgeCount) -> None:
        """Take in a gateway's totals of a cell; totals never run backwards, whatever order they are told in."""
        cell = feed, int(category), told.hour
        before = self._told.get(cell, _NOTHING_TOLD)
        self._told[cell] = tuple(map(max, before, (told.read, told.forwarded, told.dropped)))

    def total(self, count: str) -> int:
        """Return the sum of one of `COUNTS`."""
        return sum(row[_PLACE[count]] for row in self._rows.values())

    def parameters(self) -> list[ArrayParameter]:
        """Return the columns for `statements.WRITE_LEDGER`, in key order so that concurrent writers cannot dead-lock."""
        keys = sorted(self._rows.keys() | self._told.keys())
        counts = [(*key, *self._told.get(key, _NOTHING_TOLD), *self._rows.get(key, _NOTHING_DONE)) for key in keys]
        columns = np.array(counts, np.int64).reshape(len(keys), 3 + len(_NOTHING_TOLD) + len(COUNTS)).T
        return [ArrayParameter(column, type_) for column, type_ in zip(columns, (INT4, INT2, INT4, *(INT8,) * 7), strict=True)]
