"""The JSON envelope of plant ingestion: what is accepted, what is refused and why (P-8 to P-20, P-122, PD-25 to PD-29)."""

import json
import uuid
from typing import Any

import jsonschema
import pytest
from tests.log.readings import COUNT, FLOW, KINDS, MODE, NOW, OFFLINE, RUNS, envelope, shown, single, stored

from trunkline.log.codec.envelope import (
    decode_event_envelope,
    encode_envelopes,
    encode_event_envelope,
    schema,
    validate,
)
from trunkline.log.codec.records import EVENT_IDS, decode_records, gather
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Value

ASSET = {"plant": "PLANT01", "area": "AREA02", "unit": "UNIT_05"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"event_id": "hello"}, "event_id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-01-01T12:00:00"}, "timestamp"),  # PD-27: a time without zone is ambiguous
        ({"timestamp": 17}, "timestamp"),
        ({"asset": {**ASSET, "unit": "UNIT.05"}}, "asset.unit"),  # PD-29: a dot would make two assets share a key
        ({"asset": {**ASSET, "plant": "plant01"}}, "asset.plant"),
        ({"asset": {**ASSET, "plant": "P" * 65}}, "asset.plant"),
        ({"asset": {"plant": "P", "area": "A"}}, "unit"),
        ({"tag": ""}, "tag"),
        ({"tag": "T" * 129}, "tag"),
        ({"value": [1]}, "value"),
        ({"unit_of_measure": "x" * 33}, "unit_of_measure"),
        ({"quality": "FINE"}, "quality"),
        ({"category": "log"}, "category"),
        ({"category": "alarm"}, "an alarm needs 'severity'"),
        ({"category": "alarm", "severity": "FATAL"}, "severity"),
        ({"severity": "LOW"}, "'severity' belongs to alarms"),
        ({"node_id": "forty-two"}, "node_id"),
        ({"node_id": 2**70}, "node_id"),
        ({"status_code": -1}, "status_code"),
        ({"extra": 1}, "extra"),
        ({"node_id": ...}, "node_id"),
    ],
)
def test_refused_with_the_reason(changed: dict[str, Any], said: str) -> None:
    """P-20, P-122: the validator never raises, and says what is wrong and where."""
    found, reason = validate(envelope(**changed))
    assert found is None
    assert said in reason


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b'{"value": NaN}', b"{" * 10_000, b'{"a":' * 5_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    found, reason = validate(raw)
    assert found is None
    assert reason.startswith("envelope: ")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    """P-12: NaN and Infinity are refused."""
    raw = envelope().replace(b'"value": 50.2', b'"value": ' + number.encode())
    columns, broken = decode_records(stored(raw), OFFLINE, KINDS)
    assert len(columns) == 0
    assert len(broken) == 1


def test_readings_with_their_event_ids() -> None:
    """P-9, P-11, P-15: identity, path and node are kept; short codes and status codes become qualities (PD-26)."""
    records = stored(
        envelope(50.2),
        envelope(51),
        envelope(2**63),
        envelope(None, quality="BAD"),
        envelope(None),
        envelope(52.0, quality="OOR"),
        envelope(53.0, quality="UNCERTAIN", status_code=int(Quality.UNCERTAIN_STALE) << 16, gateway_time="2026-01-01T13:00:00+00:30"),
        envelope(54.0, quality="BAD", status_code=0),
        envelope(7, tag="COUNT"),
        envelope(True, tag="RUNS"),
        envelope("AUTO", tag="MODE"),
        envelope(category="event"),
    )
    columns, broken = decode_records(records, OFFLINE, KINDS)
    assert shown(columns) == [
        (FLOW, 50.2, Quality.GOOD),
        (FLOW, 51.0, Quality.GOOD),
        (FLOW, None, Quality.BAD),
        (FLOW, 52.0, Quality.BAD_OUT_OF_RANGE),
        (FLOW, 53.0, Quality.UNCERTAIN_STALE),
        (FLOW, 54.0, Quality.BAD),
        (COUNT, 7, Quality.GOOD),
        (RUNS, True, Quality.GOOD),
        (MODE, "AUTO", Quality.GOOD),
    ]
    assert columns.sources == ["node-42"]
    assert columns.time.tolist() == [NOW] * 9
    assert columns.gateway_time[4] == NOW + 30 * times.MINUTE
    assert [(record.offset, reason.split(":")[0]) for record, reason in broken] == [(102, "value"), (104, "value"), (111, "class")]
    (block,), _ = gather(records, OFFLINE, KINDS)
    ids = block.header(EVENT_IDS)
    assert ids is not None
    assert {uuid.UUID(bytes=ids[place : place + 16]) for place in range(0, 16 * 9, 16)} == {
        uuid.UUID("0197d2a0-0000-7000-8000-00000000002a")
    }


def test_written_envelopes_are_read_back() -> None:
    """P-27: the key is plant, area, unit and tag; an independent validator accepts what is written."""
    values: list[tuple[str, Value, int]] = [
        (FLOW, 50.25, 0),
        (COUNT, -7, 0),
        (RUNS, False, 0),
        (MODE, "é", 0),
        (FLOW, None, int(Quality.BAD_COMMS_LOST)),
        (FLOW, 1.5, 0x4094),
    ]
    columns, _ = decode_records(stored(*(single(tag, value, quality=quality) for tag, value, quality in values)), OFFLINE, KINDS)
    ids = [uuid7() for _ in values]
    records = encode_envelopes(columns, {FLOW: "m³/h"}, ids, [7] * len(columns.tags))
    assert records[0].key == FLOW.encode()
    for record in records:
        jsonschema.validate(json.loads(record.value), schema())
    assert json.loads(records[0].value)["unit_of_measure"] == "m³/h"
    again, broken = decode_records(stored(*records), OFFLINE, KINDS)
    assert broken == []
    assert shown(again) == values
    assert again.time.tolist() == columns.time.tolist()
    assert again.gateway_time.tolist() == columns.gateway_time.tolist()
    with pytest.raises(ValueError, match="2 parts"):
        encode_envelopes(decode_records(stored(single("A.B", 1.0)), OFFLINE, {})[0], {}, ids, [7])


def test_events_and_alarms_there_and_back() -> None:
    """P-16, P-17, PD-25: severity, correlation, from and to, text, actor and attributes."""
    common: dict[str, Any] = {"id": str(uuid7()), "time": NOW, "gateway_time": NOW + 5, "asset": "P.A.U", "tag": "MODE", "source": "node-7"}
    event = Event(**common, type="MODE_CHANGE", before="AUTO", after="MANUAL", actor="operator", text="by hand", attributes={"n": 1})
    alarm = Alarm(
        **common, type="HIGH_TEMP", severity=AlarmSeverity.HIGH, value=320.5, threshold=320.0, unit="°C", active=False, trace_id="t"
    )
    for one in (event, alarm):
        raw = encode_event_envelope(one, 7)
        jsonschema.validate(json.loads(raw), schema())
        assert decode_event_envelope(raw, 0) == one
    plain = decode_event_envelope(envelope(12.5, category="event", tag="SETPOINT_CHANGE"), NOW)
    assert (plain.type, plain.after, plain.gateway_time, plain.asset) == ("SETPOINT_CHANGE", 12.5, NOW, "P.A.U")
    with pytest.raises(CorruptData, match="telemetry on a topic of events"):
        decode_event_envelope(envelope(), NOW)
