"""Telemetry and events in the form of the site: nothing is lost on the way from blocks to singles or envelopes and back."""

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from tests.historian.support import Edge, reading
from tests.log.readings import OFFLINE, shown

from trunkline.log.codec.columns import Columns, decode, encode
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.events import decode_event, encode_event
from trunkline.log.codec.forms import Forms, node_of
from trunkline.log.codec.head import BACKLOG, HEADER, BlockHead, Tally, decode_head
from trunkline.log.codec.records import EVENT_IDS, decode_records, gather
from trunkline.log.layouts.spec import Form
from trunkline.log.port import Record, StoredRecord
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Value

NOW = times.from_iso("2026-01-01T12:00:00Z")
FLOW, COUNT, RUNS, MODE = "P.A.U.FLOW", "P.A.U.COUNT", "P.A.U.RUNS", "P.A.U.MODE"
KINDS = {FLOW: Kind.DOUBLE, COUNT: Kind.INTEGER, RUNS: Kind.BOOLEAN, MODE: Kind.TEXT}
ONE_BY_ONE: tuple[Form, ...] = ("single", "json")


def forms(form: Form) -> Forms:
    return Forms(form, {FLOW: "m³/h"}, dict.fromkeys(KINDS, 7), 7)


def block() -> StoredRecord:
    """Readings of every kind and quality, of four tags in turn."""
    values: list[tuple[str, Value, int]] = [
        (FLOW, 1.5, 0),
        (COUNT, -7, 0),
        (RUNS, True, 0),
        (MODE, "é", 0),
        (FLOW, None, Quality.BAD_COMMS_LOST),
        (COUNT, 2**62, 0),
    ]
    values += [(FLOW, 2.0, Quality.UNCERTAIN_STALE), (MODE, "", 0)]
    readings = [reading(tag, NOW + place * times.SECOND, value, quality) for place, (tag, value, quality) in enumerate(values)]
    return Edge(kinds=KINDS).block(readings)


def read_back(records: list[Record], first: StoredRecord) -> Columns:
    found = [StoredRecord(first.topic, first.partition, 50 + at, NOW, one.key, one.value, one.headers) for at, one in enumerate(records)]
    columns, broken = decode_records(found, OFFLINE, KINDS)
    assert broken == []
    return columns


def in_order(columns: Columns) -> list[Any]:
    """Return everything that a reading says, in the order of positions."""
    sources = [columns.sources[source] for source in columns.source.tolist()]
    origins = [columns.heads[number].origin for number in columns.block.tolist()]
    times_ = zip(columns.time.tolist(), columns.gateway_time.tolist(), strict=True)
    return sorted(zip(columns.seq.tolist(), shown(columns), sources, origins, times_, strict=True), key=lambda one: one[0])


@pytest.mark.parametrize("form", ONE_BY_ONE)
def test_there_and_back(form: Form) -> None:
    """P-8, P-12, P-27: every reading with its identity; heads meet and cover what the block covered; key and partition are the tag's."""
    before = block()._replace(headers=(*block().headers, (BACKLOG, b"1")))
    (records,) = forms(form).telemetry([before])
    assert len(records) == 8
    assert in_order(read_back(records, before)) == in_order(decode([before]))
    heads = [decode_head(dict(one.headers)[HEADER]) for one in records]
    whole = decode_head(before.header(HEADER) or b"")
    assert (heads[0].lo, heads[-1].hi) == (whole.lo, whole.hi)
    assert all(one.hi == other.lo for one, other in pairwise(heads))
    assert sum(head.readings for head in heads) == whole.readings
    assert {(one.partition, one.timestamp, dict(one.headers)[BACKLOG]) for one in records} == {(before.partition, before.timestamp, b"1")}
    assert [one.key for one in records] == [tag.encode() for tag in (FLOW, COUNT, RUNS, MODE, FLOW, COUNT, FLOW, MODE)]


def test_envelopes_have_ids_of_their_own_which_a_repeat_has_again() -> None:
    """P-9, PD-24: UUIDv7 made at the node; a forwarder that sends again sends the same."""
    (first,), (again,) = forms("json").telemetry([block()]), forms("json").telemetry([block()])
    messages = [json.loads(one.value) for one in first]
    assert [one.value for one in first] == [one.value for one in again]
    assert len({one["event_id"] for one in messages}) == len(messages)
    assert {one["event_id"][14] for one in messages} == {"7"}
    assert {(one["node_id"], one["category"]) for one in messages} == {(7, "telemetry")}
    assert {one.get("unit_of_measure", "") for one in messages if one["tag"] == "FLOW"} == {"m³/h"}


def test_ids_that_readings_came_with_are_kept() -> None:
    """As an envelope with that id; as a block where the form has no place for it."""
    (written,) = forms("json").telemetry([block()])
    ours = [one._replace(headers=()) for one in written]
    third = [StoredRecord("telemetry.raw", 0, at, NOW, one.key, one.value, ()) for at, one in enumerate(ours)]
    (gathered,), _ = gather(third, OFFLINE, KINDS)
    (again,) = Forms("json").telemetry([gathered])
    ids = {json.loads(one.value)["event_id"] for one in written}
    assert {json.loads(one.value)["event_id"] for one in again} == ids
    assert {json.loads(one.value)["node_id"] for one in again} == {7}, "the node of the envelope, not of this site's file"
    ((kept,),) = Forms("single").telemetry([gathered])
    assert (kept.value, dict(kept.headers)[EVENT_IDS]) == (gathered.value, gathered.header(EVENT_IDS))


@pytest.mark.parametrize("form", ONE_BY_ONE)
@pytest.mark.parametrize("gone", [{0}, {7}, {2, 3}, set(range(1, 8))])
def test_what_validation_took_out_is_told_once(form: Form, gone: set[int]) -> None:
    """PD-22: by a block without readings in its place; the ledger's counts and the range stay whole."""
    before = block()
    columns = decode([before])
    whole = columns.heads[0]
    kept = columns.select(~(columns.seq[:, None] == [whole.lo + place for place in gone]).any(axis=1))
    hour = whole.tallies[0].hour
    head = BlockHead(whole.origin, whole.lo, whole.hi, (Tally("plc", hour, 8 - len(gone), len(gone), 0),))
    record = encode(kept, head, 0)
    changed = StoredRecord("telemetry.clean", 0, 9, NOW, None, record.value, record.headers)
    (records,) = forms(form).telemetry([changed])
    heads = [decode_head(dict(one.headers)[HEADER]) for one in records]
    assert (heads[0].lo, heads[-1].hi) == (whole.lo, whole.hi)
    assert all(one.hi == other.lo and one.lo < one.hi for one, other in pairwise(heads))
    assert sum(tally.rejected for one in heads for tally in one.tallies) == len(gone)
    again = read_back(records, changed)
    assert in_order(again) == in_order(decode([changed]))
    assert sum(tally.rejected for one in again.heads for tally in one.tallies) == len(gone)


@pytest.mark.parametrize("form", ONE_BY_ONE)
def test_a_block_without_readings_stays_one(form: Form) -> None:
    record = encode(decode([]), BlockHead("edge-1", 3, 9, (Tally("plc", 0, 0, 6),)), 0)
    empty = StoredRecord("telemetry.clean", 0, 1, NOW, None, record.value, record.headers)
    ((kept,),) = forms(form).telemetry([empty])
    assert (kept.value, kept.headers) == (empty.value, empty.headers)


@pytest.mark.parametrize(
    ("tag", "value", "time"), [(FLOW, math.inf, NOW), ("P.FLOW", 1.0, NOW), (FLOW, 1.0, 10**18)], ids=["infinity", "short path", "far time"]
)
def test_what_an_envelope_cannot_hold_stays_a_block(tag: str, value: float, time: int) -> None:
    before = Edge().block([reading(tag, time, value)])
    ((kept,),) = forms("json").telemetry([before])
    assert kept.value == before.value


def test_damaged_blocks_pass_for_whoever_refuses_them() -> None:
    good, damaged = block(), block()._replace(value=block().value[:40])
    first, second = forms("json").telemetry([good, damaged])
    assert len(first) == 8
    assert [one.value for one in second] == [damaged.value]


def test_events_and_alarms() -> None:
    """P-14, P-16, PD-25: envelopes where everything comes back from one; else Avro, which every reader takes as well."""
    common: dict[str, Any] = {"id": str(uuid7()), "time": NOW, "gateway_time": NOW + 5, "tag": "MODE", "source": "plc", "origin": "edge-1"}
    event = Event(**common, asset="P.A.U", type="MODE_CHANGE", before="AUTO", after="MANUAL", attributes={"n": 1})
    alarm = Alarm(**common, asset="P.A.U", type="HIGH_TEMP", severity=AlarmSeverity.HIGH, value=320.5)
    for one in (event, alarm):
        written = forms("json").event(encode_event(one))
        assert json.loads(written)["node_id"] == 7
        again = decode_event_record(StoredRecord("events.raw", 0, 0, NOW, None, written, ()), OFFLINE)
        assert (again.id, again.type, type(again)) == (one.id, one.type, type(one))
        assert forms("single").event(encode_event(one)) == encode_event(one)
    shallow = encode_event(Event(**common, asset="P", type="GAP"))
    assert decode_event(forms("json").event(shallow)).asset == "P"


def test_the_node_of_a_gateway() -> None:
    """P-15."""
    assert [node_of(name) for name in ("node-042", "gw1", "boiler")] == [42, 1, 0]
