"""How often each rule was broken: every reason of a reading counts, not only the one that its quality shows."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from trunkline.log.codec.columns import I64, Columns
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import content_uuid
from trunkline.model.tags import SEPARATOR
from trunkline.processing.rules.batch import Hit

TYPE: Final = "QUALITY"
#: Cells kept; beyond that they are told before their hour is over.
_CELLS: Final = 50_000


class Cell(msgspec.Struct, array_like=True):
    """Readings of one tag that broke one rule in one hour of history, with the first and the last time, µs UTC."""

    tag: str
    rule: str
    kind: str
    readings: int
    first: int
    last: int

    @property
    def key(self) -> str:
        """Name of the cell."""
        return f"{self.tag}|{self.rule}|{times.hour_of(self.first)}"

    def event(self, now: int) -> Event:
        """Return what is told of it; late readings are told by another event, to be added."""
        asset, _, name = self.tag.rpartition(SEPARATOR)
        digest = hashlib.sha256(f"{self.key}|{self.readings}|{self.first}|{self.last}|{now}".encode()).digest()
        return Event(
            id=str(content_uuid(self.first, digest)),
            type=TYPE,
            time=self.first,
            gateway_time=now,
            asset=asset,
            tag=name,
            text=f"{self.readings:,} readings broke the rule {self.rule} ({self.kind}) until {times.to_iso(self.last)}",
            attributes={"rule": self.rule, "kind": self.kind, "readings": self.readings, "first": self.first, "last": self.last},
        )


class RuleCounts:
    """Counts by tag, rule and hour of history; told as one event each when the hour of the clock is over."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}
        self._hour = 0
        self._touched: set[str] = set()

    def add(self, columns: Columns, hits: Sequence[Hit]) -> None:
        """Count the readings of a batch."""
        for hit in hits:
            if hit.rule.kind != "gap":  # silences are events already
                self.count(columns, hit.positions, hit.rule.id, hit.rule.kind)

    def count(self, columns: Columns, positions: I64, rule: str, kind: str) -> None:
        """Count readings for one rule."""
        if not len(positions):
            return
        tag, time = columns.tag[positions].astype(np.int64), columns.time[positions]
        order = np.lexsort((time, tag))
        tag, time = tag[order], time[order]
        hour = time // times.HOUR
        first = np.ones(len(tag), np.bool_)
        first[1:] = (tag[1:] != tag[:-1]) | (hour[1:] != hour[:-1])
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], len(tag))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            self._add(Cell(columns.tags[tag[start]], rule, kind, end - start, int(time[start]), int(time[end - 1])))

    def _add(self, new: Cell) -> None:
        self._touched.add(new.key)
        old = self._cells.setdefault(new.key, new)
        if old is not new:
            old.readings += new.readings
            old.first, old.last = min(old.first, new.first), max(old.last, new.last)

    def due(self, now: int) -> Iterator[Event]:
        """Yield what is to be told: everything at the first call of an hour after the first of all, or when there is too much to keep."""
        hour = times.hour_of(now)
        self._hour = self._hour or hour
        if hour == self._hour and len(self._cells) < _CELLS:
            return
        self._hour = hour
        self._touched.update(self._cells)
        cells, self._cells = self._cells, {}
        for cell in cells.values():
            yield cell.event(now)

    def changed(self) -> dict[str, bytes | None]:
        """Return the cells changed since the last call; None for those told."""
        touched, self._touched = self._touched, set()
        return {key: msgspec.msgpack.encode(self._cells[key]) if key in self._cells else None for key in touched}

    def entries(self) -> dict[str, bytes]:
        """Return every cell."""
        return {key: msgspec.msgpack.encode(cell) for key, cell in self._cells.items()}

    def restore(self, entries: Mapping[str, bytes], now: int) -> None:
        """Take what `entries` returned."""
        self._cells.update((key, msgspec.msgpack.decode(entry, type=Cell)) for key, entry in entries.items())
        self._hour = times.hour_of(now)
