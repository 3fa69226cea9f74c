"""Bytes of an independent implementation, and what it made of ours: see vectors/README.md."""

import json
from pathlib import Path
from typing import Any

import pytest

from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.sources.sparkplug import codec, commands, datatypes
from trunkline.sources.sparkplug.codec import Form, Metric
from trunkline.sources.sparkplug.datatypes import DataType, NoScalar
from trunkline.sources.sparkplug.nodes import Birth, KnownMetric

VECTORS = Path(__file__).parent / "vectors"
NOW = times.from_iso("2026-11-21T13:00:00Z")
THEIRS: list[dict[str, Any]] = json.loads((VECTORS / "pysparkplug.json").read_text())["cases"]
OURS: list[dict[str, Any]] = json.loads((VECTORS / "ours.json").read_text())["cases"]


def _value(metric: Metric, datatype: int | None) -> Any:
    if metric.null:
        return None
    if metric.form is Form.BYTES and isinstance(metric.raw, bytes):
        return {"hex": metric.raw.hex()}
    if metric.form in {Form.DATASET, Form.TEMPLATE}:
        return {"form": metric.form.name}
    return datatypes.value_of(metric, datatype)


def _is(told: Any, given: Any) -> bool:
    """Compare with sign of zero and type; lists came as bytes and are not looked into."""
    return (isinstance(given, dict) and "list" in given) or (type(told), repr(told)) == (type(given), repr(given))


@pytest.mark.parametrize("case", THEIRS, ids=lambda case: case["case"])
def test_their_bytes_are_understood(case: dict[str, Any]) -> None:
    """Field by field, what the other implementation was given to encode."""
    payload = codec.decode(bytes.fromhex(case["hex"]))
    assert (payload.timestamp, payload.seq) == (case["timestamp"], case["seq"])
    birth = Birth.of(codec.decode(bytes.fromhex(THEIRS[0]["hex"])))
    for metric, given in zip(payload.metrics, case["metrics"], strict=True):
        assert (metric.name, metric.alias, metric.timestamp) == (given["name"], given["alias"], given["timestamp"])
        assert (metric.historical, metric.transient, metric.null) == (given["historical"], given["transient"], given["null"])
        assert (metric.datatype, metric.quality) == (given["datatype"], given.get("quality"))
        known = birth.find(metric)
        datatype = metric.datatype or (known.datatype if known else None)
        assert _is(_value(metric, datatype), given["value"]), given


def test_every_data_type_is_there() -> None:
    """What cannot be a reading says so; the rest is decoded above."""
    payload = codec.decode(bytes.fromhex(THEIRS[0]["hex"]))
    scalars = {DataType(metric.datatype or 0) for metric in payload.metrics if datatypes.kind(metric.datatype)}
    assert scalars == {one for one in DataType if 1 <= one <= 15}
    for metric in payload.metrics:
        if not datatypes.kind(metric.datatype):
            with pytest.raises(NoScalar):
                datatypes.value_of(metric, metric.datatype)


@pytest.mark.parametrize(
    "case", [one for one in THEIRS if "data set" not in one["case"] and "qualities" not in one["case"]], ids=lambda one: one["case"]
)
def test_their_bytes_are_ours(case: dict[str, Any]) -> None:
    """Where we read every field, encoding again gives the same bytes."""
    data = bytes.fromhex(case["hex"])
    assert codec.encode(codec.decode(data)) == data


def test_what_is_not_looked_into_is_stepped_over() -> None:
    (case,) = [one for one in THEIRS if "data set" in one["case"]]
    payload = codec.decode(bytes.fromhex(case["hex"]))
    assert [metric.form for metric in payload.metrics] == [Form.DATASET, Form.TEMPLATE, Form.STRING]
    assert (payload.uuid, payload.body) == ("0194b6a0-0000-7000-8000-000000000002", b"\x01\x02")


@pytest.mark.parametrize("case", OURS, ids=lambda case: f"{case['case']}-{case.get('metric')}-{case.get('alias')}-{case.get('write')}")
def test_our_bytes_are_understood(case: dict[str, Any]) -> None:
    """We still send these bytes, and the other implementation read the value out of them that was to be written."""
    decoded = case["decoded"]
    moment = NOW // 1000
    assert (decoded["payload timestamp"], decoded["timestamp"], decoded["null"], decoded["historical"]) == (moment, moment, False, False)
    if case["case"] == "rebirth":
        assert commands.rebirth(NOW).hex() == case["hex"]
        assert (decoded["name"], decoded["datatype"], decoded["value"]) == ("Node Control/Rebirth", DataType.BOOLEAN, True)
        return
    known = KnownMetric(case["metric"], case["datatype"], case["alias"])
    assert commands.payload(commands.write(known, case["write"], NOW)).hex() == case["hex"]
    assert (decoded["datatype"], decoded["alias"]) == (case["datatype"], case["alias"])
    assert decoded["name"] == (case["metric"] if case["alias"] is None else None)
    assert _is(decoded["value"], _as_they_see(case["write"], case["datatype"]))


def _as_they_see(value: Value, datatype: int) -> Value:
    if datatype == DataType.FLOAT and isinstance(value, float):
        return datatypes.single(value)
    if datatype == DataType.DATETIME:
        return (times.from_iso(value) if isinstance(value, str) else int(value or 0)) // 1000
    return value
