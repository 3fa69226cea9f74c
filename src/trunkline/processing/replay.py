"""Sending dead letters again, after the rule, the tag or the device was mended. A letter sent twice is stored once."""

import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import fastavro
import msgspec

from trunkline.config.tags import TagConfig
from trunkline.ledger.balance import REPLAY_ORIGIN
from trunkline.log.codec.events import decode_event, encode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.schemas import FRAME_BYTES, PARSED, SINGLE_ID
from trunkline.log.codec.writer import TagSlot, ledger_hour, write_blocks
from trunkline.log.port import Log, Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData, Misconfigured
from trunkline.model.reading import Category, Reading, coerce
from trunkline.model.times import from_datetime
from trunkline.processing.deadletter import FORM, ORIGINAL, DeadLetter, decode_dead_letter

_PAGE: Final = 500


class Letter(NamedTuple):
    """A dead letter and its place in the dead-letter topic."""

    record: StoredRecord
    letter: DeadLetter
    category: Category


class Replayed(NamedTuple):
    """What came of sending one letter again: `problem` is None when it was sent."""

    letter: Letter
    problem: str | None


def read_letters(log: Log, layout: Layout) -> Iterator[Letter]:
    """Yield every dead letter kept, oldest first within its class."""
    for topic, category in layout.categories("dead").items():
        for at, (first, _) in log.bounds(topic).items():
            position = first
            while records := log.read(at, position, _PAGE):
                position = records[-1].offset + 1
                for record in records:
                    yield Letter(record, decode_dead_letter(record), category)


def find_letter(log: Log, at: TopicPartition, offset: int, layout: Layout) -> Letter:
    """Return one letter. Raises Misconfigured when there is none at that place."""
    categories = layout.categories("dead")
    if at.topic not in categories:
        raise Misconfigured(f"{at.topic!r} is no dead-letter topic: use one of {', '.join(categories)}")
    records = log.read(at, offset, 1)
    if not records or records[0].offset != offset:
        raise Misconfigured(f"there is no dead letter at {at.topic}/{at.partition}@{offset}: 'trunkline deadletter list' shows those kept")
    return Letter(records[0], decode_dead_letter(records[0]), categories[at.topic])


def replay(log: Log, layout: Layout, tags: Mapping[str, TagConfig], letters: Iterable[Letter]) -> Iterator[Replayed]:
    """Send letters to the raw topics again, one by one; validation judges them by the rules of today."""
    for letter in letters:
        try:
            topic, record = _again(letter, tags, layout)
        except (CorruptData, Misconfigured, TypeError, OverflowError) as error:
            yield Replayed(letter, str(error))
            continue
        log.append(topic, [record])
        yield Replayed(letter, None)


def _again(letter: Letter, tags: Mapping[str, TagConfig], layout: Layout) -> tuple[str, Record]:
    original = letter.record.header(ORIGINAL) or b""
    form = letter.record.header(FORM)
    place = letter.record.offset
    if letter.category is not Category.TELEMETRY:
        event = decode_event(original)
        tally = Tally(event.source, ledger_hour(event.time, event.gateway_time), 1)
        head = BlockHead(REPLAY_ORIGIN, place, place + 1, (tally,))
        again = encode_event(msgspec.structs.replace(event, origin=REPLAY_ORIGIN))
        return layout.topic(letter.category, "raw"), Record(again, letter.record.key, ((HEADER, encode_head(head)),))
    if form != b"single":
        raise CorruptData("the letter holds a damaged block, not a reading: its bytes can be looked at, not sent again")
    single: Any = fastavro.schemaless_reader(io.BytesIO(original[FRAME_BYTES:]), PARSED[SINGLE_ID], None)
    config = tags.get(single["tag"])
    if config is None:
        raise Misconfigured(f"tag {single['tag']} is not in the site file: add it first")
    lane = layout.lane_of(config.path, config.measurement)
    slot = TagSlot(config.path, single["source"], config.value_kind, lane)
    value = coerce(single["value"], config.value_kind)
    reading = Reading(config.path, value, single["quality"], _micros(single["source_time"]), _micros(single["gateway_time"]))
    (record,), _ = write_blocks(REPLAY_ORIGIN, place, {lane: place}, [(slot, reading)])
    at = layout.place_of(lane)
    return at.topic, record._replace(partition=at.partition)


def _micros(moment: datetime) -> int:
    """Avro's timestamp-micros comes as a datetime."""
    return from_datetime(moment)
