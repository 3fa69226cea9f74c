"""How good history is: for how long the readings of a tag were GOOD, UNCERTAIN or BAD, by day, and why they were not.

A reading holds until the next one, at most as long as the tag may be silent; after that there is nothing to be good. Shares are of time, as
in OPC UA Part 13 (5.4.3.2.3, PercentGood), not of readings: ten bad readings of one second weigh less than one of an hour.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.historian.reader import Reader
from trunkline.historian.whole import pages
from trunkline.log.codec.columns import I64
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Category


@dataclass(slots=True)
class Share:
    """How long a tag, or several, had which quality.

    Attributes:
        good, uncertain, bad, nothing: µs; nothing is the time without a reading that holds.
        reasons: µs by quality that is not GOOD.
    """

    good: int = 0
    uncertain: int = 0
    bad: int = 0
    nothing: int = 0
    reasons: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def total(self) -> int:
        """µs looked at."""
        return self.good + self.uncertain + self.bad + self.nothing

    @property
    def percent_good(self) -> float:
        """Percent of the time that was GOOD."""
        return 100 * self.good / self.total if self.total else 0.0

    def add(self, other: "Share") -> None:
        """Add the times of another."""
        self.good += other.good
        self.uncertain += other.uncertain
        self.bad += other.bad
        self.nothing += other.nothing
        for quality, lasts in other.reasons.items():
            self.reasons[quality] += lasts

    def worst(self) -> list[tuple[str, int]]:
        """Return the reasons in words with their µs, the longest first."""
        return sorted(((q.reason(quality), lasts) for quality, lasts in self.reasons.items()), key=lambda one: (-one[1], one[0]))


def days(begin: int, end: int, zone: str) -> list[tuple[str, int, int]]:
    """Return the days of a time zone that a span touches, as (date, first µs, first µs after), cut to the span."""
    place = ZoneInfo(zone)
    day = times.to_datetime(begin).astimezone(place).date()
    edges, names = [begin], []
    while edges[-1] < end:
        names.append(day.isoformat())
        day += timedelta(days=1)
        edges.append(min(end, times.from_datetime(datetime(day.year, day.month, day.day, tzinfo=place))))
    return [(name, first, last) for name, (first, last) in zip(names, pairwise(edges), strict=True)]


def share(time: I64, quality: Sequence[int] | I64, begin: int, end: int, hold: int) -> Share:
    """Return the share of one tag in a span.

    Args:
        time: of the readings, µs UTC, ascending; the last one not after `begin` belongs to them.
        quality: of the readings, 16 bits.
        begin: first time of the span.
        end: first time after it.
        hold: µs that a reading holds at most.
    """
    until = np.append(time[1:], end)
    lasts = np.minimum(np.minimum(until, time + hold), end) - np.maximum(time, begin)
    found = Share()
    codes, which = np.unique(np.asarray(quality), return_inverse=True)
    sums = np.zeros(len(codes), np.int64)
    np.add.at(sums, which, np.maximum(lasts, 0))
    for code, total in zip(codes.tolist(), sums.tolist(), strict=True):
        match q.severity(code):
            case q.Severity.GOOD:
                found.good += total
            case q.Severity.UNCERTAIN:
                found.uncertain += total
            case q.Severity.BAD:
                found.bad += total
        if q.severity(code) is not q.Severity.GOOD and total:
            found.reasons[code] += total
    found.nothing = end - begin - found.good - found.uncertain - found.bad
    return found


def of_tag(reader: Reader, tag: str, spans: Iterable[tuple[str, int, int]], hold: int) -> dict[str, Share]:
    """Return a tag's share of each span by name. Raises UnknownTag."""
    found = {}
    for name, begin, end in spans:
        held = reader.at(tag, begin)
        time, quality = ([held.from_time], [held.quality]) if held is not None else ([], [])
        parts_time, parts_quality = [np.array(time, np.int64)], [np.array(quality, np.int64)]
        for raw in pages(reader, tag, begin, end):
            parts_time.append(raw.time)
            parts_quality.append(raw.quality.astype(np.int64))
        found[name] = share(np.concatenate(parts_time), np.concatenate(parts_quality), begin, end, hold)
    return found


def broken_rules(reader: Reader, begin: int, end: int, under: str = "") -> list[tuple[str, str, int]]:
    """Return (tag, rule, readings) as validation counted them, the most broken first; the running hour is not yet among them."""
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    cursor: str | None = ""
    while cursor is not None:
        events, cursor = reader.events(begin, end, category=Category.EVENT, under=under, search="QUALITY", limit=10_000, cursor=cursor)
        for event, _ in events:
            if event.type == "QUALITY":
                counts[_tag(event), str(event.attributes.get("rule"))] += int(event.attributes.get("readings") or 0)
    return sorted(((tag, rule, count) for (tag, rule), count in counts.items()), key=lambda one: (-one[2], one[0], one[1]))


def _tag(event: Event) -> str:
    return f"{event.asset}.{event.tag}" if event.asset else event.tag
