"""From the edge journal to the site log: live data first, a backlog beside it, poison aside.

Records are copied byte for byte, unless the site wants another form (`trunkline.log.codec.forms`). Progress is kept in the edge journal in
one step with the ledger's counts, and moves only after the site log acknowledged; a crash between the two sends records again, and the
site drops the repeats by their range (`BlockHead`).

Outages never use up retries (PD-4): one breaker pauses the whole link and probes, from 0.3 s up to 30 s (PD-3). Only a record that the
site log refuses for its own sake is tried on the ladder of P-63 and set aside as FAILED after ten tries; the others pass (PD-5).

On a link that is slow or has a ceiling (`trunkline.gateway.pacing`) the order is: alarms and notices, which wait for one append at most;
live data; what waited. Live data that falls behind becomes backlog, so that what is new still arrives new.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from trunkline.config.site import LinkConfig
from trunkline.gateway.copies import as_sent, count, first_of, size_of
from trunkline.gateway.deliveries import Deliveries
from trunkline.gateway.edge import FORWARDED
from trunkline.gateway.linkwatch import LinkWatch
from trunkline.gateway.outbox import LADDER, Lane, Outbox, Poison, Queue
from trunkline.gateway.pacing import Pace
from trunkline.gateway.resending import Resending
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import BACKLOG
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.log.uplink import Uplink
from trunkline.model import times
from trunkline.model.errors import Misconfigured, Rejected, RetryLater
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.gateway")

BREAKER_FIRST: Final = 0.3
BREAKER_LAST: Final = 30.0
#: Waiting longer than this makes a backlog: newer data then goes first.
BACKLOG_AGE: Final = 10 * times.SECOND
#: A lane remembers so many ranges of backlog; what falls behind beyond them waits in its turn.
_MOST_RANGES: Final = 100
_LIVE_RECORDS: Final = 500
_BACKLOG_RECORDS: Final = 100
#: Size of a record before one was seen.
_LIKELY_BYTES: Final = 2000.0
_IDLE_SECONDS: Final = 0.25


class Forwarder:
    """Forwards one edge journal in a thread of its own.

    Args:
        journal: the edge journal.
        site: opens the site log; called again after it could not be reached.
        layout: names of the topics, the same on both sides.
        clock: present time in µs.
        seed: of the jitter of pauses.
        forms: how readings and events are written to the site log; without it byte for byte as they lie in the journal.
        pace: says how much may go; by default as much as the link takes.
        uplink: meter of the site log that `site` opens, if it has one.
        ticks: a clock in seconds that only goes forward.
    """

    def __init__(
        self,
        journal: Journal,
        site: Callable[[], Log],
        layout: Layout,
        clock: Callable[[], int] = times.now,
        seed: int = 0,
        forms: Forms | None = None,
        *,
        pace: Pace | None = None,
        uplink: Uplink | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forms = forms or Forms()
        self._journal = journal
        self._open_site = site
        self._site: Log | None = None
        self._clock, self._ticks = clock, ticks
        self._jitter = random.Random(seed)  # noqa: S311 - spreads retries, no secret
        self._topics = _priority(layout)
        self._categories = layout.categories("raw")
        self._urgent = frozenset((*layout.topics(Category.ALARM, "raw"), layout.overflow))
        self._bulk = deque(layout.topics(Category.TELEMETRY, "raw"))
        self._stop = threading.Event()
        self.wake = threading.Event()
        self._lock = threading.Lock()
        self.outbox = Outbox(journal)
        again = (*layout.categories("raw"), layout.overflow)  # log lines have no identity by which the site could tell a repeat
        self._resending = Resending(journal, self.outbox, again, clock, ticks)
        self.pace = pace or Pace(LinkConfig(), ticks=ticks)
        self._uplink = uplink
        self._sizes: dict[str, float] = {}  # of the records lately taken, by topic
        self.link = LinkWatch(clock, ticks, lambda: self.pace.total)
        self.forwarded_records = 0
        self.deliveries = Deliveries()
        self._thread = threading.Thread(target=self.run, name="forwarder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step it is in; what is not forwarded waits in the journal."""
        self._stop.set()
        self.wake.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._site is not None:
            self._site.close()

    def pause(self, seconds: float) -> None:
        """Wait, unless stopped."""
        self._stop.wait(seconds)

    @property
    def link_up(self) -> bool:
        """Whether the last attempt reached the site log."""
        return self.link.error is None

    def run(self) -> None:
        """Forward until stopped."""
        pause = BREAKER_FIRST
        while not self._stop.is_set():
            try:
                moved = self.step()
            except (RetryLater, Misconfigured) as error:
                self._link_down(error)
                self._stop.wait(pause * self._jitter.uniform(0.5, 1.0))
                pause = min(pause * 2, BREAKER_LAST)
                continue
            pause = BREAKER_FIRST
            if not moved:
                self.wake.wait(_IDLE_SECONDS)
                self.wake.clear()

    def step(self) -> bool:
        """Forward one round of every lane; return whether anything moved. Raises RetryLater when the site log is away."""
        site = self._connect()
        if self._uplink is not None:
            self._uplink.serve()
        self._bulk.rotate(-1)  # where live data of one topic is more than the link takes, the next one has its turn as well
        topics = [topic for topic in self._topics if topic not in self._urgent and topic not in self._bulk] + list(self._bulk)
        moved, behind = self._alarms(site), False
        for topic in topics:
            with self._lock:
                sent, left = self._live(site, topic)
            moved, behind = moved or sent, behind or left
            if sent:
                self._alarms(site)
        with self._lock:
            if resent := self._resending.look():
                log.info("records are sent again on demand", records=resent.records)
        for topic in self._topics:
            with self._lock:
                sent = not behind and (self._late(site, topic, "backlog") or self._late(site, topic, "again"))
                sent |= self._poison(site, topic)
            moved |= sent
            if sent:
                self._alarms(site)
        return moved

    def hold(self) -> threading.Lock:
        """Return the lock under which lanes move; the buffer's keeper takes it to drop or prune."""
        return self._lock

    def lanes_of(self, topic: str) -> dict[TopicPartition, Lane]:
        """Return the lanes of one topic; hold the lock."""
        return {at: self.outbox.lane(at) for at in self._journal.bounds(topic)}

    @property
    def topics(self) -> tuple[str, ...]:
        """What is forwarded, most urgent first."""
        return self._topics

    def _connect(self) -> Log:
        if self._site is None:
            self._site = self._open_site()
        if not self.link_up:
            known = self._site.topics()
            missing = [topic for topic in self._topics if topic not in known]
            if missing:
                raise RetryLater(f"the site log has no topic {missing[0]!r} yet")
            log.info("link to the site log is up")
            self.link.up()
            with self._lock:
                self._split_backlog()
        return self._site

    def _link_down(self, error: Exception) -> None:
        if self.link.down(str(error)):
            log.warning("link to the site log is down; readings wait at the edge", error=str(error))
        if self._site is not None:
            self._site.close()
            self._site = None

    def _split_backlog(self) -> None:
        """After an outage: what waited long becomes backlog, so that live data need not queue behind it."""
        for topic in self._topics:
            for at, (_, end) in self._journal.bounds(topic).items():
                self._overtake(at, self.outbox.lane(at), end)
        self._journal.append_many({}, meta=self.outbox.meta())

    def _overtake(self, at: TopicPartition, lane: Lane, end: int) -> None:
        """Turn what comes before `end` into backlog if the oldest of it has waited long."""
        oldest = self._journal.read(at, lane.live, 1) if len(lane.backlog) < _MOST_RANGES else []
        if oldest and self._clock() - oldest[0].timestamp > BACKLOG_AGE:
            lane.split(end)

    def _alarms(self, site: Log) -> bool:
        """Send what waits for nothing else, to the last of it: alarms and notices, new and old."""
        moved, more = False, True
        while more and not self._stop.is_set():
            more = False
            for topic in self._urgent:
                with self._lock:
                    more |= self._live(site, topic)[0] | self._late(site, topic, "backlog")
            moved |= more
        return moved

    def _room(self, topic: str, *, backlog: bool) -> int:
        return self.pace.urgent_room() if topic in self._urgent else self.pace.room(backlog=backlog)

    def _live(self, site: Log, topic: str) -> tuple[bool, bool]:
        """Send what is new; return whether anything moved, and whether the link does not keep up with it."""
        lanes = [(at, self.outbox.lane(at), end) for at, (_, end) in self._journal.bounds(topic).items()]
        waiting = [(at, lane, end) for at, lane, end in lanes if lane.live < end]
        if not waiting:
            return False, False
        if room := self._room(topic, backlog=False):
            most = self._enough(topic, room / len(waiting), _LIVE_RECORDS)
            runs = [self._journal.read(at, lane.live, most) for at, lane, _ in waiting]
            taken = first_of(runs, room)
            reached = {record.partition: record.offset + 1 for record in taken}
            before = [(lane, lane.live) for _, lane, _ in waiting]
            for (at, lane, end), records in zip(waiting, runs, strict=True):
                # a gap left by quarantine or retention holds nothing that could still be sent
                lane.live = reached.get(at.partition, lane.live) if records else end
            try:
                self._send(site, topic, taken)
            except BaseException:
                for lane, live in before:
                    lane.live = live
                raise
        behind = [(at, lane, end) for at, lane, end in waiting if lane.live < end]
        for at, lane, end in behind:
            self._overtake(at, lane, end)
        return room > 0, any(lane.live < end for _, lane, end in behind)

    def _enough(self, topic: str, room: float, most: int) -> int:
        """Return how many records of a lane to read so that they fill `room` bytes, by the size that the topic's lately had."""
        return min(most, 1 + int(room / self._sizes.get(topic, _LIKELY_BYTES)))

    def _late(self, site: Log, topic: str, queue: Queue) -> bool:
        """Send of what waits behind live data; return whether anything moved."""
        waiting = [(at, lane) for at, lane in self.lanes_of(topic).items() if getattr(lane, queue)]
        room = self._room(topic, backlog=True) if waiting else 0
        if not room:
            return False
        most = self._enough(topic, room / len(waiting), _BACKLOG_RECORDS)
        before = [(lane, getattr(lane, queue)) for _, lane in waiting]
        runs = []
        for (at, _), (_, ((start, end), *_)) in zip(waiting, before, strict=True):
            runs.append([one for one in self._journal.read(at, start, most) if one.offset < end])
        taken = first_of(runs, room)
        reached = {record.partition: record.offset + 1 for record in taken}
        for (lane, ((_, end), *_)), records in zip(before, runs, strict=True):
            if not records:  # a gap
                lane.advance(queue, end)
            elif records[0].partition in reached:
                lane.advance(queue, reached[records[0].partition])
        try:
            self._send(site, topic, taken, backlog=True, again=queue == "again")
        except BaseException:
            for lane, ranges in before:
                setattr(lane, queue, ranges)
            raise
        return True

    def _poison(self, site: Log, topic: str) -> bool:
        """Try the records again whose time has come."""
        moved = False
        for at, lane in self.lanes_of(topic).items():
            for one in [one for one in lane.poison if not one.failed and one.due <= self._clock()]:
                if not self._room(topic, backlog=True):
                    return moved
                lane.poison = [other for other in lane.poison if other is not one]
                records = [record for record in self._journal.read(at, one.offset, 1) if record.offset == one.offset]
                self._send(site, topic, records, tries=one.tries, backlog=True)
                moved = True
        return moved

    def _send(
        self, site: Log, topic: str, records: Sequence[StoredRecord], tries: int = 0, *, backlog: bool = False, again: bool = False
    ) -> None:
        """Append to the site log, set aside what it refuses, and store the progress.

        Order per tag holds among live records and among those of the backlog; a header tells these, so that readers can tell as well.
        What is sent again is counted already.
        """
        accepted = list(records)
        mark = ((BACKLOG, b"1"),) if backlog else ()
        while accepted:
            written = as_sent(self._forms, self._categories.get(topic), accepted, mark)
            copies = [copy for several in written for copy in several]
            owners = [record for record, several in zip(accepted, written, strict=True) for _ in several]
            try:
                taken = sum(map(size_of, accepted))
                self._append(site, topic, copies, taken, backlog=backlog)
                self._sizes[topic] = max(1.0, taken / len(accepted))
                break
            except Rejected as refusal:
                bad = {owners[row].offset: owners[row] for row in refusal.rows} or {one.offset: one for one in accepted}
                for record in bad.values():
                    self._set_aside(record, refusal.reason, tries)
                accepted = [one for one in accepted if one not in bad.values()]
        category = self._categories.get(topic)
        tallies = count(accepted, FORWARDED, category) if category is not None else Counter[tuple[str, ...]]()
        self._journal.append_many({}, tallies=None if again else tallies, meta=self.outbox.meta())
        self.forwarded_records += len(accepted)
        self.link.forwarded(tallies.total())

    def _append(self, site: Log, topic: str, copies: Sequence[Record], taken: int, *, backlog: bool) -> None:
        began = self._ticks()
        try:
            site.append(topic, copies, atomic=False)
        except RetryLater:
            self.pace.failed()
            raise
        took = self._ticks() - began
        self.pace.acknowledged(taken, sum(map(size_of, copies)), took, backlog=backlog)
        self.deliveries.note(topic, len(copies), sum(len(record.value) for record in copies), took)

    def _set_aside(self, record: StoredRecord, reason: str, tries: int) -> None:
        lane = self.outbox.lane(TopicPartition(record.topic, record.partition))
        poison = Poison(record.offset, tries + 1, self._clock() + LADDER[min(tries, len(LADDER) - 1)], reason)
        lane.poison = [*lane.poison, poison]
        log.error(
            "the site log refuses a record; it is set aside",
            state="FAILED" if poison.failed else "PENDING",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            tries=poison.tries,
            reason=reason,
        )


def _priority(layout: Layout) -> tuple[str, ...]:
    """Alarms first, telemetry last: small urgent records never queue behind bulk."""
    return (
        *layout.topics(Category.ALARM, "raw"),
        *layout.topics(Category.EVENT, "raw"),
        layout.overflow,
        layout.platform_log,
        *layout.topics(Category.TELEMETRY, "raw"),
    )
