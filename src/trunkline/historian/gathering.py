"""Records of the log gathered until they are worth a transaction, then made into a flush."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from trunkline.historian.flush import EventRecord, Flush, GivenUp
from trunkline.ledger.status import decode_status
from trunkline.log.codec.columns import Columns, decode
from trunkline.log.codec.event_ids import ids_of
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, decode_head
from trunkline.log.codec.records import gather
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import Batch, Positions, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData
from trunkline.model.events import Event
from trunkline.model.reading import Category, Kind

#: Told about each record that cannot be decoded.
Broken = Callable[[Category, StoredRecord, str], None]

#: Clean topics hold what validation wrote: schemas of ours.
_BUILT_IN: Final = RegistryClient()
_EVENT_TOPICS: Final = (Category.EVENT, Category.ALARM)


@dataclass(slots=True)
class Made:
    """A flush and the records it was made of, place by place."""

    flush: Flush
    blocks: list[StoredRecord]
    events: list[StoredRecord]


@dataclass(slots=True)
class Gathering:
    """Records polled and not stored yet.

    Attributes:
        layout: names of topics.
        kinds: what the configuration says of each tag, for readings that come one by one.
        readings: readings in them, by their headers.
        bytes: size of their values.
    """

    layout: Layout
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    records: list[StoredRecord] = field(default_factory=list)
    positions: Positions = field(default_factory=dict)
    readings: int = 0
    bytes: int = 0

    def add(self, batch: Batch) -> None:
        """Take in what was polled."""
        self.positions.update(batch.positions)
        for record in batch.records:
            self.records.append(record)
            self.bytes += len(record.value)
            head = _head(record)
            self.readings += head.readings if head else 1

    def clear(self) -> None:
        """Forget everything."""
        self.records, self.positions, self.readings, self.bytes = [], {}, 0, 0

    def flush(self, broken: Broken) -> Made:
        """Decode everything. Records that cannot be are told to `broken`; what their headers say still counts, as rejected."""
        topics = self.layout.categories("clean")
        telemetry = [record for record in self.records if topics.get(record.topic) is Category.TELEMETRY]
        made = Made(Flush(decode([]), [], dict(self.positions)), [], [])
        blocks, others = gather(telemetry, _BUILT_IN, self.kinds)
        for record, reason in others:
            broken(Category.TELEMETRY, record, reason)
            _count_as_rejected(record, Category.TELEMETRY, made)
        made.flush.columns, made.blocks = self._columns(blocks, made, broken)
        made.flush.ids = ids_of(made.blocks, made.flush.columns)
        made.flush.places = [TopicPartition(record.topic, record.partition) for record in made.blocks]
        for record in self.records:
            category = topics.get(record.topic)
            if category in _EVENT_TOPICS:
                self._event(record, category, made, broken)
            elif record.topic == self.layout.gateway_status:
                self._status(record, made, broken)
            elif record.topic == self.layout.overflow:
                self._overflow(record, made, broken)
        return made

    def _columns(self, blocks: list[StoredRecord], made: Made, broken: Broken) -> tuple[Columns, list[StoredRecord]]:
        try:
            columns = decode(blocks)
            if all(head.lo <= head.hi for head in columns.heads):
                return columns, blocks
            reason = "a block's range runs backwards"
        except CorruptData as error:
            reason = str(error)
        if len(blocks) == 1:
            broken(Category.TELEMETRY, blocks[0], reason)
            _count_as_rejected(blocks[0], Category.TELEMETRY, made)
            return decode([]), []
        good = [record for record in blocks if self._columns([record], made, broken)[1]]
        return decode(good), good

    def _event(self, record: StoredRecord, category: Category, made: Made, broken: Broken) -> None:
        place, head = TopicPartition(record.topic, record.partition), _head(record)
        event: Event | None = None
        if record.value or head is None:
            try:
                event = decode_event(record.value)
            except CorruptData as error:
                broken(category, record, str(error))
                _count_as_rejected(record, category, made)
                return
        made.flush.events.append(EventRecord(event, head, place, category))
        made.events.append(record)

    def _status(self, record: StoredRecord, made: Made, broken: Broken) -> None:
        try:
            made.flush.statuses.append(decode_status(record.value))
        except CorruptData as error:
            broken(Category.EVENT, record, str(error))

    def _overflow(self, record: StoredRecord, made: Made, broken: Broken) -> None:
        """A gateway gave records up: kept as an event for people, and as a range for the ledger."""
        try:
            event = decode_event(record.value)
        except CorruptData as error:
            broken(Category.EVENT, record, str(error))
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


def _count_as_rejected(record: StoredRecord, category: Category, made: Made) -> None:
    """Keep the account of a record whose content is lost to us: its header says what was in it."""
    head = _head(record)
    if head is not None:
        tallies = tuple(Tally(one.source, one.hour, 0, one.rejected + one.readings, one.deduplicated) for one in head.tallies)
        empty = BlockHead(head.origin, head.lo, head.hi, tallies)
        made.flush.events.append(EventRecord(None, empty, TopicPartition(record.topic, record.partition), category))
        made.events.append(record)
