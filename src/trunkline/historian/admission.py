"""Which readings of a flush are new: whole blocks by the range they cover, single readings where a block is known in part (PD-6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trunkline.historian.flush import Flush
from trunkline.historian.segments import BOOL
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec.head import BlockHead
from trunkline.log.port import TopicPartition

#: An origin on a partition: within it, the positions of blocks meet.
Lane = tuple[str, TopicPartition]


@dataclass(slots=True)
class Admission:
    """What is new.

    Attributes:
        fresh: True for readings not seen before.
        new_heads: heads of blocks that are new as a whole: their tallies of rejected and deduplicated readings count.
        new_events: per event record, whether it is new. Records of the platform itself have no head and always are.
        coverage: the coverage of the lanes touched as it will be once the flush is stored.
    """

    fresh: BOOL
    new_heads: list[BlockHead] = field(default_factory=list)
    new_events: list[bool] = field(default_factory=list)
    coverage: dict[Lane, Coverage] = field(default_factory=dict)

    def lane(self, lane: Lane, known: Mapping[Lane, Coverage]) -> Coverage:
        """Return the lane's coverage to add to; it starts as a copy of what is known."""
        if lane not in self.coverage:
            before = known.get(lane)
            self.coverage[lane] = Coverage(before.ranges if before else ())
        return self.coverage[lane]


def admit(flush: Flush, known: Mapping[Lane, Coverage]) -> Admission:
    """Compare a flush with what was covered before it.

    The tallies of a block that is known in part cannot be split and are left out: the ledger then shows the difference instead of
    hiding it.

    Args:
        flush: readings and events, in log order.
        known: coverage of what is stored; not changed.
    """
    columns = flush.columns
    result = Admission(np.ones(len(columns), np.bool_))
    bounds = np.searchsorted(columns.block, np.arange(len(columns.heads) + 1))
    for number, (head, place) in enumerate(zip(columns.heads, flush.places, strict=True)):
        coverage = result.lane((head.origin, place), known)
        rows = slice(int(bounds[number]), int(bounds[number + 1]))
        if coverage.covers(head.lo, head.hi):
            result.fresh[rows] = False
        elif coverage.overlaps(head.lo, head.hi):
            result.fresh[rows] = [position not in coverage for position in columns.seq[rows].tolist()]
        else:
            result.new_heads.append(head)
        coverage.add(head.lo, head.hi)
    for entry in flush.events:
        if entry.head is None:
            result.new_events.append(True)
        else:
            coverage = result.lane((entry.head.origin, entry.place), known)
            result.new_events.append(not coverage.covers(entry.head.lo, entry.head.hi))
            coverage.add(entry.head.lo, entry.head.hi)
    return result
