"""The writer: readings, events, ledger, coverage and log positions in one transaction, fenced by an epoch (PD-21).

Exactly once, whatever is killed when: positions and data commit together; a block seen before is dropped by the range it covers; a writer
that was replaced finds its epoch gone and stores nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import psycopg
import structlog

from trunkline.historian import rows, statements
from trunkline.historian.admission import Admission, Lane, admit
from trunkline.historian.catalogue import Catalogue, SeriesInfo
from trunkline.historian.counts import LedgerCounts, ledger_hours
from trunkline.historian.db import Connection, connect, translated
from trunkline.historian.event_rows import fault_of, store_event
from trunkline.historian.flush import Flush, Outcome, Refusal, faults_of
from trunkline.historian.gateways import store_statuses
from trunkline.historian.pgbinary import COPY_HEADER, COPY_TRAILER, register
from trunkline.historian.rows import Prepared
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec.distinct import counted
from trunkline.log.port import Positions, TopicPartition
from trunkline.model import times
from trunkline.model.errors import Fenced, NotConnected, RetryLater
from trunkline.model.reading import Category

_log = structlog.get_logger(__name__)

_DATA_ERRORS: Final = (psycopg.DataError, psycopg.IntegrityError)
Cursor = psycopg.Cursor[Any]


class Writer:
    """Stores flushes. Not thread-safe: one thread owns it.

    Args:
        conninfo: PostgreSQL connection string.
        registry: what the configuration knows of each tag, by path.
        narrow: store numeric readings as narrow rows as well.
    """

    def __init__(self, conninfo: str, registry: Mapping[str, SeriesInfo] | None = None, *, narrow: bool = False) -> None:
        self._conninfo = conninfo
        self._narrow = narrow
        self._catalogue = Catalogue(registry or {})
        self._described = False
        self._connection: Connection | None = None
        self._epochs: dict[TopicPartition, int] = {}
        self._coverage: dict[Lane, Coverage] = {}
        self._months: set[date] = set()
        self._in_doubt: Positions | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. A transaction under way is undone by the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def coverage(self) -> Mapping[Lane, Coverage]:
        """Journal positions whose records are committed, of the partitions taken over. Not to be changed."""
        return self._coverage

    def take_over(self, partitions: Collection[TopicPartition], identities: Mapping[str, str] | None = None) -> Positions:
        """Become the writer of these partitions and of no others; return where to read on.

        Whoever wrote them before is fenced from now on. Partitions written before and not among these belong to somebody else now.

        Args:
            partitions: what to take over.
            identities: of the topics in their log; a topic whose identity changed is read from its start.

        Raises:
            RetryLater: PostgreSQL is unable now; the same call may succeed later.
        """
        self._epochs.clear()
        self._coverage.clear()
        self._in_doubt = None
        connection = self._connected()
        known = identities or {}
        positions: Positions = {}
        places = sorted(partitions)
        with self._dropping_the_connection(), translated():
            with connection.transaction():
                columns = (*_columns(places), [known.get(place.topic) for place in places])
                for topic, partition, position, epoch in connection.execute(statements.TAKE_OVER, columns).fetchall():
                    place = TopicPartition(topic, partition)
                    positions[place], self._epochs[place] = position, epoch
            self._read_coverage(connection, places)
        return positions

    def write(self, flush: Flush) -> Outcome:
        """Store a flush, all or nothing, durable on return.

        Raises:
            RetryLater: PostgreSQL is away, full or out of connections; call again with the same flush.
            Fenced: another writer took one of the partitions over; nothing was stored.
            Refusal: some records can never be stored; nothing was stored, see `Refusal`.
        """
        connection = self._connected()
        if self._in_doubt == flush.positions and self._stored(connection, flush.positions):
            self._in_doubt = None
            return Outcome()
        with self._dropping_the_connection(), translated():
            admission = admit(flush, self._coverage)
            prepared = self._prepare(connection, flush, admission)
            self._in_doubt = dict(flush.positions)
            try:
                outcome = self._store(connection, prepared, admission)
            except Refusal:
                self._in_doubt = None
                raise
            except _DATA_ERRORS as error:
                connection.rollback()
                self._in_doubt = None
                raise self._isolate(connection, prepared, error) from error
        self._in_doubt = None
        self._coverage.update(admission.coverage)
        return outcome

    # -- connection ---------------------------------------------------------------------------------------------------------------

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._conninfo, name="trunkline historian")
            register(self._connection)
            with self._dropping_the_connection(), translated():
                self._resume(self._connection)
        return self._connection

    def _resume(self, connection: Connection) -> None:
        """After a break: a commit may have happened unseen, and a newer writer may have come."""
        if not self._described:
            self._catalogue.describe(connection)
            self._described = True
        for place, epoch in self._epochs.items():
            row = connection.execute(statements.READ_POSITION, place).fetchone()
            if row is None or row[1] != epoch:
                raise Fenced(f"{place.topic}/{place.partition} was taken over by another writer")
        self._read_coverage(connection, list(self._epochs))

    def _read_coverage(self, connection: Connection, places: Sequence[TopicPartition]) -> None:
        """Read anew what is covered of every partition that this writer owns."""
        self._coverage.clear()
        for origin, topic, partition, lo, hi in connection.execute(statements.READ_COVERAGE, _columns(places)).fetchall():
            self._coverage.setdefault((origin, TopicPartition(topic, partition)), Coverage()).add(lo, hi)
        connection.commit()

    def _stored(self, connection: Connection, positions: Positions) -> bool:
        """Return whether a commit whose answer was lost had happened."""
        with self._dropping_the_connection(), translated():
            found = [connection.execute(statements.READ_POSITION, place).fetchone() for place in positions]
            connection.commit()
        return all(row is not None and row[0] == position for row, position in zip(found, positions.values(), strict=True))

    def _dropping_the_connection(self) -> "_Dropping":
        return _Dropping(self)

    # -- one flush ----------------------------------------------------------------------------------------------------------------

    def _prepare(self, connection: Connection, flush: Flush, admission: Admission) -> Prepared:
        """Refuse what cannot be stored and look up every id."""
        columns = flush.columns
        refused = flush.refused_mask()
        series = self._catalogue.series(connection, columns.tags, columns.kinds.tolist())
        faults = faults_of(columns, admission.fresh & ~refused, [one.kind for one in series])
        event_faults = _event_faults(flush, admission)
        if faults or event_faults:
            raise Refusal(faults, event_faults)
        pairs = rows.feeds_of(columns)
        pairs.update((head.origin, tally.source) for head in admission.new_heads for tally in head.tallies)
        for entry in flush.events:
            pairs.add(entry.feed)
            if entry.head is not None:
                pairs.update((entry.head.origin, tally.source) for tally in entry.head.tallies)
        feeds = self._catalogue.feeds(connection, pairs)
        for origin in {lane[0] for lane in admission.coverage} | {notice.origin for notice in flush.given_up}:
            self._catalogue.origin(connection, origin)
        feed, hour = rows.feed_column(columns, feeds), ledger_hours(columns.time, columns.gateway_time)
        counts = LedgerCounts()
        for head in admission.new_heads:
            counts.add_tallies(head, Category.TELEMETRY, feeds)
        counts.add_readings("repeats", feed[~admission.fresh], hour[~admission.fresh])
        rejected = admission.fresh & refused
        counts.add_readings("rejected", feed[rejected], hour[rejected])
        ids = np.fromiter((one.id for one in series), np.int32, len(series))
        return Prepared(flush, ids, feeds, feed, hour, admission.fresh & ~refused, counts, self._narrow)

    def _store(self, connection: Connection, prepared: Prepared, admission: Admission) -> Outcome:
        flush, counts = prepared.flush, prepared.counts
        self._ensure_partitions(connection, prepared)
        with connection.transaction(), connection.cursor() as cursor:
            self._advance(cursor, flush.positions)
            _store_readings(cursor, prepared)
            counts.add_readings("stored", prepared.feed[prepared.keep], prepared.hour[prepared.keep])
            events = _store_events(cursor, prepared, admission)
            rows.write_latest(cursor, prepared)
            rows.mark_rollups(cursor, prepared)
            self._write_coverage(cursor, admission, flush)
            store_statuses(cursor, flush.statuses, counts)
            # rows shared with other writers come last, in one order for all: their locks are held for the commit alone, and none dead-locks
            cursor.execute(statements.WRITE_LEDGER, counts.parameters())
            if hours := rows.clock_hours(prepared):
                cursor.execute(statements.MARK_DIRTY, (hours,))
        return Outcome(
            stored=int(prepared.keep.sum()),
            repeats=counts.total("repeats"),
            rejected=len(flush.refused) + len(flush.refused_events),
            events=events,
        )

    def _advance(self, cursor: Cursor, positions: Positions) -> None:
        """Store the positions if this writer still owns them; the rows stay locked until the flush is decided."""
        places = list(positions)
        if not places:
            return
        epochs = [self._epochs.get(place, -1) for place in places]
        columns = ([place.topic for place in places], [place.partition for place in places], list(positions.values()), epochs)
        if cursor.execute(statements.ADVANCE, columns).rowcount != len(places):
            raise Fenced("another writer took over a partition; nothing was stored")

    def _write_coverage(self, cursor: Cursor, admission: Admission, flush: Flush) -> None:
        for (origin, place), coverage in sorted(admission.coverage.items()):
            ranges = "{" + ",".join(f"[{lo},{hi})" for lo, hi in coverage.ranges) + "}"
            cursor.execute(statements.WRITE_COVERAGE, (self._catalogue.known_origin(origin), *place, ranges))
        for notice in flush.given_up:
            cursor.execute(statements.GIVE_UP, (self._catalogue.known_origin(notice.origin), *notice.place, notice.lo, notice.hi))

    def _ensure_partitions(self, connection: Connection, prepared: Prepared) -> None:
        days, _ = counted(prepared.flush.columns.time[prepared.keep] // times.DAY)
        months = {times.to_datetime(day * times.DAY).date().replace(day=1) for day in days.tolist()}
        for month in sorted(months - self._months):
            with connection.transaction():
                connection.execute(statements.ENSURE_PARTITION, (month,))
        self._months |= months

    def _isolate(self, connection: Connection, prepared: Prepared, error: psycopg.Error) -> Exception:
        """Find the records that PostgreSQL refuses, by halving, each trial undone."""
        self._months.clear()  # perhaps only a partition is gone
        self._ensure_partitions(connection, prepared)

        def readings(places: Sequence[int]) -> None:
            mask = np.zeros(len(prepared.keep), np.bool_)
            mask[list(places)] = True
            with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                _store_readings(cursor, prepared.only(mask))

        def events(places: Sequence[int]) -> None:
            with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                for place in places:
                    entry = prepared.flush.events[place]
                    assert entry.event is not None, "only records with an event are tried"
                    store_event(cursor, entry.event, prepared.feeds[entry.feed], entry.hour)

        bad_readings = _culprits(np.flatnonzero(prepared.keep).tolist(), readings)
        entries = enumerate(prepared.flush.events)
        kept_events = [place for place, entry in entries if entry.event is not None and place not in prepared.flush.refused_events]
        bad_events = _culprits(kept_events, events)
        if bad_readings or bad_events:
            return Refusal(bad_readings, bad_events)
        return RetryLater(f"PostgreSQL refused a flush, and none of its records alone: {error}")


def _columns(places: Sequence[TopicPartition]) -> tuple[list[str], list[int]]:
    return [place.topic for place in places], [place.partition for place in places]


def _store_readings(cursor: Cursor, prepared: Prepared) -> None:
    forms = [(statements.COPY_SEGMENTS, rows.segment_rows), (statements.COPY_TEXTS, rows.text_rows)]
    if prepared.narrow:
        forms.append((statements.COPY_ROWS, rows.narrow_rows))
    for statement, rows_of in forms:
        if content := rows_of(prepared):
            with cursor.copy(statement) as copy:
                copy.write(COPY_HEADER + content + COPY_TRAILER)


def _event_faults(flush: Flush, admission: Admission) -> dict[int, str]:
    """Return events that PostgreSQL could never store, with the reason."""
    faults: dict[int, str] = {}
    for place, (entry, new) in enumerate(zip(flush.events, admission.new_events, strict=True)):
        if entry.event is not None and new and place not in flush.refused_events and (reason := fault_of(entry.event)):
            faults[place] = reason
    return faults


def _store_events(cursor: Cursor, prepared: Prepared, admission: Admission) -> int:
    """Store the events that are new and count every record; return how many were stored."""
    flush, stored = prepared.flush, 0
    clashes: dict[int, str] = {}
    for place, (entry, new) in enumerate(zip(flush.events, admission.new_events, strict=True)):
        feed = prepared.feeds[entry.feed]
        if not new:
            count = "repeats"
        elif entry.event is None:
            if entry.head is not None:
                prepared.counts.add_tallies(entry.head, entry.category, prepared.feeds)
            continue
        elif place in flush.refused_events:
            count = "rejected"
        else:
            clash = store_event(cursor, entry.event, feed, entry.hour)
            if clash:
                clashes[place] = clash
            count = "stored" if clash is None else "repeats"
            stored += clash is None
        if entry.head is not None:
            prepared.counts.add(count, feed, entry.category, entry.hour)
    if clashes:
        raise Refusal({}, clashes)
    return stored


def _culprits(places: Sequence[int], attempt: Callable[[Sequence[int]], None]) -> dict[int, str]:
    """Return the places that `attempt` refuses even alone, with the database's words."""
    if not places:
        return {}
    try:
        attempt(places)
    except _DATA_ERRORS as error:
        if len(places) == 1:
            return {places[0]: f"PostgreSQL refuses it: {str(error).strip()}"}
        middle = len(places) // 2
        return {**_culprits(places[:middle], attempt), **_culprits(places[middle:], attempt)}
    return {}


class _Dropping:
    """Closes the writer's connection when a block ends because of it, so that the next call starts afresh and looks what was stored."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, RetryLater | NotConnected | Fenced):
            self._writer.close()
