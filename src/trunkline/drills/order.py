"""In which order an edge's readings came to the site log."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from trunkline.ledger.coverage import Coverage
from trunkline.log.codec.head import BACKLOG, HEADER, decode_head
from trunkline.log.port import Log, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.reading import Category

_PAGE: Final = 1000


@dataclass(slots=True)
class Arrivals:
    """How they came.

    Attributes:
        inverted: readings that came after later ones of their partition, though both are live or both of the backlog.
        repeated: readings that came again under the identity that they had; the site drops them.
    """

    inverted: int = 0
    repeated: int = 0


def arrivals(log: Log, layout: Layout) -> Arrivals:
    """Return how the readings of a site log came, by their places in the journal of their edge."""
    found = Arrivals()
    for topic in layout.topics(Category.TELEMETRY, "raw"):
        for at, (first, _) in log.bounds(topic).items():
            _look(log, at, first, found)
    return found


def _look(log: Log, at: TopicPartition, offset: int, found: Arrivals) -> None:
    seen: defaultdict[str, Coverage] = defaultdict(Coverage)
    reached: defaultdict[tuple[str, bool], int] = defaultdict(int)
    while records := log.read(at, offset, _PAGE):
        offset = records[-1].offset + 1
        for record in records:
            if (header := record.header(HEADER)) is None:
                continue
            head, waited = decode_head(header), record.header(BACKLOG) is not None
            if seen[head.origin].covers(head.lo, head.hi):
                found.repeated += head.readings
                continue
            seen[head.origin].add(head.lo, head.hi)
            if head.lo < reached[head.origin, waited]:
                found.inverted += head.readings
            reached[head.origin, waited] = max(reached[head.origin, waited], head.hi)
