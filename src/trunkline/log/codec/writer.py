"""Readings into block records, without Arrow: small enough for a gateway's memory.

The writer is the only place that turns readings into blocks at the edge. One call makes at most one record per partition.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter, sub
from typing import cast

from msgspec.structs import replace

from trunkline.log.codec import avro
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.schemas import BLOCK_ID, frame
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Kind, Reading, Value

_FRAME = frame(BLOCK_ID)
_PARTITION = attrgetter("partition")


@dataclass(frozen=True, slots=True)
class TagSlot:
    """What the writer must know of a tag: computed once, when the configuration is read."""

    path: str
    source: str
    kind: Kind
    partition: int

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
    (`trunkline.model.reading.coerce`).

    Args:
        origin: the edge journal's id.
        first_seq: position of the first reading.
        covered: per partition, where the block before this one ended; 0 where there was none. See `BlockHead`.
        readings: what to write, in the order in which it was read.
    """
    pairs = list(readings)
    if not pairs:
        return [], first_seq
    slots = [slot for slot, _ in pairs]
    read = [reading for _, reading in pairs]
    end = first_seq + len(pairs)
    records = [
        _record(BlockHead(origin, covered.get(partition, 0), end, ()), first_seq, partition, seq, mine, taken)
        for partition, seq, mine, taken in _shares(slots, read)
    ]
    return records, end


_Slots = Sequence[TagSlot]
_Readings = Sequence[Reading]


def _shares(slots: _Slots, readings: _Readings) -> Iterator[tuple[int, Sequence[int], _Slots, _Readings]]:
    """Yield partition, positions, slots and readings of each partition touched."""
    places: dict[int, list[int]] = {}
    partitions = set(map(_PARTITION, slots))
    if len(partitions) == 1:
        yield partitions.pop(), range(len(slots)), slots, readings
        return
    for place, slot in enumerate(slots):
        try:
            places[slot.partition].append(place)
        except KeyError:
            places[slot.partition] = [place]
    for partition, seq in sorted(places.items()):
        take = itemgetter(*seq, seq[0])  # one more, so that a single one comes as a tuple as well
        yield partition, seq, take(slots)[:-1], take(readings)[:-1]


def _record(head: BlockHead, first_seq: int, partition: int, seq: Sequence[int], slots: _Slots, readings: _Readings) -> Record:
    """Return one block: whole columns at a time, because this is where a gateway spends its time."""
    paths = [slot.path for slot in slots]
    measured = [reading.source_time for reading in readings]
    gateway = [reading.gateway_time for reading in readings]
    quality = [reading.quality for reading in readings]
    tags = dict(zip(paths, slots, strict=True))
    index = {path: place for place, path in enumerate(tags)}
    sources = {source: place for place, source in enumerate(dict.fromkeys(slot.source for slot in tags.values()))}
    tag = list(map(index.__getitem__, paths))
    if None in measured:
        measured = [late if early is None else early for early, late in zip(measured, gateway, strict=True)]
    time = cast("list[int]", measured)
    base_time = min(time) - avro.FOUR_BYTES
    delay = list(map(sub, gateway, time))
    numbers, integers, texts, absent = _values([slot.kind for slot in tags.values()], tag, [reading.value for reading in readings])
    body = (
        _FRAME,
        avro.string(head.origin),
        avro.long(first_seq),
        avro.long(base_time),
        avro.strings(list(sources)),
        avro.strings(list(tags)),
        avro.longs([sources[slot.source] for slot in tags.values()]),
        avro.longs([slot.kind for slot in tags.values()]),
        avro.longs(tag),
        avro.longs(seq),
        avro.longs([at - base_time for at in time]),
        avro.longs(delay),
        avro.longs(quality if any(quality) else ()),
        avro.doubles(numbers),
        avro.longs(integers),
        avro.strings(texts),
        avro.longs(absent),
    )
    head = replace(head, tallies=_tallies(tags.values(), tag, time, delay))
    return Record(value=b"".join(body), headers=((HEADER, encode_head(head)),), partition=partition)


def _values(kinds: list[Kind], tag: list[int], values: list[Value]) -> tuple[Sequence[float], Sequence[int], Sequence[str], Sequence[int]]:
    """Return values by kind, and the positions of those that are absent."""
    absent = [place for place, value in enumerate(values) if value is None] if None in values else []
    if set(kinds) == {Kind.DOUBLE}:
        numbers = [math.nan if value is None else value for value in values] if absent else values
        return cast("Sequence[float]", numbers), (), (), absent
    typed = [(kinds[place], value) for place, value in zip(tag, values, strict=True)]
    numbers = [math.nan if value is None else value for kind, value in typed if kind is Kind.DOUBLE]
    whole = [0 if value is None else int(value) for kind, value in typed if kind is Kind.INTEGER or kind is Kind.BOOLEAN]
    texts = ["" if value is None else value for kind, value in typed if kind is Kind.TEXT]
    return cast("list[float]", numbers), whole, cast("list[str]", texts), absent


def _tallies(tags: Collection[TagSlot], tag: list[int], time: list[int], delay: list[int]) -> tuple[Tally, ...]:
    sources = [slot.source for slot in tags]
    first, last = min(time), max(time)
    sane = first >= times.EARLIEST and min(delay) >= -times.DAY
    if sane and times.hour_of(first) == times.hour_of(last) and len(set(sources)) == 1:
        return (Tally(sources[0], times.hour_of(first), len(tag)),)
    counts: Counter[tuple[str, int]] = Counter()
    if not sane:
        counts.update((sources[place], ledger_hour(at, at + late)) for place, at, late in zip(tag, time, delay, strict=True))
    elif times.hour_of(first) == times.hour_of(last):
        for place, count in Counter(tag).items():
            counts[sources[place], times.hour_of(first)] += count
    else:
        for (place, hour), count in Counter(zip(tag, map(times.hour_of, time), strict=True)).items():
            counts[sources[place], hour] += count
    return tuple(Tally(source, hour, count) for (source, hour), count in sorted(counts.items()))
