"""Reading a topic without a group: from a place on, in the order of time, and on and on (E-69). Works on every engine through the port."""

import heapq
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from trunkline.log.port import Log, Positions, StoredRecord, TopicPartition
from trunkline.model.errors import Misconfigured

_PAGE: Final = 500
_PAUSE_SECONDS: Final = 0.25

Wanted = Callable[[StoredRecord], bool]


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: at the first kept record, after the last one, at an offset, or at the first record appended since a time in µs."""

    at: Literal["earliest", "latest", "offset", "time"]
    value: int = 0


def require(log: Log, topic: str) -> None:
    """Raise Misconfigured, naming the topics that there are, when there is no such topic."""
    names = sorted(log.topics())
    if topic not in names:
        raise Misconfigured(f"there is no topic {topic!r}: there are {', '.join(names) or 'none yet'}")


def partitions_of(log: Log, topic: str, partition: int | None = None) -> dict[TopicPartition, tuple[int, int]]:
    """Return first and next offset of the partitions to read. Raises Misconfigured for what is not there."""
    require(log, topic)
    bounds = log.bounds(topic)
    if partition is None:
        return bounds
    at = TopicPartition(topic, partition)
    if at not in bounds:
        raise Misconfigured(f"topic {topic!r} has no partition {partition}: it has {len(bounds)}, counted from 0")
    return {at: bounds[at]}


def positions_at(log: Log, bounds: dict[TopicPartition, tuple[int, int]], start: Start) -> Positions:
    """Return where to begin in each partition."""
    found: Positions = {}
    for at, (first, end) in bounds.items():
        match start.at:
            case "earliest":
                found[at] = first
            case "latest":
                found[at] = end
            case "offset":
                found[at] = min(max(first, start.value), end)
            case "time":
                found[at] = _since(log, at, first, end, start.value)
    return found


def _since(log: Log, at: TopicPartition, low: int, high: int, time: int) -> int:
    """Return the first offset whose record is not older: times ascend with offsets where the log stamps them (D-14)."""
    while low < high:
        middle = (low + high) // 2
        records = log.read(at, middle, 1)
        if records and records[0].offset < high and records[0].timestamp < time:
            low = records[0].offset + 1
        else:
            high = middle
    return low


def read_between(log: Log, positions: Positions, bounds: dict[TopicPartition, tuple[int, int]], wanted: Wanted) -> Iterator[StoredRecord]:
    """Yield records from `positions` up to the bounds, all partitions together in the order of time."""
    runs = [_forwards(log, at, position, bounds[at][1]) for at, position in positions.items()]
    return filter(wanted, heapq.merge(*runs, key=lambda record: record.timestamp))


def read_last(log: Log, bounds: dict[TopicPartition, tuple[int, int]], limit: int, wanted: Wanted) -> list[StoredRecord]:
    """Return the newest records, oldest of them first."""
    runs = [filter(wanted, _backwards(log, at, first, end)) for at, (first, end) in bounds.items()]
    newest = heapq.merge(*runs, key=lambda record: record.timestamp, reverse=True)
    return list(islice(newest, limit))[::-1]


def follow(log: Log, positions: Positions, wanted: Wanted, stop: threading.Event) -> Iterator[StoredRecord]:
    """Yield what comes, until `stop` is set. Order holds within a partition."""
    reached = dict(positions)
    while not stop.is_set():
        moved = False
        for at, position in reached.items():
            records = log.read(at, position, _PAGE)
            if records:
                moved = True
                reached[at] = records[-1].offset + 1
                yield from filter(wanted, records)
        if not moved:
            stop.wait(_PAUSE_SECONDS)


def _forwards(log: Log, at: TopicPartition, position: int, end: int) -> Iterator[StoredRecord]:
    while position < end and (records := log.read(at, position, _PAGE)):
        for record in records:
            if record.offset >= end:
                return
            yield record
        position = records[-1].offset + 1


def _backwards(log: Log, at: TopicPartition, first: int, end: int) -> Iterator[StoredRecord]:
    page = 20  # a look at the end of many partitions is cheap; a long search takes larger steps
    while first < end:
        start = max(first, end - page)
        yield from reversed(list(_forwards(log, at, start, end)))
        end, page = start, min(2 * page, _PAGE)
