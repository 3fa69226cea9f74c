"""One member of a group, reading."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from trunkline.log.journal import appending, groups, reading, schema
from trunkline.log.journal.groups import Membership
from trunkline.log.journal.store import Reader, TopicPlace
from trunkline.log.port import Appends, Batch, Positions, StoredRecord, TopicPartition
from trunkline.model.errors import Fenced, RetryLater

if TYPE_CHECKING:
    from trunkline.log.journal.journal import Journal

#: One poll hands over at most about this many (compressed) bytes, however many records are asked for.
_POLL_BYTES: Final = 16 << 20
#: Steps of waiting for other processes' appends; those of this process wake a waiting poll at once.
_SHORTEST_STEP: Final = 0.002
_LONGEST_STEP: Final = 0.010
#: A member says that it is alive this many times in a session.
_BEATS: Final = 3


class JournalConsumer:
    """A `trunkline.log.port.Consumer` on a journal.

    A member is alive as long as it polls: one that does not for a whole session loses its share to the other members of its group, and
    its commits for that share are refused.
    """

    def __init__(self, journal: "Journal", places: Mapping[str, TopicPlace], member: Membership) -> None:
        self._journal = journal
        self._store = journal.store
        self._places = dict(places)
        self._member = member
        self._reader = Reader(self._store)
        self._generation = -1
        self._held: dict[TopicPartition, tuple[int, int]] = {}  # lane and generation since when
        self._next: Positions = {}
        self._ahead: dict[TopicPartition, list[StoredRecord]] = {}  # read, not yet handed over
        self._turn = 0
        self._last_beat = monotonic()
        self._fenced: Fenced | None = None
        self._closed = False
        self._store.read(self._refresh, self._reader)

    def poll(self, max_records: int = 1000, timeout: float = 1.0) -> Batch:
        """Return the next records; see the port. Raises Fenced, RetryLater."""
        self._require_open()
        deadline = monotonic() + timeout
        step = _SHORTEST_STEP
        while True:
            self._beat_when_due()
            version = self._reader.version()
            batch = self._collect(max_records)
            if batch:
                return batch
            while self._reader.version() == version:
                left = min(deadline, self._beat_due()) - monotonic()
                if left <= 0:
                    break
                with self._store.changed:
                    self._store.changed.wait(min(step, left))
                step = min(step * 1.5, _LONGEST_STEP)
            if monotonic() >= deadline:
                return self._collect(max_records)

    def commit(
        self,
        positions: Mapping[TopicPartition, int],
        *,
        with_appends: Appends | None = None,
        tallies: Mapping[tuple[str, ...], int] | None = None,
    ) -> None:
        """Store positions, append records and add to counters in one transaction.

        Raises:
            Fenced: another holder took over this member's name; nothing was stored.
            RetryLater: one of these partitions went to another member, or as `append`; nothing was stored.
            Rejected, Misconfigured: as `append`; nothing was stored.
        """
        self._require_open()
        runs = self._journal.prepare(with_appends or {})
        held = {at: self._held.get(at) for at in positions}
        if strange := [at for at, lease in held.items() if lease is None]:
            raise self._went(strange[0])

        def work(db: sqlite3.Connection) -> None:
            groups.require_current(db, self._member)
            leases = groups.leases(db, self._member)
            for at, lease in held.items():
                if lease is None or leases.get(lease[0]) != lease[1]:
                    raise self._went(at)
                db.execute(schema.SET_POSITION, (self._member.group, lease[0], positions[at]))
            appending.store_runs(db, runs, self._store.reserve, self._store.key)
            appending.add_tallies(db, tallies)

        self._guarded(lambda: self._store.write(work))

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets; partitions that this member does not hold are left out."""
        for at, offset in positions.items():
            if at in self._held:
                self._next[at] = offset
                self._ahead.pop(at, None)

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that this member reads now; it changes in `poll` only."""
        return set(self._held)

    def close(self) -> None:
        """Leave the group."""
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        if self._fenced is None:
            with suppress(RetryLater):
                self._store.write(lambda db: groups.leave(db, self._member))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._fenced is not None:
            raise Fenced(str(self._fenced))
        if self._closed:
            raise RetryLater(f"member {self._member.name!r} has left the group: join again")

    def _went(self, at: TopicPartition) -> RetryLater:
        return RetryLater(f"{at.topic}/{at.partition} went to another member of group {self._member.group!r}: nothing was stored")

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Fenced as error:
            self._fenced = error
            raise

    def _beat_due(self) -> float:
        return self._last_beat + self._member.session_us / 1_000_000 / _BEATS

    def _beat_when_due(self) -> None:
        if monotonic() < self._beat_due():
            return
        # what a power cut takes from it nobody will miss
        self._guarded(lambda: self._store.write(lambda db: groups.beat(db, self._member), durable=False))
        self._last_beat = monotonic()

    def _collect(self, max_records: int) -> Batch:
        while True:
            batch = Batch()
            damaged: list[tuple[TopicPartition, int]] = []

            def look(db: sqlite3.Connection, batch: Batch = batch, damaged: list[tuple[TopicPartition, int]] = damaged) -> None:
                self._refresh(db)
                self._fill(db, batch, damaged, max_records)

            self._guarded(lambda: self._store.read(look, self._reader))
            for at, rowid in damaged:
                self._journal.quarantine(at, rowid)
            if batch or not damaged:
                return batch

    def _refresh(self, db: sqlite3.Connection) -> None:
        """Take note of leases that changed hands; what was gained is read from the committed position on."""
        if not groups.require_current(db, self._member):
            self._last_beat = float("-inf")  # the file was mended: enter again
            self._held = {}
            return
        generation = groups.generation(db, self._member.group)
        if generation == self._generation:
            return
        lanes = groups.leases(db, self._member)
        held = {
            TopicPartition(topic, partition): (found.lane + partition, lanes[found.lane + partition])
            for topic in self._member.topics
            for found in [self._places[topic]]
            for partition in range(found.partitions)
            if found.lane + partition in lanes
        }
        for at, lease in held.items():
            if self._held.get(at) != lease:
                row = db.execute("SELECT next FROM position WHERE grp = ? AND lane = ?", (self._member.group, lease[0])).fetchone()
                self._next[at] = row[0] if row else 0
                self._ahead.pop(at, None)
        self._held, self._generation = held, generation

    def _fill(self, db: sqlite3.Connection, batch: Batch, damaged: list[tuple[TopicPartition, int]], max_records: int) -> None:
        """Hand over records of one partition after the other, beginning with another one each time."""
        lanes = list(self._held.items())
        self._turn = self._turn + 1 if self._turn + 1 < len(lanes) else 0
        size = 0
        for at, (lane, _) in chain(lanes[self._turn :], lanes[: self._turn]):
            room = max_records - len(batch.records)
            if room <= 0 or size >= _POLL_BYTES:
                return
            before = self._next[at]
            records = self._ahead.pop(at, None)
            if records is None:
                fetched = reading.fetch(db, at, lane, before, room, _POLL_BYTES - size, self._store.key)
                records = fetched.records
                size += fetched.size
                if fetched.damaged is not None:
                    damaged.append((at, fetched.damaged))
                after = fetched.next
            else:
                after = records[-1].offset + 1
            if len(records) > room:
                self._ahead[at] = records[room:]
                after = records[room].offset
                records = records[:room]
            if after != before:
                batch.records = [*batch.records, *records]
                batch.positions[at] = self._next[at] = after
