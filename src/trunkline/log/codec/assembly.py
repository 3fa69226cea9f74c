"""From readings that came one by one to columns with heads: kinds, identity, order.

A block says which positions of which journal it covers. A record that holds one reading says it too, if a part of ours wrote it: its header
is the same. What a third party wrote has its place in the log as identity, whatever numbers are inside: origin `log:<topic>`, position =
offset. So nobody else's wrong count can make a reading look like a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from trunkline.log.codec.columns import BOOL, F64, I32, I64, U16, Columns
from trunkline.log.codec.covering import cover
from trunkline.log.codec.distinct import counted
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.port import StoredRecord
from trunkline.log.runs import Runs
from trunkline.model import times
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


@dataclass(slots=True)
class Assembled:
    """Columns of readings that came one by one.

    Attributes:
        columns: one head for each run of one origin and partition.
        firsts: per head, the first record of the run.
        wrong: why a record cannot be accepted, by its place.
        event_ids: 16 bytes for each reading, in the order of the columns; None when they have none.
    """

    columns: Columns
    firsts: list[StoredRecord]
    wrong: dict[int, str]
    event_ids: list[bytes] | None = None


def assemble(parts: Parts, records: Runs, places: I64, kinds: Mapping[str, Kind]) -> Assembled:
    """Put readings into columns.

    Args:
        parts: readings; changed here.
        records: where they came from, in log order.
        places: per reading, the record that it came from; ascending.
        kinds: what the configuration says of each tag; others get the kind of their first value.
    """
    _check_tags(parts, kinds)
    kind_of_tag = _kinds(parts, kinds)
    _fit(parts, kind_of_tag)
    _mark(parts)
    _one_source(parts)
    lanes = cover(records, places, parts.wrong)
    columns = Columns(
        heads=lanes.heads,
        block=lanes.block,
        tags=parts.tags,
        kinds=kind_of_tag,
        sources=parts.sources,
        tag=parts.tag,
        source=parts.source,
        seq=lanes.seq,
        time=np.where(parts.source_time == UNKNOWN, parts.gateway_time, parts.source_time),
        gateway_time=parts.gateway_time,
        quality=parts.quality,
        number=parts.number,
        integer=parts.integer,
        text=parts.text,
        absent=parts.branch == ABSENT,
    )
    event_ids = parts.event_ids
    chosen = _chosen(lanes.block, parts.wrong)
    if chosen is not None:
        columns = columns.take(chosen)
        event_ids = None if event_ids is None else [event_ids[place] for place in chosen.tolist()]
    if parts.wrong:
        _forget_unused(columns)
    _tally(columns)
    return Assembled(columns, lanes.firsts, {int(places[place]): reason for place, reason in parts.wrong.items()}, event_ids)


def _chosen(block: I32, wrong: Mapping[int, str]) -> I64 | None:
    """Return the readings that are kept, sorted by their heads; None for all as they are."""
    if not wrong and not np.any(block[1:] < block[:-1]):
        return None
    keep = np.ones(len(block), np.bool_)
    keep[list(wrong)] = False
    places = np.flatnonzero(keep)
    return places[np.argsort(block[places], kind="stable")]


def _forget_unused(columns: Columns) -> None:
    """Leave out tags and sources that only refused readings had."""
    tags = np.flatnonzero(np.bincount(columns.tag, minlength=len(columns.tags)))
    sources = np.flatnonzero(np.bincount(columns.source, minlength=len(columns.sources)))
    columns.tag = tags.searchsorted(columns.tag).astype(np.int32)
    columns.source = sources.searchsorted(columns.source).astype(np.int32)
    columns.tags, columns.kinds = [columns.tags[number] for number in tags.tolist()], columns.kinds[tags]
    columns.sources = [columns.sources[number] for number in sources.tolist()]


def merge(several: Sequence[tuple[Parts, I64]]) -> Parts:
    """Return one `Parts` of several; with each, the places its readings take in the whole."""
    if len(several) == 1:
        return several[0][0]
    order = np.argsort(np.concatenate([places for _, places in several]), kind="stable")
    tags, tag = _renumbered([(parts.tags, parts.tag) for parts, _ in several])
    sources, source = _renumbered([(parts.sources, parts.source) for parts, _ in several])
    text = {int(places[old]): word for parts, places in several for old, word in parts.text.items()}
    wrong = {int(places[old]): reason for parts, places in several for old, reason in parts.wrong.items()}
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
        if tag not in kinds and (fault := _fault_of(tag)) is not None:
            _refuse(parts, parts.tag == number, f"tag: {fault}")


@lru_cache(maxsize=1 << 16)
def _fault_of(tag: str) -> str | None:
    try:
        TagPath.parse(tag)
    except ValueError as error:
        return str(error)
    return None


def _kinds(parts: Parts, kinds: Mapping[str, Kind]) -> I32:
    """Return the kind of each tag."""
    valued = parts.branch != ABSENT
    tag, branch = (parts.tag, parts.branch) if valued.all() else (parts.tag[valued], parts.branch[valued])
    found = np.full(len(parts.tags), Kind.DOUBLE, np.int32)
    # of several values for one place the last one stays
    found[tag[::-1]] = branch[::-1]
    for number, name in enumerate(parts.tags):
        if name in kinds:
            found[number] = kinds[name]
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
    absent = parts.branch == ABSENT
    if absent.any():
        parts.number[absent] = np.where(wanted[absent] == Kind.DOUBLE, np.nan, 0.0)


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
    if len(parts.sources) > 1:
        source_of_tag = np.zeros(len(parts.tags), np.int32)
        source_of_tag[parts.tag[::-1]] = parts.source[::-1]
        parts.source = source_of_tag[parts.tag]


def _tally(columns: Columns) -> None:
    """Count by head, source and ledger hour, and put the counts into the heads."""
    if not len(columns):
        return
    possible = (columns.time >= times.EARLIEST) & (columns.time <= columns.gateway_time + times.DAY)
    hour = np.where(possible, columns.time // times.HOUR, 0)
    hours = counted(hour)[0]
    keys = (columns.block.astype(np.int64) * len(columns.sources) + columns.source) * len(hours) + hours.searchsorted(hour)
    cells, counts = counted(keys)
    tallies: list[list[Tally]] = [[] for _ in columns.heads]
    for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
        feed, when = divmod(cell, len(hours))
        number, source = divmod(feed, len(columns.sources))
        tallies[number].append(Tally(columns.sources[source], int(hours[when]), count))
    columns.heads = [BlockHead(head.origin, head.lo, head.hi, tuple(found)) for head, found in zip(columns.heads, tallies, strict=True)]
