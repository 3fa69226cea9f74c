"""Readings into block records, without Arrow: small enough for a gateway's memory.

The writer is the only place that turns readings into blocks at the edge. One call makes at most one record per partition. This is where a
gateway spends its time, so readings become columns first (or are columns already), what the tags alone decide is remembered
(`trunkline.log.codec.slots`), and the rest is sorted and encoded for all partitions at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from trunkline.log.codec import avro
from trunkline.log.codec.avro import F64, I64
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.schemas import BLOCK_ID, frame
from trunkline.log.codec.slots import Arrangement, RecentSlots, Slots, TagSlot, arrange
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Kind, Reading, Value
from trunkline.model.scan import Bools, Scan

__all__ = ["Rows", "TagSlot", "history_time", "ledger_hour", "rows_of", "rows_of_scan", "write_blocks", "write_rows"]

_FRAME: Final = frame(BLOCK_ID)
_NOTHING: Final = np.empty(0, np.int64)
#: Columns of a block that `_varying` returns for each share.
_VARYING: Final = 5

_SOURCE_AND_HOUR: Final = attrgetter("source", "hour")

_recent = RecentSlots()


def history_time(reading: Reading) -> int:
    """Return the time a reading has in history: the device's, else the gateway's (W-107, W-108)."""
    return reading.gateway_time if reading.source_time is None else reading.source_time


def ledger_hour(time: int, gateway_time: int) -> int:
    """Return the hour a reading is counted under: of its time in history, or hour 0 if that time is impossible.

    Impossible stamps share one bucket so that a lying clock cannot fill the ledger with hours; validation rejects such readings.
    """
    if time < times.EARLIEST or time > gateway_time + times.DAY:
        return 0
    return times.hour_of(time)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Readings as columns, in the order in which they were read.

    Attributes:
        slots: their tags.
        time: in history, µs UTC.
        gateway_time: µs UTC; the same array as `time` when the device gave no times.
        quality: None when every reading is GOOD.
        numbers, integers, texts: values of double, of integer and boolean, and of text tags, each in the order of the readings. Where
            there is none: NaN, 0, ''.
        absent: whether there is no value; None when all have one.
    """

    slots: Slots
    time: I64
    gateway_time: I64
    quality: I64 | None
    numbers: F64
    integers: I64
    texts: Sequence[str]
    absent: Bools | None

    def __len__(self) -> int:
        return len(self.time)


def write_blocks(
    origin: str, first_seq: int, covered: Mapping[int, int], readings: Iterable[tuple[TagSlot, Reading]]
) -> tuple[list[Record], int]:
    """Return one block record per partition touched and the next free position; see `write_rows`.

    Args:
        origin: the edge journal's id.
        first_seq: position of the first reading.
        covered: per partition, where the block before this one ended; 0 where there was none. See `BlockHead`.
        readings: what to write, in the order in which it was read. Values must be of their tag's kind
            (`trunkline.model.reading.coerce`).

    Raises:
        OverflowError: a time or an integer does not fit 64 bits.
    """
    pairs = readings if isinstance(readings, list) else list(readings)
    return write_rows(origin, first_seq, covered, [rows_of(pairs)]) if pairs else ([], first_seq)


def write_rows(origin: str, first_seq: int, covered: Mapping[int, int], parts: Sequence[Rows]) -> tuple[list[Record], int]:
    """Return one block record per partition touched and the next free position.

    Readings get the positions first_seq, first_seq + 1, ... in the order given. Differences of times are taken modulo 2**64, as those who
    add them up again do, so that no stamp is too wild to be stored.

    Args:
        origin: the edge journal's id.
        first_seq: position of the first reading.
        covered: per partition, where the block before this one ended; 0 where there was none. See `BlockHead`.
        parts: what to write, at least one; none of them empty.
    """
    rows = parts[0] if len(parts) == 1 else _joined(parts)
    plan = arrange(tuple(part.slots for part in parts))
    base_time = int(rows.time[rows.time.argmin()])
    tallies = _tallies(plan, rows, base_time)
    numbers = rows.numbers[plan.numbers]
    texts = [rows.texts[place] for place in plan.texts]
    longs = iter(avro.longs(_varying(plan, rows, base_time)))
    start = b"".join((_FRAME, avro.string(origin), avro.long(first_seq), avro.long(base_time)))
    end = first_seq + len(rows)
    records = []
    for share in plan.shares:
        time, delay, quality, integers, absent = islice(longs, _VARYING)
        doubles, strings = avro.doubles(numbers[share.numbers]), avro.strings(texts[share.texts])
        value = b"".join((start, share.fixed, time, delay, quality, doubles, integers, strings, absent))
        head = BlockHead(origin, covered.get(share.partition, 0), end, tallies[share.partition])
        records.append(Record(value, headers=((HEADER, encode_head(head)),), partition=share.partition))
    return records, end


def rows_of(pairs: list[tuple[TagSlot, Reading]]) -> Rows:
    """Return readings as columns. Raises OverflowError."""
    slots = _recent.of([slot for slot, _ in pairs])
    readings = [reading for _, reading in pairs]
    gateway_time = _integers([reading.gateway_time for reading in readings])
    try:
        time = _integers(cast("list[int]", [reading.source_time for reading in readings]))
    except TypeError:  # of a reading that has none
        time = _integers([history_time(reading) for reading in readings])
    quality = [reading.quality for reading in readings]
    numbers, integers, texts, absent = _values(slots, [reading.value for reading in readings])
    return Rows(
        slots=slots,
        time=time,
        gateway_time=gateway_time,
        quality=_integers(quality) if any(quality) else None,
        numbers=numbers,
        integers=integers,
        texts=texts,
        absent=absent if np.count_nonzero(absent) else None,
    )


def rows_of_scan(slots: Slots, scan: Scan) -> Rows:
    """Return the readings of a scan whose tags have these slots."""
    numbers, integers, texts = scan.numbers, scan.integers, scan.texts
    if scan.absent is not None:  # what stands where there is no value has no meaning, and shall not be stored
        kinds = slots.kinds
        whole = (kinds == Kind.INTEGER) | (kinds == Kind.BOOLEAN)
        numbers = np.where(scan.absent[kinds == Kind.DOUBLE], np.nan, numbers)
        integers = np.where(scan.absent[whole], 0, integers)
        texts = ["" if gone else text for gone, text in zip(scan.absent[kinds == Kind.TEXT].tolist(), texts, strict=True)]
    return Rows(slots, scan.gateway_time, scan.gateway_time, scan.quality, numbers, integers, texts, scan.absent)


def _integers(values: Sequence[int]) -> I64:
    return np.fromiter(values, np.int64, len(values))


def _values(slots: Slots, values: list[Value]) -> tuple[F64, I64, list[str], Bools]:
    """Return the values of double, of integer and boolean, and of text tags, and which are absent."""
    if slots.plain:
        numbers = np.array(values, np.float64)  # makes None a NaN
        absent = np.isnan(numbers)
        for place in absent.nonzero()[0].tolist():
            absent[place] = values[place] is None
        return numbers, _NOTHING, [], absent
    objects: npt.NDArray[np.object_] = np.array(values, np.object_)
    kinds = slots.kinds
    whole = [0 if value is None else value for value in objects[(kinds == Kind.INTEGER) | (kinds == Kind.BOOLEAN)].tolist()]
    texts = ["" if value is None else value for value in objects[kinds == Kind.TEXT].tolist()]
    absent = np.fromiter([value is None for value in values], np.bool_, len(values))
    return objects[kinds == Kind.DOUBLE].astype(np.float64), _integers(whole), texts, absent


def _joined(parts: Sequence[Rows]) -> Rows:
    """Return the readings of several parts, one part after the other; `slots` is the first one's."""

    def filled(part: Rows, column: npt.NDArray[np.generic] | None) -> npt.NDArray[np.generic]:
        return np.zeros(len(part), np.int64) if column is None else column

    absent = np.concatenate([filled(part, part.absent) for part in parts]).astype(np.bool_)
    quality = np.concatenate([filled(part, part.quality) for part in parts]).astype(np.int64)
    return Rows(
        slots=parts[0].slots,
        time=np.concatenate([part.time for part in parts]),
        gateway_time=np.concatenate([part.gateway_time for part in parts]),
        quality=quality if np.count_nonzero(quality) else None,
        numbers=np.concatenate([part.numbers for part in parts]),
        integers=np.concatenate([part.integers for part in parts]),
        texts=[text for part in parts for text in part.texts],
        absent=absent if np.count_nonzero(absent) else None,
    )


def _varying(plan: Arrangement, rows: Rows, base_time: int) -> list[I64]:
    """Return the columns time, delay, quality, integers and absent of each share, one share after the other."""
    time = (rows.time - base_time)[plan.order]
    delay = (rows.gateway_time - rows.time)[plan.order]
    quality = None if rows.quality is None else rows.quality[plan.order]
    integers = rows.integers[plan.integers]
    absent = None if rows.absent is None else rows.absent[plan.order]
    columns: list[I64] = []
    for share in plan.shares:
        grades = _NOTHING if quality is None else quality[share.rows]
        columns += (
            time[share.rows],
            delay[share.rows],
            grades if np.count_nonzero(grades) else _NOTHING,
            integers[share.integers],
            _NOTHING if absent is None else absent[share.rows].nonzero()[0],
        )
    return columns


def _tallies(plan: Arrangement, rows: Rows, base_time: int) -> dict[int, tuple[Tally, ...]]:
    """Return the counts of each partition's block, by source and hour."""
    latest, read = int(rows.time[rows.time.argmax()]), int(rows.gateway_time[rows.gateway_time.argmin()])
    hour = times.hour_of(base_time)
    if base_time >= times.EARLIEST and latest <= read + times.DAY and times.hour_of(latest) == hour:
        return {share.partition: tuple([Tally(source, hour, count) for source, count in share.cells]) for share in plan.shares}
    hours = rows.time // times.HOUR
    hours[(rows.time < times.EARLIEST) | (rows.time - times.DAY > rows.gateway_time)] = 0
    first, width = int(hours[hours.argmin()]), len(plan.names)
    cells = (hours[plan.order] - first) * width + plan.sources
    tallies = {}
    for share in plan.shares:
        found, counts = np.unique(cells[share.rows], return_counts=True)
        mine = [
            Tally(plan.names[cell % width], first + cell // width, count)
            for cell, count in zip(found.tolist(), counts.tolist(), strict=True)
        ]
        tallies[share.partition] = tuple(sorted(mine, key=_SOURCE_AND_HOUR))
    return tallies
