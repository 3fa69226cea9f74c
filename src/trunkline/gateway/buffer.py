"""Room at the edge: prunes what the historian has, and makes room, on record, when space runs out (P-67, PD-10, W-101 to W-103, D-24).

Age alone takes only what was forwarded and what the historian confirms. When space runs out, copies go first, the confirmed before the
unconfirmed; then the least valuable data that still waits is given up. Alarms and commands are never given up. Every range given up, and
every unconfirmed copy let go, is an event on `Layout.overflow`, written in the same transaction as the deletion, so that the ledger can
name what is gone.

A disk that is full below the bound takes nothing that waits: confirmed copies go, the sources wait, and alarms use the reserve. What was
acknowledged stays. When a backlog is gone its pages are given back to the disk.
"""

import threading
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any, Final

import msgspec
import structlog

from trunkline.config.site import BufferConfig
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.copies import count
from trunkline.gateway.edge import DROPPED
from trunkline.gateway.forecast import Forecast
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.outbox import Lane
from trunkline.gateway.room import Room
from trunkline.ledger.status import BufferStatus
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import HEADER, BlockHead, decode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.gateway")

#: Name of the journal's fact that holds a `LastBuffer`.
LAST_BUFFER: Final = "edge.buffer"
HIGH_MARK: Final = 0.90
LOW_MARK: Final = 0.85
_GIVE_BACK_SECONDS: Final = 1.0
_CHUNK: Final = 20
_COPIES: Final = 200


class LastBuffer(msgspec.Struct, frozen=True):
    """What the keeper last knew, kept in the journal for who looks into its file.

    Attributes:
        at_us: when.
        buffer: how much waits and what it takes.
    """

    at_us: int
    buffer: BufferStatus


class BufferKeeper:
    """Keeps one edge journal within its bounds.

    Args:
        journal: the edge journal.
        forwarder: knows what is still to be sent; its lock is held while records go.
        layout: names of the topics.
        config: the bounds.
        confirmed: what the historian has stored.
        room: the bounds in bytes, shared with the writer; made of `config` if not given.
    """

    def __init__(
        self,
        journal: Journal,
        forwarder: Forwarder,
        layout: Layout,
        config: BufferConfig,
        confirmed: Confirmed,
        room: Room | None = None,
    ) -> None:
        self._journal = journal
        self._forwarder = forwarder
        self._layout = layout
        self._config = config
        self._confirmed = confirmed
        self.room = room or Room(journal, layout, config)
        self._lock = threading.Lock()
        self._forecast = Forecast()
        self.dropped_records = 0
        #: least valuable first; alarms are not in the list, so nothing can drop them
        self._order: tuple[tuple[str, Category | None], ...] = (
            (layout.platform_log, None),
            *((topic, category) for category in (Category.EVENT, Category.TELEMETRY) for topic in layout.topics(category, "raw")),
        )

    def size(self) -> int:
        """Return the bytes that count against the marks: pages in use by all but alarms, commands and notices."""
        return self.room.size()

    def waiting(self) -> int:
        """Return how many records are not forwarded yet."""
        with self._forwarder.hold():
            total = 0
            for topic in self._forwarder.topics:
                bounds = self._journal.bounds(topic)
                total += sum(lane.waiting(*bounds[at]) for at, lane in self._forwarder.lanes_of(topic).items())
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

    def waiting_bytes(self) -> int:
        """Return about how many bytes the records take that are not forwarded yet and may be given up: their share of their topic's."""
        with self._forwarder.hold():
            total = 0
            for topic, _ in self._order:
                bounds = self._journal.bounds(topic)
                kept = sum(end - first for first, end in bounds.values())
                waiting = sum(lane.waiting(*bounds[at]) for at, lane in self._forwarder.lanes_of(topic).items())
                total += self._journal.size(topic) * waiting // max(kept, waiting, 1)
            return total

    def full_in_s(self) -> float | None:
        """Return the seconds until what waits passes the high mark at the rate of the last minutes; None when it does not grow."""
        waiting = self.waiting_bytes()
        return self._forecast.full_in(HIGH_MARK * self.room.limit - waiting)

    def drained_in_s(self) -> float | None:
        """Return the seconds until nothing waits at the rate of the last minutes; None when it does not get less."""
        return self._forecast.drained_in()

    def again(self) -> int:
        """Return how many records are still to be sent once more."""
        with self._forwarder.hold():
            lanes = [lane for topic in self._forwarder.topics for lane in self._forwarder.lanes_of(topic).values()]
            return sum(end - start for lane in lanes for start, end in lane.again)

    def status(self) -> BufferStatus:
        """Return how much waits and what it takes."""
        return BufferStatus(
            waiting=self.waiting(),
            bytes=self.size(),
            oldest_waiting_us=self.oldest_waiting(),
            max_bytes=self.room.max_bytes,
            reserved_bytes=self.room.reserved,
            disk_bytes=self._journal.space().disk + self.room.held,
            full_in_s=self.full_in_s(),
            disk_full=self.room.disk_full,
        )

    def tend(self, now: int) -> None:
        """Prune by age, then make room if the high mark is passed, else give back to the disk what was left free."""
        with self._lock:
            self._tend(now)
            self._forecast.note(now, self.waiting_bytes())
            if not self.room.disk_full:
                known = LastBuffer(now, self.status())
                self._journal.append_many({}, meta={LAST_BUFFER: msgspec.json.encode(known).decode()})

    def _tend(self, now: int) -> None:
        self._prune(now - int(self._config.retention_days * times.DAY))
        if self.room.disk_full:
            self._prune(now)
        size = self.size()
        if size > HIGH_MARK * self.room.limit:
            self._make_room(now, LOW_MARK * self.room.limit)
        elif size < LOW_MARK * self.room.limit:
            self._give_back()
        self.room.hold_reserve()

    def _give_back(self) -> None:
        """Give free pages back to the disk, unless a backlog is about to free more or to use them."""
        with self._forwarder.hold():
            lanes = [lane for topic in self._forwarder.topics for lane in self._forwarder.lanes_of(topic).values()]
            if not self._forwarder.link_up or any(lane.backlog for lane in lanes):
                return
        space = self._journal.space()
        if space.wasteful:
            self._journal.give_back(space.slack, _GIVE_BACK_SECONDS)

    def _make_room(self, now: int, goal: float) -> None:
        self._prune(now)  # what the historian has costs nothing to drop (D-24)
        for topic, _ in self._order:
            while self.size() > goal and self._drop_copies(topic, now):
                pass
        for topic, category in self._order:
            while self.size() > goal and (self._drop_copies(topic, now) or self._drop_oldest(topic, category, now)):
                pass

    def _prune(self, before: int) -> None:
        """Delete forwarded and confirmed records older than `before`; what waits is never touched (P-67, PD-10)."""
        with self._forwarder.hold():
            for topic in self._forwarder.topics:
                for at, lane in self._forwarder.lanes_of(topic).items():
                    first, _ = self._journal.bounds(topic)[at]
                    end = self._end_of_run(at, first, lane.oldest, self._may_go(at, first, before))
                    if end > first:
                        self._journal.delete_before(at, end)

    def _may_go(self, at: TopicPartition, first: int, before: int) -> Callable[[StoredRecord], bool]:
        """Return what tells records older than `before` and confirmed. Records without readings have nothing that could be confirmed."""
        heads = _heads(self._journal.read(at, first, 1))
        reach = self._confirmed.reach(at, heads[0].lo) if heads else 0
        return lambda record: record.timestamp < before and all(head.hi <= reach for head in _heads([record]))

    def _end_of_run(self, at: TopicPartition, low: int, high: int, goes: Callable[[StoredRecord], bool]) -> int:
        """Return the first offset in [low, high) whose record does not go, or `high`: times and positions ascend with offsets."""
        while low < high:
            middle = (low + high) // 2
            records = self._journal.read(at, middle, 1)
            if records and goes(records[0]):
                low = middle + 1
            else:
                high = middle
        return low

    def _drop_copies(self, topic: str, now: int) -> bool:
        """Let the oldest forwarded records of a topic go although the historian does not confirm them; return whether there were any."""
        with self._forwarder.hold():
            lanes = self._forwarder.lanes_of(topic).items()
            records = _oldest_run(
                [one for one in self._journal.read(at, self._journal.bounds(topic)[at][0], _COPIES) if one.offset < lane.oldest]
                for at, lane in lanes
            )
            if not records:
                return False
            at = TopicPartition(topic, records[0].partition)
            notice = self._copies_notice(at, records, now)
            self._journal.delete_before(at, records[-1].offset + 1, with_appends={self._layout.overflow: [notice]})
        log.warning(
            "edge buffer is full: forwarded records went before the historian confirmed them",
            topic=topic,
            records=len(records),
            until=times.to_iso(records[-1].timestamp),
        )
        return True

    def _drop_oldest(self, topic: str, category: Category | None, now: int) -> bool:
        """Give up the oldest records of a topic that still wait; return whether there were any."""
        with self._forwarder.hold():
            lanes = self._forwarder.lanes_of(topic).items()
            records = _oldest_run(self._waiting_run(at, lane) for at, lane in lanes)
            if not records:
                return False
            at = TopicPartition(topic, records[0].partition)
            end = records[-1].offset + 1
            tallies = count(records, DROPPED, category) if category is not None else {}
            notice = self._overflow_notice(at, records, now)
            self._journal.delete_before(at, end, tallies=tallies, with_appends={self._layout.overflow: [notice]})
            # only now: if that fails, for the disk is full, they still wait, and are no copies that could go without a word. Lanes that
            # still point into the deleted range find nothing there, so they need not be in the same transaction
            self._forwarder.outbox.lane(at).give_up(end)
            self._journal.append_many({}, meta=self._forwarder.outbox.meta())
        self.dropped_records += len(records)
        log.error(
            "edge buffer is full: oldest records were given up",
            topic=topic,
            records=len(records),
            until=times.to_iso(records[-1].timestamp),
        )
        return True

    def _waiting_run(self, at: TopicPartition, lane: Lane) -> list[StoredRecord]:
        """Return the oldest records of a lane that wait, up to the first that does not."""
        while records := self._journal.read(at, lane.oldest, _CHUNK):
            run = list(takewhile(lambda one: lane.waits(one.offset), records))
            if run:
                return run
            lane.give_up(records[0].offset)  # damage took what waited before it
        return []

    def _overflow_notice(self, at: TopicPartition, records: list[StoredRecord], now: int) -> Record:
        heads = _heads(records)
        lost = {"lo": min((head.lo for head in heads), default=-1), "hi": max((head.hi for head in heads), default=-1)}
        return self._notice("BUFFER_OVERFLOW", f"{len(records)} records of {at.topic} were given up to make room", at, records, now, lost)

    def _copies_notice(self, at: TopicPartition, records: list[StoredRecord], now: int) -> Record:
        """Tell of copies let go. No `lo` and `hi`: to the ledger these readings are not given up, and missing if they never arrive."""
        text = f"{len(records)} forwarded records of {at.topic} went to make room before the historian confirmed them"
        return self._notice("BUFFER_UNCONFIRMED_DROPPED", text, at, records, now, {"confirmed": False})

    def _notice(self, kind: str, text: str, at: TopicPartition, records: list[StoredRecord], now: int, facts: dict[str, Any]) -> Record:
        event = Event(
            id=str(uuid7()),
            type=kind,
            time=now,
            gateway_time=now,
            origin=self._journal.id,
            text=text,
            attributes={
                "topic": at.topic,
                "partition": at.partition,
                "first_offset": records[0].offset,
                "last_offset": records[-1].offset,
                **facts,
                "readings": sum(head.readings for head in _heads(records)),
                "bytes_freed": sum(len(record.value) for record in records),
                "oldest_timestamp": records[0].timestamp,
                "newest_timestamp": records[-1].timestamp,
            },
        )
        return Record(encode_event(event), key=at.topic.encode())


def _heads(records: Iterable[StoredRecord]) -> list[BlockHead]:
    return [decode_head(header) for record in records if (header := record.header(HEADER)) is not None]


def _oldest_run(runs: Iterable[list[StoredRecord]]) -> list[StoredRecord]:
    """Return the run that starts earliest; an empty one when all are."""
    return min((run for run in runs if run), key=lambda run: run[0].timestamp, default=[])
