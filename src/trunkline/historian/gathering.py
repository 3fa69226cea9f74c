"""Records of the log gathered until they are worth a transaction, then made into a flush."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from trunkline.historian.flush import EventRecord, Flush, GivenUp
from trunkline.ledger.status import decode_status
from trunkline.log.codec.columns import Columns, decode
from trunkline.log.codec.event_ids import ids_of, joined_ids
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, decode_head
from trunkline.log.codec.records import sort_out
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import Batch, Positions, StoredRecord, TopicPartition
from trunkline.log.runs import Run, Runs
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData
from trunkline.model.events import Event
from trunkline.model.reading import Category, Kind

#: Clean topics hold what validation wrote: schemas of ours.
_BUILT_IN: Final = RegistryClient()
_EVENT_TOPICS: Final = (Category.EVENT, Category.ALARM)


class Broken(NamedTuple):
    """A record that cannot be decoded."""

    category: Category
    record: StoredRecord
    reason: str


@dataclass(slots=True)
class Made:
    """A flush and the records it was made of, place by place.

    Attributes:
        flush: what is to be stored.
        blocks: per head of the flush's columns, the record it is of, or the first of those it was made of.
        events: per event of the flush, its record.
        broken: records that cannot be decoded; what their headers say still counts, as rejected.
    """

    flush: Flush
    blocks: list[StoredRecord]
    events: list[StoredRecord]
    broken: list[Broken] = field(default_factory=list)


@dataclass(slots=True)
class Gathering:
    """Records polled and not stored yet.

    Attributes:
        layout: names of topics.
        kinds: what the configuration says of each tag, for readings that come one by one.
        runs: the records.
        positions: the next offset of each partition.
        readings: readings in them, by their headers.
        bytes: size of their values.
    """

    layout: Layout
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    positions: Positions = field(default_factory=dict)
    readings: int = 0
    bytes: int = 0

    def add(self, batch: Batch) -> None:
        """Take in what was polled."""
        self.positions.update(batch.positions)
        for run in Runs.of(batch.records).runs:
            self.runs.append(run)
            self.bytes += run.bytes
            self.readings += len(run) if run.headers is None else sum(head.readings if head else 1 for head in map(_head, run))

    def clear(self) -> None:
        """Forget everything."""
        self.runs, self.positions, self.readings, self.bytes = [], {}, 0, 0

    def take(self) -> "Gathering":
        """Return what was gathered, and gather anew."""
        taken = Gathering(self.layout, self.kinds, self.runs, self.positions, self.readings, self.bytes)
        self.clear()
        return taken

    def flush(self) -> Made:
        """Decode everything."""
        made = Made(Flush(decode([]), [], dict(self.positions)), [], [])
        self._telemetry(made)
        for record, category in self._others():
            if category is not None:
                self._event(record, category, made)
            elif record.topic == self.layout.gateway_status:
                self._status(record, made)
            elif record.topic == self.layout.overflow:
                self._overflow(record, made)
        return made

    def _telemetry(self, made: Made) -> None:
        topics = self.layout.categories("clean")
        found = sort_out(Runs(run for run in self.runs if topics.get(run.topic) is Category.TELEMETRY), _BUILT_IN, self.kinds)
        for record, reason in found.broken:
            _refuse(record, Category.TELEMETRY, reason, made)
        if found.plain is not None:
            made.flush.columns, made.blocks = found.plain.columns, found.plain.firsts
            made.flush.ids = joined_ids(found.plain.event_ids)
        else:
            made.flush.columns, made.blocks = self._columns(found.all_blocks(), made)
            made.flush.ids = ids_of(made.blocks, made.flush.columns)
        made.flush.places = [TopicPartition(record.topic, record.partition) for record in made.blocks]

    def _columns(self, blocks: list[StoredRecord], made: Made) -> tuple[Columns, list[StoredRecord]]:
        try:
            columns = decode(blocks)
            if all(head.lo <= head.hi for head in columns.heads):
                return columns, blocks
            reason = "a block's range runs backwards"
        except CorruptData as error:
            reason = str(error)
        if len(blocks) == 1:
            _refuse(blocks[0], Category.TELEMETRY, reason, made)
            return decode([]), []
        good = [record for record in blocks if self._columns([record], made)[1]]
        return decode(good), good

    def _others(self) -> Iterator[tuple[StoredRecord, Category | None]]:
        """Yield what is no telemetry, with the category of events and alarms."""
        topics = self.layout.categories("clean")
        for run in self.runs:
            category = topics.get(run.topic)
            if category is None or category in _EVENT_TOPICS:
                for record in run:
                    yield record, category

    def _event(self, record: StoredRecord, category: Category, made: Made) -> None:
        place, head = TopicPartition(record.topic, record.partition), _head(record)
        event: Event | None = None
        if record.value or head is None:
            try:
                event = decode_event_record(record, _BUILT_IN)
            except CorruptData as error:
                _refuse(record, category, str(error), made)
                return
        made.flush.events.append(EventRecord(event, head, place, category))
        made.events.append(record)

    def _status(self, record: StoredRecord, made: Made) -> None:
        try:
            made.flush.statuses.append(decode_status(record.value))
        except CorruptData as error:
            made.broken.append(Broken(Category.EVENT, record, str(error)))

    def _overflow(self, record: StoredRecord, made: Made) -> None:
        """A gateway gave records up: kept as an event for people, and as a range for the ledger."""
        try:
            event = decode_event(record.value)
        except CorruptData as error:
            made.broken.append(Broken(Category.EVENT, record, str(error)))
            return
        made.flush.events.append(EventRecord(event, None, TopicPartition(record.topic, record.partition), Category.EVENT))
        made.events.append(record)
        if (notice := _given_up(event, self.layout.clean_of)) is not None:
            made.flush.given_up.append(notice)


def _given_up(event: Event, clean: Mapping[str, str]) -> GivenUp | None:
    facts = event.attributes
    topic, partition, lo, hi = (facts.get(name) for name in ("topic", "partition", "lo", "hi"))
    if not (isinstance(topic, str) and topic in clean and isinstance(partition, int) and isinstance(lo, int) and isinstance(hi, int)):
        return None
    return GivenUp(event.origin, TopicPartition(clean[topic], partition), lo, hi) if 0 <= lo < hi else None


def _head(record: StoredRecord) -> BlockHead | None:
    header = record.header(HEADER)
    if header is None:
        return None
    try:
        head = decode_head(header)
    except CorruptData:
        return None
    return head if head.lo <= head.hi else None


def _refuse(record: StoredRecord, category: Category, reason: str, made: Made) -> None:
    """Set a broken record aside and keep its account: its header says what was in it."""
    made.broken.append(Broken(category, record, reason))
    head = _head(record)
    if head is not None:
        tallies = tuple(Tally(one.source, one.hour, 0, one.rejected + one.readings, one.deduplicated) for one in head.tallies)
        empty = BlockHead(head.origin, head.lo, head.hi, tallies)
        made.flush.events.append(EventRecord(None, empty, TopicPartition(record.topic, record.partition), category))
        made.events.append(record)
