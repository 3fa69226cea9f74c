"""Room at the edge: prunes what the site has, and gives up the least valuable data, on record, when space runs out (W-101 to W-103, D-24).

Alarms and commands are never given up. Every range given up is an event on `Layout.overflow`, written in the same transaction as the
deletion, so that the ledger can name what is gone.
"""

from typing import Final

import structlog

from trunkline.config.site import BufferConfig
from trunkline.gateway.edge import DROPPED
from trunkline.gateway.forwarder import Forwarder, count
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.gateway")

HIGH_MARK: Final = 0.90
LOW_MARK: Final = 0.85
_CHUNK: Final = 20


class BufferKeeper:
    """Keeps one edge journal within its bounds.

    Args:
        journal: the edge journal.
        forwarder: knows what is still to be sent; its lock is held while records go.
        layout: names of the topics.
        config: the bounds.
    """

    def __init__(self, journal: Journal, forwarder: Forwarder, layout: Layout, config: BufferConfig) -> None:
        self._journal = journal
        self._forwarder = forwarder
        self._layout = layout
        self._config = config
        self.dropped_records = 0
        #: least valuable first; alarms are not in the list, so nothing can drop them
        self._order = (
            (layout.platform_log, None),
            (layout.topic(Category.EVENT, "raw"), Category.EVENT),
            (layout.topic(Category.TELEMETRY, "raw"), Category.TELEMETRY),
        )

    def size(self) -> int:
        """Return the bytes kept."""
        return sum(self._journal.size(topic) for topic in self._forwarder.topics)

    def waiting(self) -> int:
        """Return how many records are not forwarded yet."""
        with self._forwarder.hold():
            total = 0
            for topic in self._forwarder.topics:
                bounds = self._journal.bounds(topic)
                for at, lane in self._forwarder.lanes_of(topic).items():
                    first, end = bounds[at]
                    total += max(0, end - max(lane.live, first)) + len(lane.poison)
                    total += sum(max(0, stop - max(start, first)) for start, stop in lane.backlog)
            return total

    def oldest_waiting(self) -> int | None:
        """Return the time of the oldest record not forwarded yet, or None."""
        with self._forwarder.hold():
            found = [
                records[0].timestamp
                for topic in self._forwarder.topics
                for at, lane in self._forwarder.lanes_of(topic).items()
                if (records := self._journal.read(at, lane.oldest, 1))
            ]
        return min(found, default=None)

    def tend(self, now: int) -> None:
        """Prune by age, then make room if the high mark is passed."""
        self._prune(now - int(self._config.retention_days * times.DAY))
        if self.size() <= HIGH_MARK * self._config.max_bytes:
            return
        goal = LOW_MARK * self._config.max_bytes
        self._prune(now)  # what the site has costs nothing to drop (D-24)
        for topic, category in self._order:
            while self.size() > goal and self._drop_oldest(topic, category, now):
                pass

    def _prune(self, before: int) -> None:
        """Delete forwarded records older than `before`; what waits is never touched (P-67)."""
        with self._forwarder.hold():
            for topic in self._forwarder.topics:
                for at, lane in self._forwarder.lanes_of(topic).items():
                    end = self._first_newer(at, lane.oldest, before)
                    if end is not None:
                        self._journal.delete_before(at, end)

    def _first_newer(self, at: TopicPartition, limit: int, before: int) -> int | None:
        """Return the first offset, at most `limit`, whose record is not older than `before`; None if nothing is to go."""
        first, _ = self._journal.bounds(at.topic)[at]
        low, high = first, limit
        while low < high:  # timestamps ascend with offsets
            middle = (low + high) // 2
            records = self._journal.read(at, middle, 1)
            if records and records[0].timestamp < before:
                low = middle + 1
            else:
                high = middle
        return low if low > first else None

    def _drop_oldest(self, topic: str, category: Category | None, now: int) -> bool:
        """Give up the oldest records of a topic; return whether there were any."""
        with self._forwarder.hold():
            candidates = [
                records for at, lane in self._forwarder.lanes_of(topic).items() if (records := self._journal.read(at, lane.oldest, _CHUNK))
            ]
            if not candidates:
                return False
            records = min(candidates, key=lambda run: run[0].timestamp)
            at = TopicPartition(topic, records[0].partition)
            end = records[-1].offset + 1
            tallies = count(records, DROPPED, category) if category is not None else {}
            lane = self._forwarder.outbox.lane(at)
            lane.give_up(end)
            notice = self._notice(at, records, now)
            # lanes that still point into the deleted range find nothing there, so they need not be in the same transaction
            self._journal.delete_before(at, end, tallies=tallies, with_appends={self._layout.overflow: [notice]})
            self._journal.append_many({}, meta=self._forwarder.outbox.meta())
        self.dropped_records += len(records)
        log.error(
            "edge buffer is full: oldest records were given up",
            topic=topic,
            records=len(records),
            until=times.to_iso(records[-1].timestamp),
        )
        return True

    def _notice(self, at: TopicPartition, records: list[StoredRecord], now: int) -> Record:
        heads = [decode_head(header) for record in records if (header := record.header(HEADER)) is not None]
        event = Event(
            id=str(uuid7()),
            type="BUFFER_OVERFLOW",
            time=now,
            gateway_time=now,
            origin=self._journal.id,
            text=f"{len(records)} records of {at.topic} were given up to make room",
            attributes={
                "topic": at.topic,
                "partition": at.partition,
                "first_offset": records[0].offset,
                "last_offset": records[-1].offset,
                "lo": min((head.lo for head in heads), default=-1),
                "hi": max((head.hi for head in heads), default=-1),
                "readings": sum(head.readings for head in heads),
                "bytes_freed": sum(len(record.value) for record in records),
                "oldest_timestamp": records[0].timestamp,
                "newest_timestamp": records[-1].timestamp,
            },
        )
        return Record(encode_event(event), key=at.topic.encode())
