"""The edge journal's only writer: gathers what sources read into durable writes, and says when they may acknowledge.

Group commit: all that waits is written in one transaction, at most `linger` after the first of it came. Memory is bounded: `submit`
waits while more than `limit` readings are under way, which slows the sources down instead of filling the gateway.

When there is no room for a group, its alarms go alone into the part that is reserved for them (PD-10), and so do those that come while the
rest waits.
"""

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from trunkline.config.site import BufferConfig
from trunkline.gateway.conditioning import Conditioned
from trunkline.gateway.reduction import FURTHEST, REDUCED, Furthest, Reduction, further, reduced_key, stored_furthest
from trunkline.gateway.room import Room
from trunkline.ledger.status import EdgeCount
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, decode_head, encode_head
from trunkline.log.codec.writer import Rows, ledger_hour, rows_of, write_rows
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
from trunkline.log.topics import Layout
from trunkline.model.errors import DiskFull, NoRoom, RetryLater
from trunkline.model.events import Alarm, Event
from trunkline.model.reading import Category

log = structlog.get_logger("trunkline.gateway")

READ: Final = "read"
FORWARDED: Final = "forwarded"
DROPPED: Final = "dropped"

_META: Final = "edge.sequence"
_CHECKPOINT: Final = "edge.checkpoint."
#: Characters of text in one block; with four bytes each still well below the largest record.
_TEXT_CHARACTERS: Final = 1_000_000
#: Counts of readings that were kept back wait so long for something else to be written.
_COUNTS_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class _Sequence(msgspec.Struct):
    """Where numbering stands.

    Attributes:
        next: position of the next reading.
        covered: per lane (`Layout.lane_of`), where the last block ended (`BlockHead.lo` of the next one).
        events: per class of events and partition, number of the next one.
    """

    next: int = 0
    covered: dict[int, int] = {}
    events: dict[str, int] = {}


@dataclass(slots=True)
class _Waiting:
    readings: Sequence[Conditioned] | Rows
    events: Sequence[Event]
    checkpoint: tuple[str, str] | None
    reduced: tuple[str, Reduction] | None
    done: "asyncio.Future[None]"

    @property
    def left(self) -> bool:
        """Whether there is something still to be written."""
        return bool(self.events or len(self.readings) or self.checkpoint is not None)


def tally_key(what: str, source: str, category: Category, hour: int) -> tuple[str, ...]:
    """Return the journal's counter for a ledger cell."""
    return (what, source, category.name.lower(), str(hour))


def edge_counts(tallies: Mapping[tuple[str, ...], int]) -> list[EdgeCount]:
    """Return the ledger rows of a journal's counters."""
    cells: dict[tuple[str, str, int], Counter[str]] = {}
    for (what, source, category, hour), count in tallies.items():
        # what was kept back is telemetry; in the place of the class is the reason
        of = Category.TELEMETRY.name.lower() if what == REDUCED else category
        cells.setdefault((source, of, int(hour)), Counter())[what] += count
    return [
        EdgeCount(source, category, hour, cell[READ], cell[FORWARDED], cell[DROPPED], cell[REDUCED])
        for (source, category, hour), cell in sorted(cells.items())
    ]


class EdgeWriter:
    """Writes readings and events to the edge journal in a thread of its own.

    Args:
        journal: the edge journal.
        layout: names of its topics, the same as at the site.
        config: linger and batch size.
        wrote: set after each durable write.
        limit: most readings under way before `submit` waits.
        room: the bounds in bytes, shared with the buffer's keeper; made of `config` if not given.
    """

    def __init__(
        self,
        journal: Journal,
        layout: Layout,
        config: BufferConfig,
        *,
        wrote: threading.Event,
        limit: int = 50_000,
        room: Room | None = None,
    ) -> None:
        self._journal = journal
        self._layout = layout
        self._linger = config.linger_ms / 1000
        self._batch = config.batch_readings
        self._limit = limit
        self._bounds = room or Room(journal, layout, config)
        self._wrote = wrote
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._behind: deque[_Waiting] = deque()  # taken from the queue while the group before them could not be written
        self._reduced: queue.SimpleQueue[tuple[str, Reduction]] = queue.SimpleQueue()  # of batches of which nothing was kept
        self._counted: list[tuple[str, Reduction]] = []  # taken from there, not durable yet
        self._furthest = stored_furthest(journal.meta(FURTHEST))
        self._under_way = 0
        self._room = asyncio.Event()
        self._stopping = threading.Event()
        self._ended = False
        self._given_up: str | None = None
        self._closed = False
        stored = journal.meta(_META)
        self._sequence = msgspec.json.decode(stored, type=_Sequence) if stored else _Sequence()
        self._entered = self._sequence.next
        self._thread = threading.Thread(target=self._run, name="edge-writer", daemon=True)
        self.error: str | None = None
        self.read_total = 0

    @property
    def ahead(self) -> int:
        """Readings that one source may have under way: a group that is being written, and one that gathers."""
        return 2 * self._batch

    @property
    def next_position(self) -> int:
        """Position that the next reading to enter will get: those under way have theirs, for they are written in this order."""
        return self._entered

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def checkpoint(self, source: str) -> str | None:
        """Return the last checkpoint of a source that is durable, None before the first. Raises RetryLater."""
        return self._journal.meta(_CHECKPOINT + source)

    async def submit(
        self,
        readings: Sequence[Conditioned] | Rows,
        events: Sequence[Event] = (),
        *,
        checkpoint: tuple[str, str] | None = None,
        reduced: tuple[str, Reduction] | None = None,
    ) -> None:
        """Return once all of it is durable; see `enter`. Waits as long as it takes: the disk may be full for hours."""
        await (await self.enter(readings, events, checkpoint=checkpoint, reduced=reduced))

    async def enter(
        self,
        readings: Sequence[Conditioned] | Rows,
        events: Sequence[Event] = (),
        *,
        checkpoint: tuple[str, str] | None = None,
        reduced: tuple[str, Reduction] | None = None,
    ) -> "asyncio.Future[None]":
        """Line up what is to be written, once there is room, and return what is done when all of it is durable.

        What one task enters is written in that order. If something is refused, with RetryLater, so is everything that came after it.

        Args:
            readings: as the conditioner made them.
            events: of the source or of the gateway.
            checkpoint: a source's id and where it stands (`ReadBatch.checkpoint`): durable if, and only if, the readings are.
            reduced: a source's id and what its deadbands kept back of the same batch: counted if, and only if, the readings are durable.
                Alone it is not waited for: it is counted with whatever is written next, or some seconds later.
        """
        done = asyncio.get_running_loop().create_future()
        weight = len(readings) + len(events)
        if not weight and checkpoint is None:
            if reduced is not None:
                self._reduced.put(reduced)
            done.set_result(None)
            return done
        if len(readings) or not all(map(_is_urgent, events)):
            while self._under_way >= self._limit:
                self._room.clear()
                await self._room.wait()
        self._under_way += weight
        self._entered += len(readings)
        done.add_done_callback(lambda _: self._leave(weight))
        self._queue.put(_Waiting(readings, events, checkpoint, reduced, done))
        if self._closed:
            self._refuse_rest()
        return done

    def _leave(self, weight: int) -> None:
        self._under_way -= weight
        self._room.set()

    def stop(self) -> None:
        """Write what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def abandon(self) -> None:
        """End the thread without writing what cannot be written (a full disk at shutdown); its sources were not acknowledged."""
        self._stopping.set()
        self.stop()

    def _run(self) -> None:
        while True:
            try:
                first = self._next(_COUNTS_SECONDS)
            except queue.Empty:
                if not self._reduced.empty():
                    self._write([])
                continue
            if first is None:
                break
            self._write(self._gather(first))
        if not self._reduced.empty() and not self._stopping.is_set():
            self._write([])
        self._closed = True
        self._refuse_rest()

    def _refuse_rest(self) -> None:
        """Tell those who came after the end."""
        with contextlib.suppress(queue.Empty):
            while True:
                if (waiting := self._queue.get_nowait()) is not None:
                    _settle([waiting], RetryLater("the gateway is stopping"))

    def _next(self, timeout: float | None = None) -> _Waiting | None:
        """Return what comes next, None at the end. Raises queue.Empty when nothing comes in time."""
        if self._behind:
            return self._behind.popleft()
        if self._ended:
            return None
        item = self._queue.get(timeout=timeout)
        self._ended = item is None
        return item

    def _gather(self, first: _Waiting) -> list[_Waiting]:
        """Return what came within the linger."""
        group = [first]
        gathered = len(first.readings)
        deadline = time.monotonic() + self._linger
        while gathered < self._batch:
            try:
                item = self._next(max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                break
            group.append(item)
            gathered += len(item.readings)
        return group

    def _write(self, group: list[_Waiting]) -> None:
        if self._given_up is not None:  # readings before these were refused: a checkpoint must not pass over them
            self._alarms_alone(group)
            _settle(group, RetryLater(self._given_up))
            return
        while not self._reduced.empty():
            self._counted.append(self._reduced.get())
        for attempt in itertools.count():
            try:
                checkpoints = dict(one.checkpoint for one in group if one.checkpoint is not None)
                reduced = [one.reduced for one in group if one.reduced is not None] + self._counted
                self._append([one.readings for one in group], [event for one in group for event in one.events], checkpoints, reduced)
            except Exception as error:  # whatever it is: sources must neither be told 'durable' nor wait for a dead thread
                if not isinstance(error, RetryLater):
                    log.exception("edge journal refuses what it was given")
                if self.error is None:
                    log.warning("edge journal cannot be written; sources wait", error=str(error))
                self.error = str(error)
                if isinstance(error, NoRoom):
                    self._bounds.run_short(error)
                    self._alarms_alone(group)
                if self._pause(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]):
                    self._given_up = str(error)
                    _settle(group, RetryLater(self._given_up))
                    return
            else:
                if self.error is not None:
                    log.info("edge journal can be written again")
                self.error = None
                self._counted.clear()
                self._wrote.set()
                _settle(group, None)
                return

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try, not longer than until an alarm comes; return whether to give up.

        What comes meanwhile lines up behind the group: one that grew would need more room with every try.
        """
        deadline = time.monotonic() + seconds
        while not self._ended:
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return self._stopping.is_set()
            if item is None:
                self._ended = True
                break
            self._behind.append(item)
            if any(map(_is_urgent, item.events)):
                return self._stopping.is_set()
        return self._stopping.wait(max(0.0, deadline - time.monotonic()))

    def _alarms_alone(self, group: list[_Waiting]) -> None:
        """Write the alarms of a group for which there is no room, and of what lines up behind it; who waits for nothing else is told."""
        everyone = [*group, *self._behind]
        alarms = [event for waiting in everyone for event in waiting.events if _is_urgent(event)]
        if not alarms:
            return
        try:
            self._append((), alarms, {})
        except RetryLater as error:
            log.warning("there is no room for alarms", alarms=len(alarms), error=str(error))
            return
        self._wrote.set()
        for waiting in everyone:
            waiting.events = [event for event in waiting.events if not _is_urgent(event)]
            if waiting.reduced is not None and not waiting.left:
                self._counted.append(waiting.reduced)
        _settle([waiting for waiting in everyone if not waiting.left], None)
        group[:] = [waiting for waiting in group if waiting.left]
        self._behind = deque(waiting for waiting in self._behind if waiting.left)

    def _append(
        self,
        readings: Iterable[Sequence[Conditioned] | Rows],
        events: Sequence[Event],
        checkpoints: Mapping[str, str],
        reduced: Sequence[tuple[str, Reduction]] = (),
    ) -> None:
        """Write one group, and where sources stand, in one transaction; our own numbering moves on only if it succeeded."""
        readings = [one for one in readings if len(one)]
        urgent = not readings and all(map(_is_urgent, events))
        sequence = _Sequence(self._sequence.next, dict(self._sequence.covered), dict(self._sequence.events))
        tallies: Counter[tuple[str, ...]] = Counter()
        appends: dict[str, list[Record]] = {}
        for parts in _together(readings):
            blocks, sequence.next = write_rows(self._journal.id, sequence.next, sequence.covered, parts)
            for head in map(_head_of, blocks):
                for tally in head.tallies:
                    tallies[tally_key(READ, tally.source, Category.TELEMETRY, tally.hour)] += tally.readings
            for block in blocks:
                lane = block.partition or 0
                sequence.covered[lane] = sequence.next
                at = self._layout.place_of(lane)
                appends.setdefault(at.topic, []).append(block._replace(partition=at.partition))
        for event in events:
            category = Category.ALARM if _is_urgent(event) else Category.EVENT
            hour = ledger_hour(event.time, event.gateway_time)
            key = (event.asset or event.source).encode()
            at = self._layout.event_place(category, key)
            counter = f"{category.name}/{at.partition}" if at.partition else category.name
            number = sequence.events.get(counter, 0)
            sequence.events[counter] = number + 1
            head = BlockHead(self._journal.id, number, number + 1, (Tally(event.source, hour, 1),))
            value = encode_event(msgspec.structs.replace(event, origin=self._journal.id))
            record = Record(value, key, ((HEADER, encode_head(head)),), partition=at.partition)
            appends.setdefault(at.topic, []).append(record)
            tallies[tally_key(READ, event.source, category, hour)] += 1
        facts = {_META: msgspec.json.encode(sequence).decode()}
        furthest = dict(self._furthest)
        for source, reduction in reduced:
            furthest[source] = further(furthest.get(source, Furthest()), reduction.furthest)
            for hour, number in reduction.hours.items():
                tallies[reduced_key(source, hour)] += number
        if reduced:
            facts[FURTHEST] = msgspec.json.encode(furthest).decode()
        # where a source stands may be a piece of what it reads: the last row's key, a file's name
        stand = {_CHECKPOINT + source: stands for source, stands in checkpoints.items()}
        within = self._bounds.ceiling if urgent else self._bounds.within
        try:
            self._journal.append_many(appends, tallies=tallies, meta=facts, private=stand, within=within)
        except NoRoom as error:
            if self._bounds.disk_full and not urgent:
                raise DiskFull("the disk of the edge journal is full") from error
            raise
        self._sequence, self._furthest = sequence, furthest
        self.read_total += sum(map(len, readings))


def _is_urgent(event: Event) -> bool:
    """Return whether an event may use the reserved part."""
    return isinstance(event, Alarm)


def _together(submitted: Iterable[Sequence[Conditioned] | Rows]) -> Iterator[list[Rows]]:
    """Yield rows whose texts fit a record together, in the order in which they were submitted."""
    parts: list[Rows] = []
    held = 0
    for rows in _rows(submitted):
        characters = sum(map(len, rows.texts))
        if parts and held + characters > _TEXT_CHARACTERS:
            yield parts
            parts, held = [], 0
        parts.append(rows)
        held += characters
    if parts:
        yield parts


def _rows(submitted: Iterable[Sequence[Conditioned] | Rows]) -> Iterator[Rows]:
    """Yield everything as columns; readings that came one by one are taken together."""
    single: list[Conditioned] = []
    for readings in submitted:
        if not isinstance(readings, Rows):
            single += readings
            continue
        yield from map(rows_of, _parts(single))
        single = []
        yield readings
    yield from map(rows_of, _parts(single))


def _parts(readings: list[Conditioned]) -> Iterator[list[Conditioned]]:
    """Yield runs of readings whose texts fit a record together."""
    start = held = 0
    for place, (_, reading) in enumerate(readings):
        if isinstance(reading.value, str):
            held += len(reading.value)
            if held > _TEXT_CHARACTERS and place > start:
                yield readings[start:place]
                start, held = place, len(reading.value)
    if start < len(readings):
        yield readings[start:]


def _head_of(record: Record) -> BlockHead:
    return decode_head(record.headers[0][1])


def _settle(group: list[_Waiting], error: RetryLater | None) -> None:
    """Wake the submitters on their own loops."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in group:
        by_loop.setdefault(waiting.done.get_loop(), []).append(waiting)
    for loop, items in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, items, error)


def _resolve(items: list[_Waiting], error: RetryLater | None) -> None:
    for waiting in items:
        if waiting.done.done():
            continue
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(error)
