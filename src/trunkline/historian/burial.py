"""What the historian cannot store goes to the dead-letter topics, in the form that `trunkline deadletter` reads (W-67, PD-22)."""

import io
from collections.abc import Mapping, Sequence
from typing import Final

import fastavro
import msgspec

from trunkline.historian.flush import EventRecord, Flush, Refusal
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.schemas import PARSED, SINGLE_ID, frame
from trunkline.log.port import Log, Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.reading import Category

_SHOWN: Final = 200
_ORIGINAL: Final = "original"
_FORM: Final = "form"


def bury(log: Log, layout: Layout, flush: Flush, refusal: Refusal, blocks: Sequence[StoredRecord], events: Sequence[StoredRecord]) -> None:
    """Append what was refused to the dead-letter topics, durable on return.

    Args:
        log: the site log.
        layout: names of topics.
        flush: what was refused in part.
        refusal: which parts, and why.
        blocks: the records of `flush.columns.heads`.
        events: the records of `flush.events`.
    """
    readings = [_reading(flush, place, reason, blocks) for place, reason in refusal.readings.items()]
    if readings:
        log.append(layout.topic(Category.TELEMETRY, "dead"), readings)
    for place, reason in refusal.events.items():
        entry = flush.events[place]
        log.append(layout.topic(entry.category, "dead"), [_event(entry, reason, events[place])])


def bury_broken(log: Log, layout: Layout, category: Category, broken: Sequence[tuple[StoredRecord, str]]) -> None:
    """Append records of a category that could not even be decoded, each with the reason.

    When it fails, some of them may be there: then all are appended again, and the letter's place tells that it is the same.
    """
    letters = [_letter({}, reason, record, record.value, "record") for record, reason in broken]
    log.append(layout.topic(category, "dead"), letters, atomic=False)


def _reading(flush: Flush, place: int, reason: str, blocks: Sequence[StoredRecord]) -> Record:
    columns, value = flush.columns, flush.columns.value(place)
    origin = columns.heads[columns.block[place]].origin
    tag, source = columns.tags[columns.tag[place]], columns.sources[columns.source[place]]
    time = int(columns.time[place])
    single = io.BytesIO()
    single.write(frame(SINGLE_ID))
    fastavro.schemaless_writer(
        single,
        PARSED[SINGLE_ID],
        {
            "tag": tag,
            "value": value,
            "quality": int(columns.quality[place]),
            "source_time": time,
            "gateway_time": int(columns.gateway_time[place]),
            "origin": origin,
            "seq": int(columns.seq[place]),
            "source": source,
        },
    )
    facts = {"gateway": origin, "source": source, "tag": tag, "time_us": time, "value": value[:_SHOWN] if isinstance(value, str) else value}
    return _letter(facts, reason, blocks[columns.block[place]], single.getvalue(), "single")


def _event(entry: EventRecord, reason: str, record: StoredRecord) -> Record:
    event = entry.event
    assert event is not None, "only records with an event are refused"
    facts = {"gateway": entry.feed[0], "source": entry.feed[1], "tag": event.tag or None, "time_us": event.time}
    return _letter(facts, reason, record, encode_event(event), "record")


def _letter(facts: Mapping[str, object], reason: str, record: StoredRecord, original: bytes, form: str) -> Record:
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "at_us": times.now()}
    value = msgspec.json.encode({"reason": f"historian: {reason}", **place, **facts})
    key = str(facts.get("tag") or record.topic).encode()
    return Record(value, key, ((_ORIGINAL, original), (_FORM, form.encode())))
