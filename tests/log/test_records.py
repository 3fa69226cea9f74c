"""Readings one to a record: singles of every vocabulary and version, JSON, blocks, side by side (W-94, W-95, PD-11, E-41, ED-15)."""

import numpy as np
import pytest
from tests.log.readings import COUNT, FLOW, KINDS, MODE, NOW, OFFLINE, RUNS, envelope, shown, single, stored, written

from trunkline.log.codec.builtin.gateway import TELEMETRY_READING_IDS
from trunkline.log.codec.builtin.petroleum import TELEMETRY_RAW_IDS
from trunkline.log.codec.columns import decode
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.records import EVENT_IDS, decode_records, gather
from trunkline.log.codec.registry import UnknownSchema
from trunkline.log.codec.schemas import frame
from trunkline.log.codec.single import encode_singles
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading


def test_our_singles_of_every_kind() -> None:
    records = stored(
        single(FLOW, 1.5),
        single(COUNT, 2**62 + 1),
        single(RUNS, True),
        single(MODE, "AUTO °C"),
        single(FLOW, None, quality=Quality.BAD_COMMS_LOST),
        single(COUNT, None, quality=Quality.BAD),
    )
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert broken == []
    assert shown(columns) == [
        (FLOW, 1.5, 0),
        (COUNT, 2**62 + 1, 0),
        (RUNS, True, 0),
        (MODE, "AUTO °C", 0),
        (FLOW, None, Quality.BAD_COMMS_LOST),
        (COUNT, None, Quality.BAD),
    ]
    assert columns.heads == [BlockHead("log:telemetry.raw", 100, 106, (Tally("s", times.hour_of(NOW), 6),))]
    assert columns.seq.tolist() == [100, 101, 102, 103, 104, 105]
    assert np.isnan(columns.number[4])


def test_values_are_carried_over_to_the_kind_of_their_tag_or_refused() -> None:
    records = stored(
        single(FLOW, 5),
        single(FLOW, 2**53 + 1),
        single(COUNT, 7.0),
        single(COUNT, 7.5),
        single(RUNS, 1),
        single(MODE, 3.0),
        single(FLOW, "x"),
    )
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert shown(columns) == [(FLOW, 5.0, 0), (COUNT, 7, 0), (RUNS, True, 0)]
    assert [(record.offset, reason.split(":")[0]) for record, reason in broken] == [
        (101, "type"),
        (103, "type"),
        (105, "type"),
        (106, "type"),
    ]


def test_what_is_wrong_with_a_reading_is_said_and_the_others_go_on() -> None:
    records = stored(
        single(FLOW, 1.0),
        single("no tag at all", 1.0),
        single(FLOW, None),
        single(FLOW, 2.0, quality=1 << 16),
        b"\0\0\0\0\x02\xff\xff",
        b"\0\0\0\x27\x0f123",
        b"anything",
        b"",
        single(FLOW, 3.0),
    )
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert [value for _, value, _ in shown(columns)] == [1.0, 3.0]
    assert columns.seq.tolist() == [100, 108]
    assert [(columns.heads[0].lo, columns.heads[0].hi)] == [(100, 109)]
    reasons = {record.offset: reason for record, reason in broken}
    assert set(reasons) == {101, 102, 103, 104, 105, 106, 107}
    assert "try 'NO_TAG_AT_ALL'" in reasons[101]
    assert reasons[102] == "value: there is none, which only a BAD quality allows"
    assert "no 16-bit code" in reasons[103]
    assert "cannot be decoded" in reasons[104]
    assert "schema id 9999 is not built in" in reasons[105]
    assert "not an Avro value" in reasons[106]


def test_versions_written_days_apart_are_read_side_by_side() -> None:
    """W-94, W-95: what an offline gateway buffered under version 1 and what it writes now stand on one topic."""
    old, new, whole = TELEMETRY_READING_IDS
    base = {"asset_id": "offshore_well_12", "parameter": "pressure", "unit": "psi"}
    records = stored(
        written(old, {**base, "value": 185.4}),
        written(new, {**base, "value": 186.0, "quality": "GOOD"}),
        written(old, {**base, "value": 187.0}),
        written(whole, {**base, "value": 188.0, "quality": "SUSPECT", "device_time": NOW + 5}),
        written(new, {**base, "value": 189.0, "quality": "PERHAPS"}),
    )
    columns, broken = decode_records(records, OFFLINE, {})
    tag = "OFFSHORE_WELL_12.PRESSURE"
    no_time = Quality.UNCERTAIN_NO_SOURCE_TIME
    expected = [(185.4, Quality.UNCERTAIN), (186.0, no_time), (187.0, Quality.UNCERTAIN), (188.0, Quality.UNCERTAIN_SUSPECT_RATE)]
    assert shown(columns) == [(tag, value, quality) for value, quality in expected]
    assert columns.time.tolist() == [NOW, NOW, NOW, NOW + 5]
    assert [reason[:27] for _, reason in broken] == ["quality: unknown quality 'P"]
    assert [(head.lo, head.hi) for head in columns.heads] == [(100, 105)], "one range, though there were three schemas"


def test_a_tag_has_one_source_in_a_block() -> None:
    """Blocks say the source of a tag once; the counts follow what they say."""
    records = stored(single(FLOW, 1.0, source="a"), single(FLOW, 2.0, source="b"), single(COUNT, 3, source="b"))
    columns, _ = decode_records(records, OFFLINE, KINDS)
    assert [columns.sources[place] for place in columns.source] == ["a", "a", "b"]
    assert [(one.source, one.readings) for one in columns.heads[0].tallies] == [("a", 2), ("b", 1)]


def test_petroleum_records() -> None:
    """E-41, E-42, ED-15: version 1 as specified, version 2 with its own times, codes and kinds."""
    old, new = TELEMETRY_RAW_IDS
    base = {"timestamp": NOW // 1000 + 7, "deviceId": "pump_1", "tagId": "rate", "sourceProtocol": "OPCUA"}
    records = stored(
        written(old, {**base, "value": 1.5, "quality": 192}),
        written(new, {**base, "value": True, "quality": 0, "statusCode": 0x40940000, "tagId": "runs"}),
        written(
            new, {**base, "value": 7, "quality": 64, "sourceTimestamp": NOW // 1000, "gatewayTimestamp": NOW // 1000 + 9, "siteId": "north"}
        ),
        written(new, {**base, "value": 8.0, "quality": 17}),
    )
    columns, broken = decode_records(records, OFFLINE, {})
    assert shown(columns) == [
        ("PUMP_1.RATE", 1.5, Quality.GOOD),
        ("PUMP_1.RUNS", True, Quality.UNCERTAIN_RANGE),
        ("PUMP_1.RATE", 7.0, Quality.UNCERTAIN),
    ]
    assert columns.time.tolist() == [NOW + 7000, NOW + 7000, NOW]
    assert columns.gateway_time.tolist() == [NOW, NOW, NOW + 9000]
    assert [reason for _, reason in broken] == ["quality: 17 is none of 192, 64 and 0"]


def test_every_form_in_one_batch_keeps_one_range_and_the_order() -> None:
    """Blocks of a gateway, singles and JSON of third parties on one partition: nothing covers anything twice."""
    slot = TagSlot.of(FLOW, "plc", Kind.DOUBLE, 1)
    (block,), _ = write_blocks("gw", 0, {0: 0}, [(slot, Reading(FLOW, 9.0, 0, NOW, NOW))])
    records = stored(envelope(1.0), block, single(FLOW, 2.0, 1), envelope(3), single(FLOW, 4.0, 2))
    gathered = gather(records, OFFLINE, KINDS)
    assert gathered.broken == []
    assert [record.offset for record in gathered.blocks] == [100, 101]
    columns = decode(gathered.blocks)
    assert [(head.origin, head.lo, head.hi, head.readings) for head in columns.heads] == [
        ("log:telemetry.raw", 100, 105, 4),
        ("gw", 0, 1, 1),
    ]
    assert [(int(seq), value) for seq, (_, value, _) in zip(columns.seq, shown(columns), strict=True)] == [
        (100, 1.0),
        (102, 2.0),
        (103, 3.0),
        (104, 4.0),
        (0, 9.0),
    ]
    ids = gathered.blocks[0].header(EVENT_IDS)
    assert ids is not None
    assert [ids[16 * place] for place in range(4)] == [1, 0, 1, 0], "event ids of JSON, none of Avro"
    assert gather(records, OFFLINE, KINDS) == gathered, "a replay gives the same bytes"


def test_texts_and_refusals_keep_their_places_among_blocks_and_other_forms() -> None:
    slot = TagSlot.of(FLOW, "plc", Kind.DOUBLE, 1)
    (block,), _ = write_blocks("gw", 0, {0: 0}, [(slot, Reading(FLOW, 9.0, 0, NOW, NOW))])
    records = stored(block, envelope("AUTO", tag="MODE"), single(MODE, "MANUAL", 1), envelope("x"), b"junk", single(MODE, "CASCADE", 2))
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert [(int(seq), value) for seq, (_, value, _) in zip(columns.seq, shown(columns), strict=True)] == [
        (0, 9.0),
        (101, "AUTO"),
        (102, "MANUAL"),
        (105, "CASCADE"),
    ]
    assert sorted(record.offset for record, _ in broken) == [103, 104]


def test_topics_and_partitions_stay_apart() -> None:
    records = [
        one._replace(topic=topic, partition=partition) for topic in ("a", "b") for partition in (0, 1) for one in stored(single(FLOW, 1.0))
    ]
    gathered = gather(records, OFFLINE, KINDS)
    assert [(one.topic, one.partition, one.offset) for one in gathered.blocks] == [
        ("a", 0, 100),
        ("a", 1, 100),
        ("b", 0, 100),
        ("b", 1, 100),
    ]
    assert {head.origin for head in decode(gathered.blocks).heads} == {"log:a", "log:b"}


def test_singles_of_ours_keep_origin_range_and_counts() -> None:
    """From block to singles and back: the same readings, positions and coverage; a single lost on the way is a hole."""
    items = [
        (TagSlot.of(tag, "plc", kind, 1), value)
        for tag, kind, value in (
            (FLOW, Kind.DOUBLE, 1.5),
            (COUNT, Kind.INTEGER, -(2**63)),
            (RUNS, Kind.BOOLEAN, False),
            (MODE, Kind.TEXT, "é"),
            (FLOW, Kind.DOUBLE, None),
        )
    ]
    readings = [
        (slot, Reading(slot.path, value, 0 if value is not None else Quality.BAD, NOW + place, NOW + 9))
        for place, (slot, value) in enumerate(items)
    ]
    (block,), _ = write_blocks("gw", 5, {0: 3}, readings)
    before = decode(stored(block))
    before.heads = [BlockHead("gw", 3, 10, (*before.heads[0].tallies[:-1], before.heads[0].tallies[-1], Tally("plc", 7, 0, 2, 1)))]
    singles = encode_singles(before)
    assert [record.key for record in singles] == [one.encode() for one in (FLOW, COUNT, RUNS, MODE, FLOW)]
    after, broken = decode_records(stored(*singles), OFFLINE, KINDS)
    assert broken == []
    assert shown(after) == shown(before)
    assert after.seq.tolist() == before.seq.tolist()
    assert after.time.tolist() == before.time.tolist()
    assert [(head.origin, head.lo, head.hi) for head in after.heads] == [("gw", 3, 10)]
    assert after.heads[0].readings == 5
    holed, _ = decode_records(stored(*singles[:2], *singles[3:]), OFFLINE, KINDS)
    assert [(head.lo, head.hi) for head in holed.heads] == [(3, 7), (8, 10)]
    assert encode_singles(decode([])) == []


def test_a_refused_single_of_ours_is_left_to_its_own_header() -> None:
    """The dead letter's empty record covers the range; nothing else may."""
    head = encode_head(BlockHead("gw", 0, 1, (Tally("plc", 1, 1),)))
    records = stored(Record(single(FLOW, "x"), headers=((HEADER, head),)), single(FLOW, 1.0))
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert [record.offset for record, _ in broken] == [100]
    assert [head.origin for head in columns.heads] == ["log:telemetry.raw"]


def test_bad_headers_are_dead_letters() -> None:
    records = stored(Record(single(FLOW, 1.0), headers=((HEADER, b"junk"),)))
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert len(columns) == 0
    assert "block header cannot be read" in broken[0][1]


@pytest.mark.parametrize("schema_id", [1000, 0xFFFFFFFF])
def test_without_a_registry_only_our_own_ids_are_known(schema_id: int) -> None:
    with pytest.raises(UnknownSchema, match="no registry is configured"):
        OFFLINE.schema(schema_id)


def test_a_schema_that_is_no_reading_is_refused() -> None:
    columns, broken = decode_records(stored(frame(5) + b"\0"), OFFLINE, KINDS)
    assert len(columns) == 0
    assert "schema id 5 (io.trunkline.Command) is no reading" in broken[0][1]
