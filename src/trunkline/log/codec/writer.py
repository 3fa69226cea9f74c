"""Readings into block records, without Arrow: small enough for a gateway's memory.

The writer is the only place that turns readings into blocks at the edge. One call makes at most one record per partition. This is where a
gateway spends its time, so readings become columns first, and columns are sorted and encoded for all partitions at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, islice, pairwise
from operator import attrgetter
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from trunkline.log.codec import avro
from trunkline.log.codec.avro import F64, I64
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.schemas import BLOCK_ID, frame
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Kind, Reading, Value

_FRAME: Final = frame(BLOCK_ID)
Objects = npt.NDArray[np.object_]
Bools = npt.NDArray[np.bool_]

_PARTITION: Final = attrgetter("partition")
_SOURCE_AND_HOUR: Final = attrgetter("source", "hour")
_NOTHING: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class TagSlot:
    """What the writer must know of a tag: computed once, when the configuration is read.

    Attributes:
        path: full tag path.
        source: id of the source that reads the tag.
        kind: of the tag's values.
        partition: where the tag's readings go.
        encoded: the path as a block holds it.
    """

    path: str
    source: str
    kind: Kind
    partition: int
    encoded: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoded", avro.string(self.path))

    @classmethod
    def of(cls, path: str, source: str, kind: Kind, partitions: int) -> "TagSlot":
        """Return the slot of a tag on a topic of `partitions`."""
        return cls(path, source, kind, partition_of(path.encode(), partitions))


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


def write_blocks(
    origin: str, first_seq: int, covered: Mapping[int, int], readings: Iterable[tuple[TagSlot, Reading]]
) -> tuple[list[Record], int]:
    """Return one block record per partition touched and the next free position.

    Readings get the positions first_seq, first_seq + 1, ... in the order given. Values must be of their tag's kind
    (`trunkline.model.reading.coerce`). Differences of times are taken modulo 2**64, as those who add them up again do, so that no stamp is
    too wild to be stored.

    Args:
        origin: the edge journal's id.
        first_seq: position of the first reading.
        covered: per partition, where the block before this one ended; 0 where there was none. See `BlockHead`.
        readings: what to write, in the order in which it was read.

    Raises:
        OverflowError: a time or an integer does not fit 64 bits.
    """
    pairs = readings if isinstance(readings, list) else list(readings)
    if not pairs:
        return [], first_seq
    tags, tag = _tags([slot for slot, _ in pairs])
    columns = _columns(tags, tag, [reading for _, reading in pairs])
    shares = list(_shares(tags, columns))
    tallies = _tallies(tags, columns)
    longs = iter(avro.longs([array for share in shares for array in share.longs]))
    start = b"".join((_FRAME, avro.string(origin), avro.long(first_seq), avro.long(columns.base_time)))
    end = first_seq + len(pairs)
    records = []
    for share in shares:
        *first_seven, integers, absent = islice(longs, len(share.longs))
        value = b"".join((start, share.names, *first_seven, share.numbers, integers, share.texts, absent))
        head = BlockHead(origin, covered.get(share.partition, 0), end, tallies[share.partition])
        records.append(Record(value, headers=((HEADER, encode_head(head)),), partition=share.partition))
    return records, end


class _Tags(NamedTuple):
    """Distinct tags, sorted by partition.

    Attributes:
        places: index of each path.
        partition: per tag, where its readings go.
        cell: per tag, index into `cells`.
        cells: partition and source, in order of partition.
        kinds: per tag, of its values.
        names: per partition, the block's columns sources and tags, encoded.
    """

    places: dict[str, int]
    partition: npt.NDArray[np.uint16]
    cell: I64
    cells: list[tuple[int, str]]
    kinds: I64
    names: dict[int, bytes]


class _Columns(NamedTuple):
    """Readings, sorted by partition; those of one partition in the order in which they were read. Arrays have one element a reading.

    Attributes:
        tag: index into the tags.
        seq: place in the order in which all were read.
        base_time: earliest time, µs UTC.
        time: time in history minus `base_time`.
        delay: gateway time minus time in history.
        hour: `ledger_hour`.
        quality: None when every reading is GOOD.
        values: doubles with NaN for those absent if every tag is a double, else objects.
        absent: whether there is no value; None when all have one.
    """

    tag: I64
    seq: I64
    base_time: int
    time: I64
    delay: I64
    hour: I64
    quality: I64 | None
    values: F64 | Objects
    absent: Bools | None


def _integers(values: Sequence[int]) -> I64:
    return np.fromiter(values, np.int64, len(values))


def _tags(slots: list[TagSlot]) -> tuple[_Tags, I64]:
    """Return the distinct tags, and for each slot given the index of its tag among them."""
    paths = [slot.path for slot in slots]
    tags = _sorted(tuple(dict(zip(paths, slots, strict=True)).values()))
    return tags, _integers(list(map(tags.places.__getitem__, paths)))


@lru_cache(maxsize=16)  # a poll brings the same tags as the one before
def _sorted(distinct: tuple[TagSlot, ...]) -> _Tags:
    slots = sorted(distinct, key=_PARTITION)
    cells: dict[tuple[int, str], int] = {}
    cell = [cells.setdefault((slot.partition, slot.source), len(cells)) for slot in slots]
    names = {}
    for partition, mine in groupby(slots, _PARTITION):
        encoded = [slot.encoded for slot in mine]
        sources = [source for owner, source in cells if owner == partition]
        names[partition] = avro.strings(sources) + avro.array(len(encoded), b"".join(encoded))
    return _Tags(
        places={slot.path: place for place, slot in enumerate(slots)},
        partition=_integers([slot.partition for slot in slots]).astype(np.uint16),
        cell=_integers(cell),
        cells=list(cells),
        kinds=_integers([slot.kind for slot in slots]),
        names=names,
    )


def _columns(tags: _Tags, tag: I64, readings: list[Reading]) -> _Columns:
    order = tags.partition[tag].argsort(kind="stable")  # of 16-bit integers: a radix sort
    gateway = [reading.gateway_time for reading in readings]
    measured = [reading.source_time for reading in readings]
    if None in measured:
        measured = [late if early is None else early for early, late in zip(measured, gateway, strict=True)]
    time = _integers(cast("list[int]", measured))[order]
    gateway_time = _integers(gateway)[order]
    hour = time // times.HOUR
    hour[(time < times.EARLIEST) | (time - times.DAY > gateway_time)] = 0
    quality = [reading.quality for reading in readings]
    values, absent = _values(tags, [reading.value for reading in readings])
    base_time = time[time.argmin()]
    return _Columns(
        tag=tag[order],
        seq=order,
        base_time=int(base_time),
        time=time - base_time,
        delay=gateway_time - time,
        hour=hour,
        quality=_integers(quality)[order] if any(quality) else None,
        values=values[order],
        absent=absent[order] if np.count_nonzero(absent) else None,
    )


def _values(tags: _Tags, values: list[Value]) -> tuple[F64 | Objects, Bools]:
    """Return what `_Columns` says of `values`, and which are absent, in the order in which they were read."""
    if not np.count_nonzero(tags.kinds):  # every one is a Kind.DOUBLE
        numbers = np.array(values, np.float64)  # makes None a NaN
        absent = np.isnan(numbers)
        for place in absent.nonzero()[0].tolist():
            absent[place] = values[place] is None
        return numbers, absent
    return np.array(values, np.object_), np.fromiter([value is None for value in values], np.bool_, len(values))


class _Share(NamedTuple):
    """What one partition gets: the parts of a block.

    Attributes:
        partition: which.
        names: columns sources and tags, encoded.
        longs: columns tag_source, tag_kind, tag, seq, time, delay, quality, integers and absent.
        numbers, texts: these columns, encoded.
    """

    partition: int
    names: bytes
    longs: tuple[I64, ...]
    numbers: bytes
    texts: bytes


def _shares(tags: _Tags, columns: _Columns) -> Iterator[_Share]:
    """Cut tags and columns where the partition changes."""
    partitions = list(tags.names)
    tag_ends = tags.partition.searchsorted(partitions, "right").tolist()
    ends = tags.partition[columns.tag].searchsorted(partitions, "right").tolist()
    for partition, (tag, tag_end), (at, end) in zip(partitions, pairwise([0, *tag_ends]), pairwise([0, *ends]), strict=True):
        cell = tags.cell[tag:tag_end]
        mine = columns.tag[at:end]
        numbers, integers, texts = _by_kind(tags, mine, columns.values[at:end])
        yield _Share(
            partition=partition,
            names=tags.names[partition],
            longs=(
                cell - cell[0],
                tags.kinds[tag:tag_end],
                mine - tag,
                columns.seq[at:end],
                columns.time[at:end],
                columns.delay[at:end],
                _NOTHING if columns.quality is None or not np.count_nonzero(columns.quality[at:end]) else columns.quality[at:end],
                integers,
                _NOTHING if columns.absent is None else columns.absent[at:end].nonzero()[0],
            ),
            numbers=avro.doubles(numbers),
            texts=avro.strings(texts),
        )


def _by_kind(tags: _Tags, tag: I64, values: F64 | Objects) -> tuple[F64, I64, list[str]]:
    """Return the values of double, of integer and boolean, and of text tags."""
    if values.dtype != np.object_:
        return cast("F64", values), _NOTHING, []
    kinds = tags.kinds[tag]
    whole = [0 if value is None else value for value in values[(kinds == Kind.INTEGER) | (kinds == Kind.BOOLEAN)].tolist()]
    texts = ["" if value is None else value for value in values[kinds == Kind.TEXT].tolist()]
    return values[kinds == Kind.DOUBLE].astype(np.float64), _integers(whole), texts


def _tallies(tags: _Tags, columns: _Columns) -> dict[int, tuple[Tally, ...]]:
    """Return the counts of each partition's block."""
    cell = tags.cell[columns.tag]
    first, width = int(columns.hour[0]), len(tags.cells)
    if not np.count_nonzero(columns.hour - first):
        keys, counts = range(width), np.bincount(cell)
    else:
        found, counts = np.unique((columns.hour - first) * width + cell, return_counts=True)
        keys = found.tolist()
    tallies: dict[int, list[Tally]] = {partition: [] for partition, _ in tags.cells}
    for key, count in zip(keys, counts.tolist(), strict=True):
        partition, source = tags.cells[key % width]
        tallies[partition].append(Tally(source, first + key // width, count))
    return {partition: tuple(sorted(mine, key=_SOURCE_AND_HOUR)) for partition, mine in tallies.items()}
