"""Reading what rollups are made of, and storing what comes of it: always inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trunkline.historian.db import PG_EPOCH, Connection
from trunkline.historian.pgbinary import INT4, TIMESTAMPTZ, ArrayParameter, Time
from trunkline.historian.rollup import statements
from trunkline.historian.rollup.rows import COPY_IN, ROW, Rows, alike, copied, from_copy, to_copy
from trunkline.historian.rollup.summary import Held, Points, present
from trunkline.historian.rollup.tiers import Tier
from trunkline.historian.segments import BOOL, I64
from trunkline.model import times


@dataclass(slots=True)
class Stored:
    """What storing changed: the rows that are new or revised now, and which rows before they replaced."""

    rows: Rows
    revised: int


def readings(connection: Connection, series: Sequence[int], from_time: int, to_time: int) -> Points:
    """Return the readings of these series (ascending ids), from_time <= time < to_time in µs UTC; one statement, so of one moment."""
    span = {"series": list(series), "from": Time(from_time), "to": Time(to_time)}
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(statements.READINGS, span).fetchall()
    if not found:
        return Points.of(*(np.empty(0, np.int64),) * 3, np.empty(0))
    ids, moments, numbers, qualities = zip(*found, strict=True)
    place = np.searchsorted(np.array(series), np.array(ids))
    return Points.of(
        np.repeat(place, [len(one) for one in numbers]),
        np.concatenate(moments) + PG_EPOCH,
        np.concatenate(qualities).astype(np.int64),
        np.concatenate(numbers),
    )


def rows_of(connection: Connection, tier: Tier, series: Sequence[int], from_time: int, to_time: int) -> Rows:
    """Return the rows of these series whose buckets start in from_time <= start < to_time, by series and start."""
    span = {"tier": int(tier), "series": list(series), "from": times.to_datetime(from_time), "to": times.to_datetime(to_time)}
    return from_copy(copied(connection, statements.ROWS, span))


def sketches_of(connection: Connection, tier: Tier, series: Sequence[int], from_time: int, to_time: int) -> list[bytes | None]:
    """Return the sketches of the same rows in the same order."""
    span = {"tier": int(tier), "series": list(series), "from": Time(from_time), "to": Time(to_time)}
    with connection.cursor(binary=True) as cursor:
        return [row[2] for row in cursor.execute(statements.SKETCHES, span).fetchall()]


def held_by(rows: Rows, series: I64) -> Held:
    """Return what each of these series (ascending) begins with after its row; at most one row a series."""
    held = Held.nothing(len(series))
    at = np.searchsorted(series, rows["series_id"])
    held.time[at], held.value[at], held.counted[at] = rows["end_t"], rows["end_v"], rows["counted"]
    held.quality[at] = rows["end_q"].astype(np.int64) & 0xFFFF
    return held


class Shelf:
    """Where rows go: makes partitions on the way, and puts what changed into the outbox.

    Args:
        published: tiers that have a topic.
    """

    def __init__(self, published: frozenset[Tier]) -> None:
        self._published = published
        self._made: set[tuple[Tier, int]] = set()

    def forget(self) -> None:
        """Look for partitions again: retention, or another database, may have taken them."""
        self._made.clear()

    def store(
        self,
        connection: Connection,
        tier: Tier,
        new: Rows,
        old: Rows,
        sketches: Sequence[bytes | None] | None,
        old_sketches: Sequence[bytes | None],
    ) -> Stored:
        """Store the rows that are new or differ from what is there; each revision is one more than that of the row it replaces.

        Args:
            connection: in a transaction.
            tier: of the rows.
            new: every bucket made anew, by series and start; those where nothing lies or holds are left out unless they were there.
            old: what is there, by series and start.
            sketches: of the new rows, None where the tier has none.
            old_sketches: of the old rows, likewise.
        """
        new["tier"] = tier
        before = _places(old, new)
        known = before >= 0
        new["revision"][known] = old["revision"][before[known]]
        changed = ~known & present(new)
        differs = ~alike(new[known], old[before[known]])
        if sketches is not None:
            pairs = zip(np.flatnonzero(known).tolist(), before[known].tolist(), strict=True)
            differs |= np.array([sketches[one] != old_sketches[other] for one, other in pairs], np.bool_)
        changed[known] = differs
        revised = known & changed
        new["revision"][revised] += 1
        places = np.flatnonzero(changed)
        if len(places):
            self._replace(connection, tier, new[revised])
            self._ensure(connection, tier, new["start"][places])
            with connection.cursor() as cursor, cursor.copy(COPY_IN) as copy:
                copy.write(to_copy(new[places], None if sketches is None else [sketches[place] for place in places.tolist()]))
            if tier in self._published:
                connection.execute(statements.PUT_OUT, (int(tier), new[places].tobytes()))
        return Stored(new[places], int(revised.sum()))

    def _replace(self, connection: Connection, tier: Tier, rows: Rows) -> None:
        if len(rows):
            keys: dict[str, Any] = {
                "tier": int(tier),
                "series": ArrayParameter(rows["series_id"], INT4),
                "starts": ArrayParameter(rows["start"] - PG_EPOCH, TIMESTAMPTZ),
                "from": Time(rows["start"].min()),
                "to": Time(rows["start"].max()),
            }
            connection.execute(statements.DELETE, keys)

    def _ensure(self, connection: Connection, tier: Tier, starts: I64) -> None:
        for day in np.unique(starts // times.DAY).tolist():
            if (tier, day) not in self._made:
                connection.execute(statements.ENSURE, (int(tier), Time(day * times.DAY)))
                self._made.add((tier, day))


def _places(old: Rows, new: Rows) -> I64:
    """Return for each new row the place of the row before it, -1 where there is none; both are sorted."""
    if not len(old):
        return np.full(len(new), -1)
    key = np.dtype([("series_id", "i8"), ("start", "i8")])

    def keys(rows: Rows) -> Any:  # noqa: ANN401 - records of two numbers
        made = np.empty(len(rows), key)
        made["series_id"], made["start"] = rows["series_id"], rows["start"]
        return made

    wanted, there = keys(new), keys(old)
    at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return np.where(there[at] == wanted, at, -1)


def ends_differ(new: Rows, old: Rows) -> BOOL:
    """Return for which of the new rows (by series and start) the next bucket begins with something else than the rows before said."""
    before = _places(old, new)
    told = np.empty(len(new), ROW)
    told[:] = new
    told["end_t"], told["end_q"], told["end_v"], told["counted"] = np.iinfo(np.int64).min, 0, np.nan, np.nan
    known = before >= 0
    for name in ("end_t", "end_q", "end_v", "counted"):
        told[name][known] = old[name][before[known]]
    return ~alike(new, told)
