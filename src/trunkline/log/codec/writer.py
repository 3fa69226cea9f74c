"""Readings into block records, without Arrow: small enough for a gateway's memory.

The writer is the only place that turns readings into blocks at the edge. One call makes at most one record per partition.
"""

import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import fastavro

from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.schemas import BLOCK_ID, PARSED, frame
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Kind, Reading

_SCHEMA = PARSED[BLOCK_ID]
_FRAME = frame(BLOCK_ID)


@dataclass(slots=True)
class _Columns:
    """One block being filled."""

    tags: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    tag_source: list[int] = field(default_factory=list)
    tag_kind: list[int] = field(default_factory=list)
    tag: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    delay: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    integers: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    tallies: Counter[tuple[str, int]] = field(default_factory=Counter)


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
    columns: dict[int, _Columns] = {}
    base_time: int | None = None
    seq = 0
    for slot, reading in readings:
        block = columns.get(slot.partition)
        if block is None:
            block = columns[slot.partition] = _Columns()
        index = block.tags.get(slot.path)
        if index is None:
            index = block.tags[slot.path] = len(block.tags)
            block.tag_source.append(block.sources.setdefault(slot.source, len(block.sources)))
            block.tag_kind.append(slot.kind)
        time = history_time(reading)
        if base_time is None:
            base_time = time
        value = reading.value
        if value is None:
            block.absent.append(len(block.tag))
        kind = slot.kind
        if kind is Kind.DOUBLE:
            block.numbers.append(math.nan if value is None else value)  # type: ignore[arg-type]
        elif kind is Kind.TEXT:
            block.texts.append("" if value is None else value)  # type: ignore[arg-type]
        else:
            block.integers.append(0 if value is None else int(value))
        block.tag.append(index)
        block.seq.append(seq)
        block.time.append(time - base_time)
        block.delay.append(reading.gateway_time - time)
        block.quality.append(reading.quality)
        block.tallies[slot.source, ledger_hour(time, reading.gateway_time)] += 1
        seq += 1
    end = first_seq + seq
    records = [
        _record(BlockHead(origin, covered.get(partition, 0), end, _tallies(block)), first_seq, base_time or 0, partition, block)
        for partition, block in sorted(columns.items())
    ]
    return records, end


def _tallies(block: _Columns) -> tuple[Tally, ...]:
    return tuple(Tally(source, hour, count) for (source, hour), count in sorted(block.tallies.items()))


def _record(head: BlockHead, first_seq: int, base_time: int, partition: int, block: _Columns) -> Record:
    out = io.BytesIO()
    out.write(_FRAME)
    fastavro.schemaless_writer(
        out,
        _SCHEMA,
        {
            "origin": head.origin,
            "first_seq": first_seq,
            "base_time": base_time,
            "sources": list(block.sources),
            "tags": list(block.tags),
            "tag_source": block.tag_source,
            "tag_kind": block.tag_kind,
            "tag": block.tag,
            "seq": block.seq,
            "time": block.time,
            "delay": block.delay,
            "quality": block.quality if any(block.quality) else [],
            "numbers": block.numbers,
            "integers": block.integers,
            "texts": block.texts,
            "absent": block.absent,
        },
    )
    return Record(value=out.getvalue(), headers=((HEADER, encode_head(head)),), partition=partition)
