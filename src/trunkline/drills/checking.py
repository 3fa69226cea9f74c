"""Every reading that a drill fed, worked out again, against what the historian holds and what the edge says it gave up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from trunkline.drills.feed import Feed
from trunkline.historian.reader import MAX_ROWS, Reader, UnknownTag
from trunkline.historian.readings import Raw
from trunkline.log.codec.events import decode_event
from trunkline.log.port import Log, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
#: Of some steps and the qualities with which they are stored: which of these may be.
Allowed = Callable[[I64, npt.NDArray[np.uint16]], Bools]

_PAGE: Final = 1000
#: Steps that are compared at once: a fraction of what one query may return, so that doubles are seen.
_WINDOW: Final = MAX_ROWS // 4
_END_OF_TIME: Final = times.from_iso("2200-01-01T00:00:00Z")
_EXAMPLES: Final = 20
_OVERFLOW: Final = "BUFFER_OVERFLOW"


@dataclass(slots=True)
class Difference:
    """How what is stored differs from what should be.

    Attributes:
        expected: readings that the edge has taken in.
        stored: of all tags.
        lost: neither stored nor given up on record.
        doubled: stored more than once.
        invented: stored at a time at which none was read.
        changed: stored with another value or quality.
        dropped: given up on record, and not stored.
        kept: given up on record, and stored all the same.
        examples: a few tags with their counts.
    """

    expected: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    changed: int = 0
    dropped: int = 0
    kept: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything is where the records say."""
        return not (self.lost or self.doubled or self.invented or self.changed or self.kept)


def given_up(log: Log, layout: Layout) -> dict[TopicPartition, list[tuple[int, int]]]:
    """Return the ranges of journal positions that the edge says it gave up, by partition of the raw telemetry."""
    found: dict[TopicPartition, list[tuple[int, int]]] = {}
    for at, (first, _) in log.bounds(layout.overflow).items():
        offset = first
        while records := log.read(at, offset, _PAGE):
            offset = records[-1].offset + 1
            for event in (decode_event(record.value) for record in records):
                if event.type == _OVERFLOW:
                    place = TopicPartition(str(event.attributes["topic"]), _whole(event, "partition"))
                    found.setdefault(place, []).append((_whole(event, "lo"), _whole(event, "hi")))
    return found


def _whole(event: Event, fact: str) -> int:
    value = event.attributes[fact]
    if not isinstance(value, int):
        raise TypeError(f"{event.type}: {fact} is {value!r}, not a whole number")
    return value


def only_good(_step: I64, quality: npt.NDArray[np.uint16]) -> Bools:
    """Allow no quality but GOOD."""
    return np.asarray(quality == Quality.GOOD)


def compare(
    feed: Feed,
    steps: int,
    reader: Reader,
    dropped: Callable[[int], Iterable[tuple[int, int]]] = lambda _lane: (),
    allowed: Allowed = only_good,
) -> Difference:
    """Compare a history with the first steps of a feed.

    Args:
        feed: what was fed; when its live steps began is known.
        steps: how many steps the edge has taken in.
        reader: of the historian.
        dropped: ranges of positions given up, by lane.
        allowed: tells which qualities stored readings may have.
    """
    found = Difference()
    ranges = {lane: sorted(dropped(lane)) for lane in {slot.partition for slot in feed.slots}}
    for tag, slot in enumerate(feed.slots):
        step = np.arange(steps)
        gone = _within(step * len(feed.slots) + tag, ranges[slot.partition])
        before = (found.lost, found.doubled, found.invented, found.changed, found.kept)
        _compare_tag(feed, tag, step, gone, reader, allowed, found)
        after = (found.lost, found.doubled, found.invented, found.changed, found.kept)
        if after != before and len(found.examples) < _EXAMPLES:
            names = ("lost", "doubled", "invented", "changed", "given up and stored")
            words = [f"{now - then} {name}" for now, then, name in zip(after, before, names, strict=True) if now != then]
            found.examples.append(f"{slot.path}: {', '.join(words)}")
    return found


def _within(positions: I64, ranges: list[tuple[int, int]]) -> Bools:
    inside = np.zeros(len(positions), np.bool_)
    for low, high in ranges:
        inside |= (positions >= low) & (positions < high)
    return inside


def _compare_tag(feed: Feed, tag: int, step: I64, gone: Bools, reader: Reader, allowed: Allowed, found: Difference) -> None:
    """Compare one tag, window by window; the first and the last reach to the ends of time, so that nothing lies outside.

    Devices whose clock was set back fit into one window.
    """
    found.expected += len(step)
    time = feed.time(step)
    for begin in range(0, len(step), _WINDOW):
        window = slice(begin, begin + _WINDOW)
        low = int(time[begin]) if begin else times.EARLIEST
        high = int(time[begin + _WINDOW]) if begin + _WINDOW < len(step) else _END_OF_TIME
        try:
            raw = reader.raw(feed.slots[tag].path, low, high, MAX_ROWS)
        except UnknownTag:
            found.lost += int(np.count_nonzero(~gone[window]))
            found.dropped += int(np.count_nonzero(gone[window]))
            continue
        there, first = np.unique(raw.time, return_index=True)
        _, mine, theirs = np.intersect1d(time[window], there, assume_unique=True, return_indices=True)
        places = first[theirs]
        good = _equal(feed, tag, step[window][mine], raw, places) & allowed(step[window][mine], raw.quality[places])
        missing = np.ones(len(time[window]), np.bool_)
        missing[mine] = False
        found.stored += len(raw.time)
        found.doubled += len(raw.time) - len(there)
        found.invented += len(there) - len(mine)
        found.changed += int(np.count_nonzero(~good))
        found.lost += int(np.count_nonzero(missing & ~gone[window]))
        found.dropped += int(np.count_nonzero(missing & gone[window]))
        found.kept += int(np.count_nonzero(~missing & gone[window]))


def _equal(feed: Feed, tag: int, step: I64, raw: Raw, places: I64) -> Bools:
    kind = feed.slots[tag].kind
    if kind is Kind.DOUBLE:
        return np.asarray(raw.number[places] == feed.number(tag, step))
    if kind is Kind.TEXT:
        texts = feed.text(tag, step)
        return np.fromiter((raw.text[place] == text for place, text in zip(places.tolist(), texts, strict=True)), np.bool_, len(step))
    return np.asarray(raw.integer[places] == feed.integer(tag, step))
