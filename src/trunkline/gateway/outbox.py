"""What is still to be forwarded, kept in the edge journal: per partition a live position, ranges of backlog, and records set aside."""

from collections.abc import Collection
from typing import Final, Literal

import msgspec

from trunkline.log.journal.journal import Journal
from trunkline.log.port import TopicPartition
from trunkline.model import times

#: Name of the journal's fact that holds them.
LANES: Final = "outbox"

#: Ranges of a lane that go behind live data.
Queue = Literal["backlog", "again"]

#: P-63: wait before try 2, 3, ...; the last one repeats.
LADDER: Final = tuple(seconds * times.SECOND for seconds in (5, 30, 120, 600, 1800, 3600))
#: P-62
MAX_RETRIES: Final = 10


class Poison(msgspec.Struct):
    """A record that the site log refused for its own sake.

    Attributes:
        offset: where it is in the edge journal.
        tries: how often it was refused.
        due: when it is tried again, µs UTC.
        reason: what the site log said last.
    """

    offset: int
    tries: int
    due: int
    reason: str

    @property
    def failed(self) -> bool:
        """Whether it is out of retries: FAILED, for people to look at."""
        return self.tries >= MAX_RETRIES


class Lane(msgspec.Struct):
    """One partition's way out.

    Attributes:
        live: next offset of the live lane.
        backlog: ranges [next, end) behind it, oldest first.
        poison: records set aside.
        again: ranges that were forwarded and are to be sent once more. They are settled: they hold back no pruning, and are not counted.
    """

    live: int = 0
    backlog: list[tuple[int, int]] = []
    poison: list[Poison] = []
    again: list[tuple[int, int]] = []

    @property
    def oldest(self) -> int:
        """First offset that is not settled: nothing at or after it may be pruned."""
        return min([self.live, *(start for start, _ in self.backlog), *(one.offset for one in self.poison)])

    def waits(self, offset: int) -> bool:
        """Return whether the record at `offset` is not settled."""
        return (
            offset >= self.live
            or any(start <= offset < end for start, end in self.backlog)
            or any(offset == one.offset for one in self.poison)
        )

    def waiting(self, first: int, end: int) -> int:
        """Return how many of the offsets in [first, end) are not settled, counting gaps as if records were there."""
        live = max(0, end - max(self.live, first)) + len(self.poison)
        return live + sum(max(0, stop - max(start, first)) for start, stop in self.backlog)

    def spans(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of [first, end) that are not settled, ascending."""
        waiting = [*((one.offset, one.offset + 1) for one in self.poison), *self.backlog, (self.live, end)]
        return [(max(start, first), min(stop, end)) for start, stop in sorted(waiting) if max(start, first) < min(stop, end)]

    def settled(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of [first, end) that wait for nothing, ascending."""
        parts, reached = [], first
        for start, stop in [*self.spans(first, end), (end, end)]:
            if start > reached:
                parts.append((reached, start))
            reached = max(reached, stop)
        return parts

    def send_again(self, first: int, end: int) -> int:
        """Have what is settled of [first, end) sent once more; return how many offsets that adds."""
        before = sum(stop - start for start, stop in self.again)
        ranges: list[tuple[int, int]] = []
        for start, stop in sorted([*self.again, *self.settled(first, end)]):
            if ranges and start <= ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], max(stop, ranges[-1][1]))
            else:
                ranges.append((start, stop))
        self.again = ranges
        return sum(stop - start for start, stop in ranges) - before

    def try_again(self, offsets: Collection[int] | None, now: int) -> int:
        """Give records set aside all their tries back: those at `offsets`, or all that are FAILED. Return how many."""
        chosen = [one for one in self.poison if (one.failed if offsets is None else one.offset in offsets)]
        self.poison = [Poison(one.offset, 0, now, one.reason) if one in chosen else one for one in self.poison]
        return len(chosen)

    def split(self, end: int) -> None:
        """Turn everything before `end` into backlog and go on live from there."""
        if self.live < end:
            start = self.live
            if self.backlog and self.backlog[-1][1] == start:
                *earlier, (start, _) = self.backlog
            else:
                earlier = self.backlog
            self.backlog = [*earlier, (start, end)]
            self.live = end

    def give_up(self, end: int) -> None:
        """Forget everything before `end`: it was dropped."""
        self.live = max(self.live, end)
        self.backlog = [(max(start, end), stop) for start, stop in self.backlog if stop > end]
        self.poison = [one for one in self.poison if one.offset >= end]

    def advance(self, queue: Queue, reached: int) -> None:
        """Settle the first range of a queue up to `reached`."""
        (start, end), *rest = getattr(self, queue)
        setattr(self, queue, rest if reached >= end else [(max(start, reached), end), *rest])


def stored_lanes(fact: str | None) -> dict[TopicPartition, Lane]:
    """Return the lanes of a journal's fact `LANES`."""
    plain = msgspec.json.decode(fact, type=dict[str, Lane]) if fact else {}
    lanes = {}
    for name, lane in plain.items():
        topic, _, partition = name.rpartition("/")
        lanes[TopicPartition(topic, int(partition))] = lane
    return lanes


class Outbox:
    """All lanes of one edge journal, and their stored form."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.lanes = stored_lanes(journal.meta(LANES))

    def lane(self, at: TopicPartition) -> Lane:
        """Return a partition's lane; a new one starts at the first record."""
        return self.lanes.setdefault(at, Lane())

    def meta(self) -> dict[str, str]:
        """Return what to store in the journal, in one step with the counts that belong to it."""
        plain = {f"{at.topic}/{at.partition}": lane for at, lane in self.lanes.items()}
        return {LANES: msgspec.json.encode(plain).decode()}
