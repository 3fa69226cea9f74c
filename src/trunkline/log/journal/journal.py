"""The journal: a log in one SQLite file."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

import structlog

from trunkline.log.journal import appending, groups, reading, retention, schema, space
from trunkline.log.journal.appending import Run
from trunkline.log.journal.consumer import JournalConsumer
from trunkline.log.journal.reading import Quarantined
from trunkline.log.journal.retention import DeletedRange
from trunkline.log.journal.salvage import beside
from trunkline.log.journal.sealing import Key, is_sealed_text
from trunkline.log.journal.space import Space
from trunkline.log.journal.store import Store, TopicPlace, topic_places
from trunkline.log.port import Appends, Positions, Record, StoredRecord, Topic, TopicPartition
from trunkline.model import times
from trunkline.model.errors import CorruptData, Misconfigured

_log = structlog.get_logger("trunkline.log")

MAX_RECORD_BYTES: Final = 8 << 20
SESSION_SECONDS: Final = 3.0
_READ_BYTES: Final = 64 << 20
#: A file of an earlier release is written anew when it holds no more.
_REWRITE_BYTES: Final = 16 << 20


class Journal:
    """A `trunkline.log.port.Log` in one file, for many threads and processes.

    Beside the port it does what an edge needs: several topics in one transaction with persistent counters and facts (`append_many`,
    `tallies`, `meta`), deleting with an account of what went (`delete_before`), sizes, retention, and a list of what was lost to
    damage (`quarantined`). Damage never raises: it is mended, counted and passed over. A connection must not be carried over a fork:
    open the journal in the process that uses it.

    Attributes:
        path: the file; `-wal`, `-shm`, `.lock` and `.marks` lie beside it and belong to it.
        store: its connections; for the journal's own modules.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_record_bytes: int = MAX_RECORD_BYTES,
        session_seconds: float = SESSION_SECONDS,
        key: Key | None = None,
    ) -> None:
        """Open the journal, creating or mending it where needed.

        Args:
            path: the file.
            max_record_bytes: larger records (value, key and headers together) are rejected.
            session_seconds: silence after which a group's other members take over a member's share.
            key: seals every record from now on; what was there before stays readable. A journal that was ever opened with a key needs it.

        Raises:
            WrongKey: it is sealed, and this is not its key; nothing was touched.
            Misconfigured: the file is something else, or of a newer release.
            RetryLater: it cannot be opened now.
        """
        self.path = path
        self.store = Store(path, key)
        self._max_record_bytes = max_record_bytes
        self._session_us = round(session_seconds * times.SECOND)
        self._turns = count()
        self._places: dict[str, TopicPlace] = self.store.read(topic_places)

    @property
    def id(self) -> str:
        """The journal's identity for life: UUIDv7 as text."""
        return self.store.marks.id

    @property
    def sealed(self) -> bool:
        """Whether records are sealed as they are written."""
        return self.store.key is not None

    def rekey(self, key: Key) -> None:
        """Let another key open the journal from now on; its records stay as they are. Journal only.

        Raises:
            Misconfigured: the journal is not sealed.
            RetryLater: it cannot be done, or not completed, now.
        """
        self.store.rewrap(key)

    # ------------------------------------------------------------------ topics

    def identity(self, topic: str) -> str:
        """Return the journal's id: its topics are never made anew; see the port."""
        self._place(topic)
        return self.id

    def create(self, topics: Iterable[Topic]) -> None:
        """Create what is missing and take over new retention. Raises Misconfigured if a partition count differs (PD-18)."""
        wanted = list(topics)

        def work(db: sqlite3.Connection) -> dict[str, TopicPlace]:
            known = topic_places(db)
            (free,) = db.execute("SELECT COALESCE(MAX(lane + partitions), 1) FROM topic").fetchone()
            fresh = False
            for topic in wanted:
                place = known.get(topic.name)
                if place is None:
                    place = known[topic.name] = TopicPlace(topic.name, free, topic.partitions)
                    free = _room_for(topic, free)
                    fresh = True
                    db.executemany(schema.INSERT_LANE, [(place.lane + partition, 0, 0, 0) for partition in range(topic.partitions)])
                elif place.partitions != topic.partitions:
                    raise Misconfigured(
                        f"topic {topic.name!r} has {place.partitions} partitions and cannot have {topic.partitions}: keys would move and "
                        f"lose their order; set it back, or drain the topic and create one under a new name"
                    )
                db.execute(schema.SET_TOPIC, (place.lane, topic.name, topic.partitions, topic.retention_us, topic.retention_bytes))
            if fresh:
                self.store.remember_topics({name: (place.lane, place.partitions) for name, place in known.items()})
            return known

        self._places = self.store.write(work)

    def topics(self) -> dict[str, Topic]:
        """Return every topic by name."""
        rows = self.store.read(lambda db: db.execute("SELECT name, partitions, retention_us, retention_bytes FROM topic").fetchall())
        return {row[0]: Topic(*row) for row in rows}

    def _place(self, topic: str) -> TopicPlace:
        return self._known((topic,))[topic]

    def _known(self, topics: Iterable[str]) -> Mapping[str, TopicPlace]:
        """Return where topics lie, looking again for those that another process may have created. Raises Misconfigured."""
        wanted = set(topics)
        if not wanted <= self._places.keys():
            self._places = self.store.read(topic_places)
        if missing := sorted(wanted - self._places.keys()):
            names = ", ".join(sorted(self._places)) or "none yet"
            raise Misconfigured(f"journal {self.path} has no topic {missing[0]!r}: create it first, or use one of: {names}")
        return self._places

    def _lane(self, at: TopicPartition) -> int:
        place = self._place(at.topic)
        if not 0 <= at.partition < place.partitions:
            raise Misconfigured(f"topic {at.topic!r} has no partition {at.partition}: it has {place.partitions}, counted from 0")
        return place.lane + at.partition

    # ------------------------------------------------------------------ appending

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:  # noqa: ARG002 - it always is
        """Append durably, all or none; see the port."""
        return self.append_many({topic: records})

    def append_many(
        self,
        appends: Appends,
        *,
        tallies: Mapping[tuple[str, ...], int] | None = None,
        meta: Mapping[str, str] | None = None,
        private: Mapping[str, str] | None = None,
        within: int | None = None,
    ) -> Positions:
        """Append to several topics, add to counters and set facts, in one durable transaction. Journal only.

        Args:
            appends: records by topic.
            tallies: what to add to each counter; see `tallies`.
            meta: facts to set; see `meta`. Names must not start with 'journal.'.
            private: facts whose values are sealed where the journal is.
            within: bytes of the file that may be in use afterwards.

        Returns:
            The next offset of each partition touched.

        Raises:
            NoRoom: more than `within` would be in use; nothing was written.
            Misconfigured, RetryLater, Rejected: as `append`; nothing was written.
        """
        runs = self.prepare(appends)
        facts, hidden = meta or {}, private or {}
        if reserved := [name for name in (*facts, *hidden) if name.startswith(schema.RESERVED)]:
            raise ValueError(f"the fact {reserved[0]!r} belongs to the journal itself: use another name")
        if not (runs or tallies or facts or hidden):
            return {}

        def work(db: sqlite3.Connection) -> Positions:
            key = self.store.key
            positions = appending.store_runs(db, runs, self.store.reserve, key)
            appending.add_tallies(db, tallies)
            sealed = {name: key.seal_text(value, name) for name, value in hidden.items()} if key else hidden
            appending.set_facts(db, {**facts, **sealed})
            if within is not None:
                space.require_within(db, within)
            return positions

        return self.store.write(work)

    def prepare(self, appends: Appends) -> list[Run]:
        """Pack records for a transaction; for the journal's own modules. Raises Misconfigured, Rejected."""
        places = self._known(appends)
        return appending.prepare(places, appends, times.now(), self._max_record_bytes, self._turns.__next__)

    # ------------------------------------------------------------------ reading

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        member: str,
        *,
        appends: Sequence[str] = (),  # noqa: ARG002 - one file holds positions and records: nothing to prepare
    ) -> JournalConsumer:
        """Join a group; see the port. Raises Misconfigured, RetryLater."""
        if not topics:
            raise Misconfigured(f"member {member!r} of group {group!r} must read at least one topic")
        places = dict(self._known(topics))
        joined = self.store.write(lambda db: groups.join(db, group, member, topics, self._session_us))
        return JournalConsumer(self, places, joined)

    def read(self, at: TopicPartition, offset: int, max_records: int = 1000) -> list[StoredRecord]:
        """Read without a group; see the port."""
        lane = self._lane(at)
        while True:
            fetched = self.store.read(lambda db: reading.fetch(db, at, lane, offset, max_records, _READ_BYTES, self.store.key))
            if fetched.damaged is not None:
                self.quarantine(at, fetched.damaged)
            if fetched.records or fetched.damaged is None:
                return fetched.records[:max_records]

    def last(self, at: TopicPartition) -> StoredRecord | None:
        """Return the newest record of a partition, None when it is empty. Journal only."""
        lane = self._lane(at)
        while True:
            record, damaged = self.store.read(lambda db: reading.last(db, at, lane, self.store.key))
            if damaged is None:
                return record
            self.quarantine(at, damaged)

    def bounds(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (first kept offset, next offset to be written) of each partition."""
        place = self._place(topic)
        rows = self.store.read(
            lambda db: db.execute(
                "SELECT lane, first, next FROM lane WHERE lane >= ? AND lane < ?", (place.lane, place.lane + place.partitions)
            ).fetchall()
        )
        return {TopicPartition(topic, lane - place.lane): (first, following) for lane, first, following in rows}

    def committed(self, group: str) -> Positions:
        """Return a group's stored positions."""
        rows = self.store.read(
            lambda db: db.execute(
                """SELECT topic.name, position.lane - topic.lane, position.next
                   FROM position JOIN topic ON position.lane >= topic.lane AND position.lane < topic.lane + topic.partitions
                   WHERE grp = ?""",
                (group,),
            ).fetchall()
        )
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    def groups(self) -> list[str]:
        """Return every group that has committed something. Journal only."""
        return [group for (group,) in self.store.read(lambda db: db.execute("SELECT DISTINCT grp FROM position ORDER BY grp").fetchall())]

    # ------------------------------------------------------------------ counters and facts

    def tallies(self, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
        """Return the counters whose key starts with `prefix`. Journal only."""
        low = "".join(part + appending.TALLY_SEPARATOR for part in prefix)
        rows = self.store.read(
            lambda db: db.execute(
                "SELECT name, value FROM tally WHERE name >= ? AND SUBSTR(name, 1, ?) = ?", (low, len(low), low)
            ).fetchall()
        )
        return {tuple(name.split(appending.TALLY_SEPARATOR)[:-1]): value for name, value in rows}

    def meta(self, key: str) -> str | None:
        """Return a fact set by `append_many`, None when there is none or, of a private one, its seal does not open. Journal only."""
        value = self.store.read(lambda db: schema.fact(db, key))
        if value is None or self.store.key is None or not is_sealed_text(value):
            return value
        try:
            return self.store.key.open_text(value, key)
        except CorruptData as error:
            _log.error("a fact of the journal fails its authentication: it is passed over", path=str(self.path), fact=key, error=str(error))
            return None

    # ------------------------------------------------------------------ space

    def size(self, topic: str) -> int:
        """Return the bytes a topic's records take in the file. Journal only."""
        place = self._place(topic)
        return self.store.read(lambda db: retention.size(db, place))

    def space(self) -> Space:
        """Return what the journal takes on its disk. Journal only."""
        wal = beside(self.path, "-wal")
        return self.store.read(lambda db: space.measure(db, wal))

    def give_back(self, keep: int, seconds: float) -> None:
        """Give free pages back to the disk, in steps between which others write. Journal only.

        A file of an earlier release cannot do that. It is written anew once what it holds can be written in a moment.

        Args:
            keep: bytes of free pages to leave for what comes next.
            seconds: to begin no further step after.
        """
        if not self.store.read(schema.shrinks):
            if self.space().used > _REWRITE_BYTES:
                return
            self.store.rewrite()
        deadline = monotonic() + seconds
        while self.store.write(lambda db: space.give_back(db, keep)) and monotonic() < deadline:
            pass
        self.store.checkpoint()  # only then the file itself gets shorter

    def delete_before(
        self,
        at: TopicPartition,
        offset: int,
        *,
        tallies: Mapping[tuple[str, ...], int] | None = None,
        with_appends: Appends | None = None,
    ) -> DeletedRange:
        """Delete every record of a partition below `offset`, add to counters and append records, in one transaction. Journal only."""
        lane = self._lane(at)
        runs = self.prepare(with_appends or {})

        def work(db: sqlite3.Connection) -> DeletedRange:
            deleted = retention.delete_before(db, at, lane, offset, self.store.key)
            appending.store_runs(db, runs, self.store.reserve, self.store.key)
            appending.add_tallies(db, tallies)
            return deleted

        return self.store.write(work)

    def enforce_retention(self, now: int, keep: Mapping[TopicPartition, int] | None = None) -> dict[TopicPartition, DeletedRange]:
        """Delete what is older than the topics' retention, or beyond their bytes, batch by batch from the old end. Journal only.

        Args:
            now: the present time, µs UTC.
            keep: per partition, an offset at and above which nothing is deleted whatever its age.

        Returns:
            What was deleted from each partition touched.
        """
        total: dict[TopicPartition, DeletedRange] = {}
        for place in self.store.read(topic_places).values():
            more = True
            while more:
                deleted, more = self.store.write(partial(retention.expire, topic=place, now=now, keep=keep or {}, key=self.store.key))
                for at, went in deleted.items():
                    total[at] = total.get(at, DeletedRange()) + went
        return total

    def quarantined(self) -> list[Quarantined]:
        """Return every range of offsets that damage took, oldest finding first. Journal only."""
        return self.store.read(reading.quarantined)

    def quarantine(self, at: TopicPartition, rowid: int) -> None:
        """Move a batch that failed its check out of the way; for the journal's own modules."""
        self.store.write(lambda db: reading.quarantine(db, at, rowid, self.store.key))

    def close(self) -> None:
        """Release everything."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _room_for(topic: Topic, lane: int) -> int:
    """Return the lane after a new topic's last one. Raises Misconfigured."""
    if topic.partitions < 1:
        raise Misconfigured(f"topic {topic.name!r} must have at least one partition")
    if lane + topic.partitions > schema.MAX_LANES:
        raise Misconfigured(f"topic {topic.name!r} with {topic.partitions} partitions does not fit: {schema.MAX_LANES} are possible in all")
    return lane + topic.partitions
