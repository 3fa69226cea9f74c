"""From readings that came one by one to columns with heads: kinds, identity, order.

A block says which positions of which journal it covers. A record that holds one reading says it too, if a part of ours wrote it: its header
is the same. What a third party wrote has its place in the log as identity, whatever numbers are inside: origin `log:<topic>`, position =
offset. So nobody else's wrong count can make a reading look like a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from trunkline.log.codec.columns import BOOL, F64, I32, I64, U16, Columns
from trunkline.log.codec.head import HEADER, BlockHead, Tally, decode_head
from trunkline.log.port import StoredRecord
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.identity import LOG_ORIGIN
from trunkline.model.quality import SEVERITY_SHIFT, Quality, Severity
from trunkline.model.reading import Kind, coerce
from trunkline.model.tags import TagPath

#: In `Parts.branch`: there is no value.
ABSENT: Final = -1
#: In `Parts.source_time`: the record does not say.
UNKNOWN: Final = np.iinfo(np.int64).min

_EXACT: Final = 2**53


@dataclass(slots=True)
class Parts:
    """Readings as they were decoded; every array has one entry for each.

    Attributes:
        tags, tag: distinct tag paths, and each reading's index into them.
        sources, source: the same for sources.
        source_time, gateway_time: µs UTC; source time may be `UNKNOWN`.
        quality: 16-bit quality.
        branch: a `Kind` as the value came, or `ABSENT`.
        number, integer: values of doubles, and of integers and booleans.
        text: values of texts, by position.
        wrong: what is wrong with a reading, by position.
        event_ids: 16 bytes for each reading; None when they have none (P-9).
    """

    tags: list[str]
    tag: I32
    sources: list[str]
    source: I32
    source_time: I64
    gateway_time: I64
    quality: U16
    branch: I32
    number: F64
    integer: I64
    text: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)
    event_ids: list[bytes] | None = None


class Run(NamedTuple):
    """What a head was made of: the first record of a run of one origin and partition."""

    first: StoredRecord
    partition: int


@dataclass(slots=True)
class Assembled:
    """Columns of readings that came one by one.

    Attributes:
        columns: one head for each run of one origin and partition.
        runs: per head, where it came from.
        broken: records that cannot be accepted, with the reason.
        event_ids: 16 bytes for each reading, in the order of the columns; None when they have none.
    """

    columns: Columns
    runs: list[Run]
    broken: list[tuple[StoredRecord, str]]
    event_ids: list[bytes] | None = None


def assemble(parts: Parts, records: Sequence[StoredRecord], kinds: Mapping[str, Kind]) -> Assembled:
    """Put readings into columns.

    Args:
        parts: one reading for each record.
        records: where they came from, in log order.
        kinds: what the configuration says of each tag; others get the kind of their first value.
    """
    _check_tags(parts, kinds)
    kind_of_tag = _kinds(parts, kinds)
    _fit(parts, kind_of_tag)
    _mark(parts)
    _one_source(parts)
    keep = np.ones(len(records), np.bool_)
    keep[list(parts.wrong)] = False
    heads, runs, block, seq = _runs(parts, records, keep)
    places = np.flatnonzero(keep)
    places = places[np.argsort(block[places], kind="stable")]
    new_place = {old: new for new, old in enumerate(places.tolist())} if parts.text else {}
    source_time, gateway_time = parts.source_time[places], parts.gateway_time[places]
    time = np.where(source_time == UNKNOWN, gateway_time, source_time)
    columns = Columns(
        heads=heads,
        block=block[places],
        tags=parts.tags,
        kinds=kind_of_tag,
        sources=parts.sources,
        tag=parts.tag[places],
        source=parts.source[places],
        seq=seq[places],
        time=time,
        gateway_time=gateway_time,
        quality=parts.quality[places],
        number=parts.number[places],
        integer=parts.integer[places],
        text={new_place[old]: word for old, word in parts.text.items() if old in new_place},
        absent=parts.branch[places] == ABSENT,
    )
    _tally(columns)
    ids = None if parts.event_ids is None else [parts.event_ids[place] for place in places.tolist()]
    return Assembled(columns, runs, [(records[place], reason) for place, reason in sorted(parts.wrong.items())], ids)


def merge(several: Sequence[tuple[Parts, Sequence[int]]]) -> Parts:
    """Return one `Parts` of several; with each, the places its readings take in the whole."""
    if len(several) == 1:
        return several[0][0]
    order = np.argsort(np.concatenate([np.asarray(places, np.int64) for _, places in several]), kind="stable")
    tags, tag = _renumbered([(parts.tags, parts.tag) for parts, _ in several])
    sources, source = _renumbered([(parts.sources, parts.source) for parts, _ in several])
    text = {places[old]: word for parts, places in several for old, word in parts.text.items()}
    wrong = {places[old]: reason for parts, places in several for old, reason in parts.wrong.items()}
    ids: list[bytes] | None = None
    if any(parts.event_ids is not None for parts, _ in several):
        joined = [one for parts, places in several for one in parts.event_ids or [bytes(16)] * len(places)]
        ids = [joined[place] for place in order.tolist()]
    return Parts(
        tags=tags,
        tag=tag[order],
        sources=sources,
        source=source[order],
        source_time=np.concatenate([parts.source_time for parts, _ in several])[order],
        gateway_time=np.concatenate([parts.gateway_time for parts, _ in several])[order],
        quality=np.concatenate([parts.quality for parts, _ in several])[order],
        branch=np.concatenate([parts.branch for parts, _ in several])[order],
        number=np.concatenate([parts.number for parts, _ in several])[order],
        integer=np.concatenate([parts.integer for parts, _ in several])[order],
        text=text,
        wrong=wrong,
        event_ids=ids,
    )


def _renumbered(several: Sequence[tuple[list[str], I32]]) -> tuple[list[str], I32]:
    numbers: dict[str, int] = {}
    columns = []
    for words, index in several:
        table = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)
        columns.append(table[index])
    return list(numbers), np.concatenate(columns)


def _refuse(parts: Parts, where: BOOL, reason: str) -> None:
    for place in np.flatnonzero(where).tolist():
        parts.wrong.setdefault(place, reason)


def _check_tags(parts: Parts, kinds: Mapping[str, Kind]) -> None:
    for number, tag in enumerate(parts.tags):
        if tag not in kinds:
            try:
                TagPath.parse(tag)
            except ValueError as error:
                _refuse(parts, parts.tag == number, f"tag: {error}")


def _kinds(parts: Parts, kinds: Mapping[str, Kind]) -> I32:
    """Return the kind of each tag."""
    found = np.full(len(parts.tags), Kind.DOUBLE, np.int32)
    valued = np.flatnonzero(parts.branch != ABSENT)
    tags, first = np.unique(parts.tag[valued], return_index=True)
    found[tags] = parts.branch[valued[first]]
    for number, tag in enumerate(parts.tags):
        if tag in kinds:
            found[number] = kinds[tag]
    return found


def _fit(parts: Parts, kind_of_tag: I32) -> None:
    """Carry values over to the kind of their tag, without loss or not at all."""
    wanted = kind_of_tag[parts.tag]
    other = (parts.branch != ABSENT) & (parts.branch != wanted)
    easy = other & (wanted == Kind.DOUBLE) & (parts.branch == Kind.INTEGER) & (np.abs(parts.integer) <= _EXACT)
    parts.number[easy] = parts.integer[easy]
    parts.integer[easy] = 0
    parts.branch[easy] = Kind.DOUBLE
    for place in np.flatnonzero(other & ~easy).tolist():
        kind = Kind(int(wanted[place]))
        try:
            value = coerce(_value(parts, place), kind)
        except (TypeError, OverflowError) as error:
            parts.wrong.setdefault(place, f"type: {error}")
            continue
        assert isinstance(value, int | float), "texts are never made of anything else"
        parts.number[place], parts.integer[place] = (float(value), 0) if kind is Kind.DOUBLE else (0.0, int(value))
        parts.branch[place] = kind
    parts.number[parts.branch == ABSENT] = np.where(wanted[parts.branch == ABSENT] == Kind.DOUBLE, np.nan, 0.0)


def _value(parts: Parts, place: int) -> float | int | bool | str:
    match Kind(int(parts.branch[place])):
        case Kind.DOUBLE:
            return float(parts.number[place])
        case Kind.INTEGER:
            return int(parts.integer[place])
        case Kind.BOOLEAN:
            return bool(parts.integer[place])
        case Kind.TEXT:
            return parts.text[place]


def _mark(parts: Parts) -> None:
    """W-108: without a source time the quality is UNCERTAIN. PD-26: no value needs a BAD quality."""
    timeless = (parts.source_time == UNKNOWN) & (parts.quality >> SEVERITY_SHIFT < Severity.UNCERTAIN)
    parts.quality[timeless] = Quality.UNCERTAIN_NO_SOURCE_TIME
    empty = (parts.branch == ABSENT) & (parts.quality >> SEVERITY_SHIFT < Severity.BAD)
    _refuse(parts, empty, "value: there is none, which only a BAD quality allows")


def _one_source(parts: Parts) -> None:
    """A block has one source for each tag: that of its first reading."""
    _, first, tag = np.unique(parts.tag, return_index=True, return_inverse=True)
    parts.source = parts.source[first][tag]


def _runs(parts: Parts, records: Sequence[StoredRecord], keep: BOOL) -> tuple[list[BlockHead], list[Run], I32, I64]:
    """Return heads without tallies, their runs, and each record's head and position.

    A refused record that has a header of its own is left out: its header goes the way of the dead letter, which accounts for it.
    """
    numbers: dict[tuple[str, int, str], int] = {}
    names: list[str] = []
    bounds: list[list[int]] = []
    runs: list[Run] = []
    block, seq = [0] * len(records), [record.offset for record in records]

    def begin(record: StoredRecord, origin: str, lo: int) -> int:
        number = numbers[record.topic, record.partition, origin] = len(runs)
        names.append(origin)
        runs.append(Run(record, record.partition))
        bounds.append([lo, lo])
        return number

    for place, record in enumerate(records):
        header = record.header(HEADER) if record.headers else None
        if header is None:
            number = numbers.get((record.topic, record.partition, ""))
            if number is None:
                number = numbers[record.topic, record.partition, ""] = begin(record, f"{LOG_ORIGIN}{record.topic}", record.offset)
            block[place], bounds[number][1] = number, record.offset + 1
            continue
        head = _head(header, place, parts, keep)
        if head is None or not keep[place]:
            continue
        number = numbers.get((record.topic, record.partition, head.origin))
        if number is None or bounds[number][1] != head.lo:
            number = begin(record, head.origin, head.lo)
        block[place], seq[place], bounds[number][1] = number, head.hi - 1, head.hi
    heads = [BlockHead(origin, lo, hi, ()) for origin, (lo, hi) in zip(names, bounds, strict=True)]
    return heads, runs, np.array(block, np.int32), np.array(seq, np.int64)


def _head(header: bytes, place: int, parts: Parts, keep: BOOL) -> BlockHead | None:
    try:
        return decode_head(header)
    except CorruptData as error:
        parts.wrong.setdefault(place, str(error))
        keep[place] = False
        return None


def _tally(columns: Columns) -> None:
    """Count by head, source and ledger hour, and put the counts into the heads."""
    if not len(columns):
        return
    possible = (columns.time >= times.EARLIEST) & (columns.time <= columns.gateway_time + times.DAY)
    hour = np.where(possible, columns.time // times.HOUR, 0)
    hours, hour = np.unique(hour, return_inverse=True)
    keys = (columns.block.astype(np.int64) * len(columns.sources) + columns.source) * len(hours) + hour
    cells, counts = np.unique(keys, return_counts=True)
    tallies: list[list[Tally]] = [[] for _ in columns.heads]
    for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
        feed, when = divmod(cell, len(hours))
        number, source = divmod(feed, len(columns.sources))
        tallies[number].append(Tally(columns.sources[source], int(hours[when]), count))
    columns.heads = [BlockHead(head.origin, head.lo, head.hi, tuple(found)) for head, found in zip(columns.heads, tallies, strict=True)]
