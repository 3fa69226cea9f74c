import io
import json
import math
from typing import Any

import fastavro
import pytest

from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec import columns as codec
from trunkline.log.codec.events import decode_event, encode_event
from trunkline.log.codec.head import BACKLOG, HEADER, BlockHead, Tally, decode_head, encode_head
from trunkline.log.codec.schemas import FRAME_BYTES, PARSED, SINGLE_ID
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Kind, Reading, Value
from trunkline.processing.deadletter import ORIGINAL
from trunkline.processing.validate import ValidateStep

NOW = times.from_iso("2026-01-01T12:00:00Z")
S = times.SECOND
LAYOUT = Layout("gateway", 1)
RAW = LAYOUT.topic(Category.TELEMETRY, "raw")
CLEAN = LAYOUT.topic(Category.TELEMETRY, "clean")
DEAD = LAYOUT.topic(Category.TELEMETRY, "dead")
FLOW = "P.A.U.FLOW"
MODE = "P.A.U.MODE"
TAGS = {
    FLOW: TagConfig(path=FLOW, min=0, max=500, max_rate=10),
    MODE: TagConfig(path=MODE, kind="text"),
}


class Feed:
    """Blocks as a gateway would write them."""

    def __init__(self) -> None:
        self.seq = 0
        self.offset = 0
        self.covered: dict[int, int] = {}

    def block(self, *readings: tuple[str, Value, int, int]) -> StoredRecord:
        """readings: (tag, value, seconds after NOW, quality)."""
        items = []
        for tag, value, second, quality in readings:
            kind = TAGS[tag].value_kind if tag in TAGS else Kind.DOUBLE
            moment = NOW + second * S
            read = moment if abs(second) < 1000 else NOW
            items.append((TagSlot.of(tag, "plc", kind, 1), Reading(tag, value, quality, moment, read)))
        (record,), self.seq = write_blocks("gw", self.seq, self.covered, items)
        self.covered[0] = self.seq
        return self.stored(RAW, record)

    def stored(self, topic: str, record: Record) -> StoredRecord:
        self.offset += 1
        return StoredRecord(topic, 0, self.offset, NOW, record.key, record.value, record.headers)


def step() -> ValidateStep:
    return ValidateStep(LAYOUT, TAGS, ValidationConfig(), clock=lambda: NOW)


def clean_of(out: dict[str, list[Record]]) -> codec.Columns:
    return codec.decode([StoredRecord(CLEAN, 0, number, NOW, one.key, one.value, one.headers) for number, one in enumerate(out[CLEAN])])


def letters(out: dict[str, list[Record]], topic: str = DEAD) -> list[dict[str, Any]]:
    return [json.loads(one.value) for one in out.get(topic, [])]


def test_good_blocks_pass_byte_for_byte() -> None:
    """W-122."""
    record = Feed().block((FLOW, 10.0, 0, 0), (MODE, "AUTO", 0, 0))
    out = step().process([record])
    assert list(out) == [CLEAN]
    assert (out[CLEAN][0].value, out[CLEAN][0].headers) == (record.value, record.headers)


@pytest.mark.parametrize(
    ("tag", "value", "second", "reason"),
    [
        (FLOW, -0.1, 0, "range: -0.1 is below 0"),
        (FLOW, 500.5, 0, "range: 500.5 is above 500"),
        (FLOW, math.inf, 0, "finite"),
        (FLOW, 1.0, -1_000_000_000, "time: before the year 2000"),
        (FLOW, 1.0, -400_000_000, "time: more than 3650 days"),
        (FLOW, 1.0, 100_000, "time: more than a day ahead"),
        (FLOW, 1.0, 5_500_000_000, "time: more than a day ahead"),
        (MODE, "x" * 70_000, 0, "text: 70,000 bytes"),
        (MODE, "a\x00b", 0, "text: contains a NUL"),
        ("P.A.U.OTHER", 1.0, 0, "tag: P.A.U.OTHER is not in the site file"),
    ],
)
def test_refused_readings_become_dead_letters_with_their_original(tag: str, value: Value, second: int, reason: str) -> None:
    """W-124, W-126, W-67, P-20, P-122, PD-22."""
    record = Feed().block((FLOW, 10.0, 0, 0), (tag, value, second, 0))
    out = step().process([record])
    (letter,) = letters(out)
    assert letter["reason"].startswith(reason)
    assert (letter["topic"], letter["partition"], letter["offset"]) == (RAW, 0, record.offset)
    assert letter["tag"] == tag
    original = dict(out[DEAD][0].headers)[ORIGINAL]
    single: Any = fastavro.schemaless_reader(io.BytesIO(original[FRAME_BYTES:]), PARSED[SINGLE_ID], None)
    assert single["value"] == value
    kept = clean_of(out)
    assert [kept.value(place) for place in range(len(kept))] == [10.0]
    (head,) = kept.heads
    assert (head.lo, head.hi) == (0, 2)
    assert sum(one.rejected for one in head.tallies) == 1
    assert head.readings == 1


def test_a_block_that_is_written_anew_keeps_its_other_headers() -> None:
    """A mark of backlog tells readers of the clean topic what live data may have overtaken, whether a reading was taken out or not."""
    record = Feed().block((FLOW, 10.0, 0, 0), (FLOW, 500.5, 1, 0))
    out = step().process([record._replace(headers=(*record.headers, (BACKLOG, b"1")))])
    (clean,) = out[CLEAN]
    assert [name for name, _ in clean.headers] == [HEADER, BACKLOG]


def test_bounds_are_inclusive() -> None:
    """D-32."""
    out = step().process([Feed().block((FLOW, 0.0, 0, 0), (FLOW, 500.0, 1000, 0))])
    assert DEAD not in out


def test_device_quality_passes() -> None:
    """W-125: a sensor's own doubt is forwarded; a BAD reading without value belongs into history, too."""
    record = Feed().block(
        (FLOW, None, 0, Quality.BAD_SENSOR_FAULT), (FLOW, 3.0, 1, Quality.UNCERTAIN_SENSOR), (FLOW, 900.0, 2, Quality.BAD)
    )
    out = step().process([record])
    kept = clean_of(out)
    assert kept.quality.tolist() == [Quality.BAD_SENSOR_FAULT, Quality.UNCERTAIN_SENSOR, Quality.BAD]
    assert DEAD not in out


def test_rate_of_change_marks_suspect_per_second() -> None:
    """W-127, D-32: 30 in two seconds is 15/s, over the limit of 10; 30 in ten seconds is not."""
    out = step().process([Feed().block((FLOW, 10.0, 0, 0), (FLOW, 40.0, 2, 0), (FLOW, 70.0, 12, 0))])
    assert clean_of(out).quality.tolist() == [0, Quality.UNCERTAIN_SUSPECT_RATE, 0]


def test_rate_is_judged_over_batches_and_not_for_late_data() -> None:
    feed, one = Feed(), step()
    one.process([feed.block((FLOW, 10.0, 10, 0))])
    late = one.process([feed.block((FLOW, 400.0, 5, 0))])
    assert clean_of(late).quality.tolist() == [0]
    fast = one.process([feed.block((FLOW, 100.0, 11, 0))])
    assert clean_of(fast).quality.tolist() == [Quality.UNCERTAIN_SUSPECT_RATE]


def test_repeats_are_dropped_and_counted_but_equal_times_with_other_values_are_kept() -> None:
    """W-128, D-33."""
    feed, one = Feed(), step()
    first = one.process([feed.block((FLOW, 10.0, 0, 0), (FLOW, 10.0, 0, 0), (FLOW, 11.0, 0, 0))])
    kept = clean_of(first)
    assert kept.number.tolist() == [10.0, 11.0]
    assert sum(tally.deduplicated for tally in kept.heads[0].tallies) == 1
    again = clean_of(one.process([feed.block((FLOW, 11.0, 0, 0), (FLOW, 12.0, 1, 0))]))
    assert again.number.tolist() == [12.0]
    assert DEAD not in first


def test_a_repeat_is_recognised_behind_a_late_reading() -> None:
    """W-128: the newest reading counts, not the last one of a batch."""
    one, feed = step(), Feed()
    one.process([feed.block((FLOW, 1.0, 0, 0), (FLOW, 2.0, 5, 0), (FLOW, 3.0, 2, 0))])
    one.process([feed.block((FLOW, 2.0, 5, 0))])
    assert one.counts["deduplicated"] == 1


def test_records_sent_again_are_judged_once() -> None:
    """PD-6: a forwarder that crashed repeats its last records; their dead letters must not be doubled, over restarts, too."""
    feed, one = Feed(), step()
    record = feed.block((FLOW, 10.0, 0, 0), (FLOW, 900.0, 1, 0))
    first = one.process([record])
    assert len(letters(first)) == 1
    again = record._replace(offset=record.offset + 50)
    assert one.process([again]) == {}
    fresh = step()
    fresh.recover([StoredRecord(CLEAN, 0, 0, NOW, None, first[CLEAN][0].value, first[CLEAN][0].headers)])
    assert fresh.process([again]) == {}


def test_events_sent_again_are_judged_once() -> None:
    record = _stored_event(_event(id="hello"), Category.EVENT)
    one = step()
    assert one.process([record])
    assert one.process([record]) == {}


def test_memory_is_rebuilt_from_own_output() -> None:
    """D-31: state survives a restart."""
    feed, one = Feed(), step()
    out = one.process([feed.block((FLOW, 10.0, 0, 0))])
    fresh = step()
    fresh.recover([StoredRecord(CLEAN, 0, 0, NOW, None, out[CLEAN][0].value, out[CLEAN][0].headers)])
    again = clean_of(fresh.process([feed.block((FLOW, 10.0, 0, 0), (FLOW, 100.0, 1, 0))]))
    assert again.number.tolist() == [100.0]
    assert again.quality.tolist() == [Quality.UNCERTAIN_SUSPECT_RATE]


def test_a_gap_is_an_event_with_figures() -> None:
    """W-66, W-129: sample 1000 ms expected, 5000 ms actual, 4 missing."""
    feed, one = Feed(), step()
    for second in range(15):
        one.process([feed.block((FLOW, 10.0, second, 0))])
    out = one.process([feed.block((FLOW, 10.0, 19, 0))])
    (event,) = [decode_event(record.value) for record in out[LAYOUT.topic(Category.EVENT, "clean")]]
    assert event.type == "GAP"
    assert event.attributes == {"expected_interval_ms": 1000, "actual_gap_ms": 5000, "missing_samples": 4}
    assert (event.asset, event.tag) == ("P.A.U", "FLOW")


def test_damaged_blocks_are_dead_letters_and_stay_accounted_for() -> None:
    """P-18, PD-22: never throws; neighbours pass."""
    feed = Feed()
    good, bad = feed.block((FLOW, 10.0, 0, 0)), feed.block((FLOW, 11.0, 1, 0))
    broken = bad._replace(value=bad.value[: len(bad.value) // 2])
    headless = feed.stored(RAW, Record(b"hello"))
    out = step().process([good, broken, headless])
    assert [letter["offset"] for letter in letters(out)] == [broken.offset, headless.offset]
    assert dict(out[DEAD][0].headers)[ORIGINAL] == broken.value
    heads = [decode_head(dict(record.headers)[HEADER]) for record in out[CLEAN]]
    assert sorted((head.lo, head.hi, head.readings) for head in heads) == [(0, 1, 1), (1, 2, 0)]
    assert sum(tally.rejected for head in heads for tally in head.tallies) == 1


def _event(**fields: Any) -> Event:
    return Event(
        **{"id": str(uuid7()), "type": "UNIT_START", "time": NOW, "gateway_time": NOW, "source": "mqtt", "asset": "P.A.U", **fields}
    )


def _stored_event(event: Event, category: Category) -> StoredRecord:
    head = BlockHead("gw", 0, 1, (Tally(event.source, times.hour_of(NOW), 1),))
    return StoredRecord(LAYOUT.topic(category, "raw"), 0, 1, NOW, b"k", encode_event(event), ((HEADER, encode_head(head)),))


def test_events_and_alarms_pass_to_their_clean_topics() -> None:
    """W-121 for events and alarms; P-19."""
    alarm = Alarm(id=str(uuid7()), type="HIGH_TEMP", time=NOW, gateway_time=NOW, severity=AlarmSeverity.HIGH, value=321.0, threshold=320.0)
    out = step().process([_stored_event(_event(), Category.EVENT), _stored_event(alarm, Category.ALARM)])
    assert decode_event(out[LAYOUT.topic(Category.ALARM, "clean")][0].value) == alarm
    assert len(out[LAYOUT.topic(Category.EVENT, "clean")]) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "hello"}, "id: 'hello' is no UUID"),
        ({"time": 0}, "time:"),
        ({"type": ""}, "type:"),
        ({"text": "a\x00"}, "text:"),
    ],
)
def test_bad_events_are_dead_letters(fields: dict[str, Any], reason: str) -> None:
    """P-20, P-122."""
    out = step().process([_stored_event(_event(**fields), Category.EVENT)])
    (letter,) = letters(out, LAYOUT.topic(Category.EVENT, "dead"))
    assert letter["reason"].startswith(reason)
    (settled,) = out[LAYOUT.topic(Category.EVENT, "clean")]
    assert settled.value == b""
    assert decode_head(dict(settled.headers)[HEADER]).tallies[0].rejected == 1


def test_class_must_match_the_topic() -> None:
    """W-10, D-9."""
    out = step().process([_stored_event(_event(), Category.ALARM)])
    (letter,) = letters(out, LAYOUT.topic(Category.ALARM, "dead"))
    assert letter["reason"].startswith("class:")
