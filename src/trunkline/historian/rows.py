"""Decoded columns to rows of the tables of readings and of the latest values."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import psycopg

from trunkline.historian import segments, statements
from trunkline.historian.counts import LedgerCounts
from trunkline.historian.db import PG_EPOCH
from trunkline.historian.flush import Flush
from trunkline.historian.pgbinary import FLOAT8, INT2, INT4, INT8, NULL, TIMESTAMPTZ, ArrayParameter
from trunkline.historian.segments import BOOL, I32, I64, Readings
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.distinct import counted
from trunkline.model import times
from trunkline.model.reading import Kind

#: Fields of a narrow row with their sizes; of a reading without a value, the last one is missing and its size is -1.
_NARROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("series_size", ">i4"), ("series", ">i4"),
        ("time_size", ">i4"), ("time", ">i8"),
        ("quality_size", ">i4"), ("quality", ">i2"),
        ("value_size", ">i4"), ("value", ">f8"),
    ]
)  # fmt: skip
_WITHOUT_VALUE: Final = _NARROW.itemsize - 8
_TEXT_ROW: Final = struct.Struct(">h iiiiii iq ih")
_ID_SIZE: Final = (16).to_bytes(4, "big")


@dataclass(slots=True)
class Prepared:
    """A flush with every id looked up.

    Attributes:
        flush: what is stored.
        series: per tag of the columns, the series id.
        feeds: feed id of each (origin, source).
        feed: per reading, the feed id.
        hour: per reading, the ledger hour.
        keep: per reading, True if it is stored.
        counts: what the flush adds to the ledger.
        narrow: store numeric readings as narrow rows as well.
        newest: the newest reading of each segment, once they are cut.
        sorted: numeric readings kept, by series, feed and time, once they are cut.
    """

    flush: Flush
    series: I32
    feeds: Mapping[tuple[str, str], int]
    feed: I32
    hour: I32
    keep: BOOL
    counts: LedgerCounts
    narrow: bool = False
    newest: I64 | None = None
    sorted: I64 | None = None

    def only(self, keep: BOOL) -> "Prepared":
        """Return the same with other readings kept."""
        return replace(self, keep=keep, newest=None, sorted=None)


def feeds_of(columns: Columns) -> set[tuple[str, str]]:
    """Return every (origin, source) that has readings."""
    pairs, _ = counted(columns.block.astype(np.int64) * max(len(columns.sources), 1) + columns.source)
    return {(columns.heads[pair // len(columns.sources)].origin, columns.sources[pair % len(columns.sources)]) for pair in pairs.tolist()}


def feed_column(columns: Columns, feeds: Mapping[tuple[str, str], int]) -> I32:
    """Return the feed id of each reading."""
    if not len(columns):
        return np.empty(0, np.int32)
    table = np.array([[feeds.get((head.origin, source), 0) for source in columns.sources] for head in columns.heads], np.int32)
    feed: I32 = table[columns.block, columns.source]
    return feed


def segment_rows(prepared: Prepared) -> bytes:
    """Return rows of `segment` for the numeric readings kept, and note the newest reading of each segment."""
    columns = prepared.flush.columns
    kind = columns.kinds[columns.tag]
    places = np.flatnonzero(prepared.keep & (kind != Kind.TEXT))
    cut = segments.cut(
        Readings(
            series=prepared.series[columns.tag[places]],
            feed=prepared.feed[places],
            hour=prepared.hour[places],
            time=columns.time[places],
            quality=columns.quality[places],
            whole=kind[places] != Kind.DOUBLE,
            number=np.where(columns.absent[places], np.nan, columns.number[places]),
            integer=columns.integer[places],
            absent=columns.absent[places],
            ids=None if prepared.flush.ids is None else prepared.flush.ids[places],
        )
    )
    prepared.newest = places[cut.order[cut.end - 1]] if len(cut) else np.empty(0, np.int64)
    prepared.sorted = places[cut.order]
    return segments.copy_rows(cut)


def narrow_rows(prepared: Prepared) -> bytes:
    """Return rows of `reading_row` for the readings whose segments were made, series after series: neighbours in the index as well."""
    assert prepared.sorted is not None, "segments come first"
    columns, places = prepared.flush.columns, prepared.sorted
    whole = columns.kinds[columns.tag[places]] != Kind.DOUBLE
    rows = np.empty(len(places), _NARROW)
    rows["fields"] = 4
    rows["series_size"], rows["series"] = 4, prepared.series[columns.tag[places]]
    rows["time_size"], rows["time"] = 8, columns.time[places] - PG_EPOCH
    rows["quality_size"], rows["quality"] = 2, columns.quality[places].view(np.int16)
    rows["value_size"], rows["value"] = 8, np.where(whole, columns.integer[places], columns.number[places])
    empty = columns.absent[places] | np.isnan(rows["value"])
    rows["value_size"][empty] = -1
    whole_rows: bytes = rows[~empty].tobytes()
    cut_rows: bytes = rows[empty].view(np.uint8).reshape(-1, _NARROW.itemsize)[:, :_WITHOUT_VALUE].tobytes()
    return whole_rows + cut_rows


def text_rows(prepared: Prepared) -> bytes:
    """Return rows of `text_reading` for the text readings kept."""
    columns, ids = prepared.flush.columns, prepared.flush.ids
    parts: list[bytes] = []
    for place in _text_places(prepared).tolist():
        text = columns.text.get(place)
        time, quality = int(columns.time[place]) - PG_EPOCH, int(columns.quality[place])
        keys = (4, int(prepared.series[columns.tag[place]]), 4, int(prepared.feed[place]), 4, int(prepared.hour[place]))
        parts.append(_TEXT_ROW.pack(7, *keys, 8, time, 2, quality - (quality >> 15 << 16)))
        if text is None:
            parts.append(NULL)
        else:
            encoded = text.encode()
            parts.append(len(encoded).to_bytes(4, "big") + encoded)
        own = b"" if ids is None else ids[place].tobytes()
        parts.append(_ID_SIZE + own if any(own) else NULL)
    return b"".join(parts)


def clock_hours(prepared: Prepared) -> list[int]:
    """Return the hours since 1970 that got segments."""
    columns = prepared.flush.columns
    numeric = prepared.keep & (columns.kinds[columns.tag] != Kind.TEXT)
    hours: list[int] = counted(columns.time[numeric] // times.HOUR)[0].tolist()
    return hours


def mark_rollups(cursor: psycopg.Cursor[Any], prepared: Prepared) -> None:
    """Mark the minutes of each series that got readings: their rollups are made anew (`trunkline.historian.rollup`)."""
    assert prepared.sorted is not None, "segments come first"
    columns, places = prepared.flush.columns, prepared.sorted
    if not len(places):
        return
    series, minute = prepared.series[columns.tag[places]], columns.time[places] // times.MINUTE
    begins = np.flatnonzero(np.append(True, (np.diff(series) != 0) | (np.diff(minute) != 0)))
    # minute and series in one number: sorting pairs takes several times as long, and every flush does it
    pairs = np.unique(minute[begins] << 32 | series[begins])
    starts = ArrayParameter((pairs >> 32) * times.MINUTE - PG_EPOCH, TIMESTAMPTZ)
    cursor.execute(statements.MARK_MINUTES, (starts, ArrayParameter((pairs & 0xFFFFFFFF).astype(np.int32), INT4)))


def write_latest(cursor: psycopg.Cursor[Any], prepared: Prepared) -> None:
    """Carry the newest reading of each series over to `latest`."""
    columns = prepared.flush.columns
    newest = prepared.newest if prepared.newest is not None else np.empty(0, np.int64)
    candidates = np.concatenate([newest, _text_places(prepared)])
    if not len(candidates):
        return
    series = prepared.series[columns.tag[candidates]]
    order = np.lexsort((candidates, columns.time[candidates], series))
    last = np.append(np.diff(series[order]) != 0, True)
    places = candidates[order[last]]
    kind = columns.kinds[columns.tag[places]]
    absent = columns.absent[places] | ((kind == Kind.DOUBLE) & np.isnan(columns.number[places]))
    whole = (kind == Kind.INTEGER) | (kind == Kind.BOOLEAN)
    cursor.execute(
        statements.WRITE_LATEST,
        (
            ArrayParameter(prepared.series[columns.tag[places]], INT4),
            ArrayParameter(columns.time[places] - PG_EPOCH, TIMESTAMPTZ),
            ArrayParameter(columns.gateway_time[places] - PG_EPOCH, TIMESTAMPTZ),
            ArrayParameter(columns.quality[places].view(np.int16), INT2),
            ArrayParameter(columns.number[places], FLOAT8, absent | (kind != Kind.DOUBLE)),
            ArrayParameter(columns.integer[places], INT8, absent | ~whole),
            [columns.text.get(place) for place in places.tolist()] if columns.text else [None] * len(places),
        ),
    )


def _text_places(prepared: Prepared) -> I64:
    columns = prepared.flush.columns
    return np.flatnonzero(prepared.keep & (columns.kinds[columns.tag] == Kind.TEXT))
