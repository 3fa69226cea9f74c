"""How much of this edge journal the historian has confirmed as stored: only that may go by age (P-67, PD-10)."""

from typing import Final

import msgspec
import structlog

from trunkline.ledger.confirmation import decode_confirmation
from trunkline.ledger.coverage import Coverage
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData

log = structlog.get_logger("trunkline.gateway")

_META: Final = "historian.confirmed"
_PAGE: Final = 1000
#: A gateway that was away long catches up over several calls.
_PAGES: Final = 20


class _Known(msgspec.Struct):
    """What is kept in the journal.

    Attributes:
        read_to: next offset of the confirmations' topic in the site log.
        lanes: by 'topic/partition', the ranges that were confirmed last.
    """

    read_to: int = 0
    lanes: dict[str, list[tuple[int, int]]] = {}


class Confirmed:
    """The newest confirmation of each partition of one edge journal, kept in that journal. One thread learns, any thread may ask.

    Args:
        journal: the edge journal.
        layout: names of topics.
    """

    def __init__(self, journal: Journal, layout: Layout) -> None:
        self._journal = journal
        self._at = TopicPartition(layout.confirmations, 0)
        self._origin = journal.id.encode()
        stored = journal.meta(_META)
        self._known = msgspec.json.decode(stored, type=_Known) if stored else _Known()
        self._coverage = {name: Coverage(ranges) for name, ranges in self._known.lanes.items()}

    def reach(self, at: TopicPartition, position: int) -> int:
        """Return the first journal position at or after `position` whose record in this partition is not confirmed."""
        coverage = self._coverage.get(_name(*at))
        return coverage.reach(position) if coverage else position

    def learn(self, site: Log) -> None:
        """Read what the historian has told since the last call. Raises RetryLater when the site log is away; nothing is forgotten then."""
        first, end = site.bounds(self._at.topic)[self._at]
        if self._known.read_to > end:  # another site log than last time
            self._known.read_to = first
        own: list[StoredRecord] = []
        for _ in range(_PAGES):
            records = site.read(self._at, self._known.read_to, _PAGE)
            if not records:
                break
            self._known.read_to = records[-1].offset + 1
            own += [record for record in records if record.key == self._origin]
        if own:
            self._take(own)

    def _take(self, records: list[StoredRecord]) -> None:
        """Let newer words replace older ones, also where they confirm less: the historian may have been set back to a backup."""
        lanes = dict(self._known.lanes)
        for record in records:
            try:
                confirmation = decode_confirmation(record.value)
            except CorruptData as error:
                log.warning("a confirmation of the historian is passed over", offset=record.offset, error=str(error))
                continue
            for lane in confirmation.lanes:
                lanes[_name(lane.topic, lane.partition)] = lane.ranges
        self._known.lanes = lanes
        self._coverage = {name: Coverage(ranges) for name, ranges in lanes.items()}
        self._journal.append_many({}, meta={_META: msgspec.json.encode(self._known).decode()})


def _name(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"
