"""From the edge journal to the site log: live data first, a backlog beside it, poison aside.

Records are copied byte for byte, unless the site wants another form (`trunkline.log.codec.forms`). Progress is kept in the edge journal in
one step with the ledger's counts, and moves only after the site log acknowledged; a crash between the two sends records again, and the
site drops the repeats by their range (`BlockHead`).

Outages never use up retries (PD-4): one breaker pauses the whole link and probes, from 0.3 s up to 30 s (PD-3). Only a record that the
site log refuses for its own sake is tried on the ladder of P-63 and set aside as FAILED after ten tries; the others pass (PD-5).
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from trunkline.gateway.deliveries import Deliveries
from trunkline.gateway.edge import FORWARDED, tally_key
from trunkline.gateway.outbox import LADDER, Lane, Outbox, Poison
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import BACKLOG, HEADER, decode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Misconfigured, Rejected, RetryLater
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.gateway")

BREAKER_FIRST: Final = 0.3
BREAKER_LAST: Final = 30.0
#: Waiting longer than this makes a backlog: newer data then goes first.
BACKLOG_AGE: Final = 10 * times.SECOND
_LIVE_RECORDS: Final = 500
_BACKLOG_RECORDS: Final = 100
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
    """

    def __init__(
        self,
        journal: Journal,
        site: Callable[[], Log],
        layout: Layout,
        clock: Callable[[], int] = times.now,
        seed: int = 0,
        forms: Forms | None = None,
    ) -> None:
        self._forms = forms or Forms()
        self._journal = journal
        self._open_site = site
        self._site: Log | None = None
        self._clock = clock
        self._jitter = random.Random(seed)  # noqa: S311 - spreads retries, no secret
        self._topics = _priority(layout)
        self._categories = layout.categories("raw")
        self._stop = threading.Event()
        self.wake = threading.Event()
        self._lock = threading.Lock()
        self.outbox = Outbox(journal)
        self.link_since = clock()
        self.link_error: str | None = "not tried yet"
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
        return self.link_error is None

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
        moved = False
        for topic in self._topics:
            ends = {at: end for at, (_, end) in self._journal.bounds(topic).items()}
            with self._lock:
                moved |= self._live(site, topic, ends)
        for topic in self._topics:
            with self._lock:
                moved |= self._backlog(site, topic)
                moved |= self._poison(site, topic)
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
        known = self._site.topics() if self.link_error is not None else {}
        if self.link_error is not None:
            missing = [topic for topic in self._topics if topic not in known]
            if missing:
                raise RetryLater(f"the site log has no topic {missing[0]!r} yet")
            log.info("link to the site log is up")
            self.link_error, self.link_since = None, self._clock()
            with self._lock:
                self._split_backlog()
        return self._site

    def _link_down(self, error: Exception) -> None:
        if self.link_error is None or self.link_error == "not tried yet":
            log.warning("link to the site log is down; readings wait at the edge", error=str(error))
            self.link_since = self._clock()
        self.link_error = str(error)
        if self._site is not None:
            self._site.close()
            self._site = None

    def _split_backlog(self) -> None:
        """After an outage: what waited long becomes backlog, so that live data need not queue behind it."""
        for topic in self._topics:
            for at, (_, end) in self._journal.bounds(topic).items():
                lane = self.outbox.lane(at)
                oldest = self._journal.read(at, lane.live, 1)
                if oldest and self._clock() - oldest[0].timestamp > BACKLOG_AGE:
                    lane.split(end)
        self._journal.append_many({}, meta=self.outbox.meta())

    def _live(self, site: Log, topic: str, ends: dict[TopicPartition, int]) -> bool:
        taken: list[StoredRecord] = []
        before: list[tuple[Lane, int]] = []
        for at, end in ends.items():
            lane = self.outbox.lane(at)
            if lane.live < end:
                records = self._journal.read(at, lane.live, _LIVE_RECORDS)
                taken += records
                before.append((lane, lane.live))
                # a gap left by quarantine or retention holds nothing that could still be sent
                lane.live = records[-1].offset + 1 if records else end
        if not before:
            return False
        try:
            self._send(site, topic, taken)
        except BaseException:
            for lane, live in before:
                lane.live = live
            raise
        return True

    def _backlog(self, site: Log, topic: str) -> bool:
        taken: list[StoredRecord] = []
        reached: list[tuple[Lane, int]] = []
        for at, lane in self.lanes_of(topic).items():
            if not lane.backlog:
                continue
            start, end = lane.backlog[0]
            records = [one for one in self._journal.read(at, start, _BACKLOG_RECORDS) if one.offset < end]
            taken += records
            reached.append((lane, records[-1].offset + 1 if records else end))
        if not reached:
            return False
        before = [(lane, lane.backlog) for lane, _ in reached]
        for lane, offset in reached:
            lane.advance_backlog(offset)
        try:
            self._send(site, topic, taken, backlog=True)
        except BaseException:
            for lane, backlog in before:
                lane.backlog = backlog
            raise
        return True

    def _poison(self, site: Log, topic: str) -> bool:
        """Try the records again whose time has come."""
        moved = False
        for at, lane in self.lanes_of(topic).items():
            for one in [one for one in lane.poison if not one.failed and one.due <= self._clock()]:
                lane.poison = [other for other in lane.poison if other is not one]
                records = [record for record in self._journal.read(at, one.offset, 1) if record.offset == one.offset]
                self._send(site, topic, records, tries=one.tries, backlog=True)
                moved = True
        return moved

    def _send(self, site: Log, topic: str, records: Sequence[StoredRecord], tries: int = 0, *, backlog: bool = False) -> None:
        """Append to the site log, set aside what it refuses, and store the progress.

        Order per tag holds among live records and among those of the backlog; a header tells these, so that readers can tell as well.
        """
        accepted = list(records)
        mark = ((BACKLOG, b"1"),) if backlog else ()
        while accepted:
            written = as_sent(self._forms, self._categories.get(topic), accepted, mark)
            copies = [copy for several in written for copy in several]
            owners = [record for record, several in zip(accepted, written, strict=True) for _ in several]
            began = time.perf_counter()
            try:
                site.append(topic, copies, atomic=False)
                self.deliveries.note(topic, len(copies), sum(len(record.value) for record in copies), time.perf_counter() - began)
                break
            except Rejected as refusal:
                bad = {owners[row].offset: owners[row] for row in refusal.rows} or {one.offset: one for one in accepted}
                for record in bad.values():
                    self._set_aside(record, refusal.reason, tries)
                accepted = [one for one in accepted if one not in bad.values()]
        tallies: Counter[tuple[str, ...]] = Counter()
        category = self._categories.get(topic)
        if category is not None:
            tallies = count(accepted, FORWARDED, category)
        self._journal.append_many({}, tallies=tallies, meta=self.outbox.meta())
        self.forwarded_records += len(accepted)

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


def count(records: Sequence[StoredRecord], what: str, category: Category) -> Counter[tuple[str, ...]]:
    """Return the ledger counts of edge records, from their headers."""
    tallies: Counter[tuple[str, ...]] = Counter()
    for record in records:
        header = record.header(HEADER)
        if header is not None:
            for tally in decode_head(header).tallies:
                tallies[tally_key(what, tally.source, category, tally.hour)] += tally.readings
    return tallies


def as_sent(
    forms: Forms, category: Category | None, records: Sequence[StoredRecord], mark: tuple[tuple[str, bytes], ...] = ()
) -> list[list[Record]]:
    """Return for each edge record what is sent to the site log for it.

    Args:
        forms: how the site writes.
        category: class of the records' topic; None for notices and log lines.
        records: of one topic.
        mark: headers to add.
    """
    marked = [record._replace(headers=(*record.headers, *mark)) for record in records] if mark else records
    if category is Category.TELEMETRY:
        return forms.telemetry(marked)
    return [[_copy(record, forms.event(record.value) if category is not None else record.value)] for record in marked]


def _copy(record: StoredRecord, value: bytes) -> Record:
    return Record(value, record.key, record.headers, record.timestamp, record.partition)


def _priority(layout: Layout) -> tuple[str, ...]:
    """Alarms first, telemetry last: small urgent records never queue behind bulk."""
    return (
        *layout.topics(Category.ALARM, "raw"),
        *layout.topics(Category.EVENT, "raw"),
        layout.overflow,
        layout.platform_log,
        *layout.topics(Category.TELEMETRY, "raw"),
    )
