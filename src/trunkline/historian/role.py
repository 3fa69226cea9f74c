"""The historian's role: reads the clean topics, stores them, keeps the ledger, compacts and retires in the background."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from trunkline.config.rollups import RollupsConfig
from trunkline.config.site import HistorianConfig
from trunkline.historian.admission import Lane
from trunkline.historian.burial import bury, bury_broken
from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.compactor import Compactor
from trunkline.historian.confirming import Confirmer
from trunkline.historian.flush import Outcome, Refusal
from trunkline.historian.gathering import Broken, Gathering, Made
from trunkline.historian.memory import give_back
from trunkline.historian.retention import drop_old
from trunkline.historian.rollup.service import Rollups, run_rollups
from trunkline.historian.writer import Writer
from trunkline.ledger.coverage import Coverage
from trunkline.log.port import Consumer, Log, Positions, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Fenced, Misconfigured, RetryLater

_log = structlog.get_logger(__name__)

GROUP: Final = "historian"
#: A first reading after silence is stored after this long.
_LINGER: Final = 0.1
#: Values held in memory before a flush, whatever the configuration says.
_MAX_BYTES: Final = 64_000_000
_MAX_RECORDS: Final = 20_000
#: Readings that a record is thought to hold before the first has been seen.
_GUESS: Final = 100.0
_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_COMPACT_EVERY: Final = 15.0
_RETIRE_EVERY: Final = 3600.0


@dataclass(slots=True)
class HistorianStatus:
    """What the role is doing; written by the role, read by anybody.

    Attributes:
        state: starting, running, waiting (PostgreSQL is away) or stopped.
        error: why it waits.
        waiting: readings polled and not stored yet.
    """

    state: str = "starting"
    error: str | None = None
    flushes: int = 0
    stored: int = 0
    events: int = 0
    repeats: int = 0
    rejected: int = 0
    waiting: int = 0
    last_flush_us: int | None = None
    segments_merged: int = 0

    def count(self, outcome: Outcome) -> None:
        """Take in one flush."""
        self.state, self.error, self.waiting = "running", None, 0
        self.flushes += 1
        self.stored += outcome.stored
        self.events += outcome.events
        self.repeats += outcome.repeats
        self.rejected += outcome.rejected
        self.last_flush_us = times.now()


def topics_of(layout: Layout) -> list[str]:
    """Return the topics that the historian reads."""
    return [*layout.categories("clean"), layout.gateway_status, layout.overflow]


def run_historian(
    log: Log,
    layout: Layout,
    conninfo: str,
    config: HistorianConfig,
    stop: threading.Event,
    *,
    registry: Mapping[str, SeriesInfo] | None = None,
    status: HistorianStatus | None = None,
    member: str = "historian-0",
    rollups: Rollups | None = None,
) -> None:
    """Run until `stop` is set; then what was polled is stored and the role ends.

    Args:
        log: the site log.
        layout: names of topics.
        conninfo: PostgreSQL connection string of a migrated database.
        config: how long to gather, how long to keep.
        stop: set to end.
        registry: what the configuration knows of each tag.
        status: kept up to date.
        member: name in the consumer group; of two with one name the later takes over.
        rollups: how rollups are made; default: as for a site file without a word about them, and not published.

    Raises:
        Fenced: another historian took over; nothing of it was stored twice.
        Misconfigured: the database was not migrated or refuses this role.
    """
    status = status or HistorianStatus()
    rollups = rollups or Rollups(RollupsConfig(), ZoneInfo("UTC"))
    background = [
        threading.Thread(target=_maintain, args=(conninfo, config, stop, status), name="historian-maintenance", daemon=True),
        threading.Thread(target=run_rollups, args=(conninfo, rollups, stop), name="historian-rollups", daemon=True),
    ]
    joined = _join(log, layout, member, stop, status)
    if joined is None:
        status.state = "stopped"
        return
    with joined as consumer, Writer(conninfo, registry, narrow=config.rows) as writer:
        for thread in background:
            thread.start()
        try:
            kinds = {tag: info.kind for tag, info in (registry or {}).items()}
            _Loop(log, Gathering(layout, kinds), config, consumer, writer, stop, status).run()
        finally:
            stop.set()
            status.state = "stopped"
            for thread in background:
                thread.join()


def _join(log: Log, layout: Layout, member: str, stop: threading.Event, status: HistorianStatus) -> Consumer | None:
    """Return this member of the group; None when stopped before. The others deal it a share once each has stored what it has."""
    for wait in _Attempts(stop):
        try:
            return log.consumer(GROUP, topics_of(layout), member)
        except RetryLater as error:
            if status.state != "waiting":
                _log.warning("the historian waits for its share", member=member, error=str(error))
            status.state, status.error = "waiting", str(error)
            stop.wait(wait)
    return None


class _Loop:
    """Polls here, decodes and stores in a thread of its own: while one flush is under way, the next is gathered.

    At most one flush is under way, so at most two are in memory. Everything else happens in the thread that calls `run`.
    """

    def __init__(
        self,
        log: Log,
        gathering: Gathering,
        config: HistorianConfig,
        consumer: Consumer,
        writer: Writer,
        stop: threading.Event,
        status: HistorianStatus,
    ) -> None:
        self._log = log
        self._layout = layout = gathering.layout
        self._config = config
        self._consumer = consumer
        self._writer = writer
        self._stop = stop
        self._status = status
        self._owned: set[TopicPartition] = set()
        self._gathering = gathering
        self._confirmed: Mapping[Lane, Coverage] = {}
        self._confirmer = Confirmer(log, layout, lambda: self._confirmed)
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="historian-writer")
        self._under_way: tuple[Positions, Future[Outcome | None]] | None = None
        self._due = 0.0
        self._last_flush = 0.0
        self._per_record = _GUESS

    def run(self) -> None:
        """Poll and flush until stopped; what is in memory at the end is stored if PostgreSQL is there."""
        with self._hand:
            while not self._stop.is_set():
                self._take_over()
                if self._stop.is_set():
                    return
                self._gather()
                if self._under_way is not None and self._under_way[1].done():
                    self._settle()
                if self._is_due():
                    self._flush()
                self._confirmer.tend()
            self._flush()
            self._settle()

    def _take_over(self) -> None:
        """Own what the group assigns to this member; go on where the database says."""
        assigned = self._consumer.assignment()
        if assigned == self._owned:
            return
        self._settle()
        self._gathering.clear()
        for wait in self._attempts():
            try:
                identities = {topic: self._log.identity(topic) for topic in {at.topic for at in assigned}}
                self._consumer.seek(self._writer.take_over(assigned, identities))
            except RetryLater as error:
                self._wait(wait, error)
            else:
                self._owned = assigned
                self._note_coverage()
                self._status.state, self._status.error = "running", None
                return

    def _gather(self) -> None:
        until_due = self._due - time.monotonic() if self._gathering.positions else self._config.flush_seconds
        batch = self._consumer.poll(self._wanted(), max(0.0, min(until_due, 0.2)))
        if not batch:
            return
        before = self._gathering.readings
        if not self._gathering.positions:
            # quick after silence; under steady load as seldom as allowed, for longer runs
            self._due = max(time.monotonic() + _LINGER, self._last_flush + self._config.flush_seconds)
        self._gathering.add(batch)
        self._status.waiting = self._gathering.readings
        if batch.records:
            self._per_record = max(1.0, (self._gathering.readings - before) / len(batch.records))

    def _wanted(self) -> int:
        """Return how many records fill the flush, if they hold as many readings as those before.

        A record is one reading or a block of thousands: without this a poll could bring ten times what a flush should hold.
        """
        left = self._config.flush_readings - self._gathering.readings
        return max(1, min(_MAX_RECORDS, round(left / self._per_record)))

    def _is_due(self) -> bool:
        gathered = self._gathering
        full = gathered.readings >= self._config.flush_readings or gathered.bytes >= _MAX_BYTES
        return bool(gathered.positions) and (full or time.monotonic() >= self._due)

    def _flush(self) -> None:
        """Hand over what was gathered, once the flush before is stored: while PostgreSQL is away no more than that is polled."""
        if not self._gathering.positions:
            return
        self._settle()
        if self._gathering.positions:
            gathered = self._gathering.take()
            self._last_flush = time.monotonic()
            self._under_way = gathered.positions, self._hand.submit(self._store, gathered)

    def _settle(self) -> None:
        """Wait for the flush under way and take in what came of it. Raises Fenced, Misconfigured."""
        if self._under_way is None:
            return
        (positions, stored), self._under_way = self._under_way, None
        try:
            outcome = stored.result()
        except Fenced:
            if self._consumer.assignment() == self._owned:
                raise
            # the group dealt anew while it was under way: nothing of it was stored, and whoever has its partitions now reads it again
            self._gathering.clear()
            return
        if outcome is None:  # stopped while PostgreSQL was away
            self._gathering.clear()
            return
        self._status.count(outcome)
        self._status.waiting = self._gathering.readings
        self._note_coverage()
        self._tell_lag(positions)

    def _note_coverage(self) -> None:
        """Take a copy of what is stored, for telling the edges, while nobody writes."""
        self._confirmed = dict(self._writer.coverage)
        self._confirmer.changed()

    def _store(self, gathered: Gathering) -> Outcome | None:
        """Decode, bury what is broken and write until it is stored; None if the role was stopped before. Runs in the writer's thread."""
        made = gathered.flush()
        if not self._bury(made.broken):
            return None
        for wait in self._attempts():
            try:
                return self._write(made)
            except RetryLater as error:
                self._wait(wait, error)
        return None

    def _tell_lag(self, positions: Positions) -> None:
        """Commit positions to the log for those who watch the lag; the truth is in the database, so a failure costs nothing."""
        try:
            self._consumer.commit(positions)
        except RetryLater as error:
            _log.warning("positions are stored, but not shown in the log yet", error=str(error))

    def _write(self, made: Made) -> Outcome:
        while True:
            try:
                return self._writer.write(made.flush)
            except Refusal as refusal:
                _log.warning("records cannot be stored and go to the dead letters", reason=str(refusal))
                bury(self._log, self._layout, made.flush, refusal, made.blocks, made.events)
                made.flush.refuse(refusal)

    def _bury(self, broken: Sequence[Broken]) -> bool:
        """Return whether all of it lies among the dead letters."""
        for category in sorted({one.category for one in broken}):
            found = [(one.record, one.reason) for one in broken if one.category is category]
            record, reason = found[0]
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            _log.warning("records cannot be decoded and go to the dead letters", records=len(found), first=place, reason=reason)
            for wait in self._attempts():
                try:
                    bury_broken(self._log, self._layout, category, found)
                    break
                except RetryLater as error:
                    self._wait(wait, error)
            else:
                return False
        return True

    def _attempts(self) -> "_Attempts":
        return _Attempts(self._stop)

    def _wait(self, seconds: float, error: RetryLater) -> None:
        if self._status.state != "waiting":
            _log.warning("the historian waits", error=str(error))
        self._status.state, self._status.error = "waiting", str(error)
        self._stop.wait(seconds)


class _Attempts:
    """Waiting times between attempts, without end until the role is stopped; the first attempt is always made."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._made = 0

    def __iter__(self) -> "_Attempts":
        return self

    def __next__(self) -> float:
        if self._made and self._stop.is_set():
            raise StopIteration
        self._made += 1
        return _BACKOFF[min(self._made, len(_BACKOFF)) - 1]


def _maintain(conninfo: str, config: HistorianConfig, stop: threading.Event, status: HistorianStatus) -> None:
    """Compact, retire and give memory back now and then. Nothing depends on it at once, so troubles are told and tried again."""
    retired = -_RETIRE_EVERY
    with Compactor(conninfo) as compactor:
        while not stop.wait(_COMPACT_EVERY):
            try:
                if config.compact:
                    status.segments_merged += compactor.run_once(stop).before
                if config.retention_days is not None and time.monotonic() - retired >= _RETIRE_EVERY:
                    drop_old(conninfo, config.retention_days)
                    retired = time.monotonic()
            except (RetryLater, Misconfigured) as error:
                _log.warning("history is not tidied now", error=str(error))
            give_back()
