"""Avro schemas of the platform's records and the Confluent framing around them.

A framed value is one zero byte, the schema id as four bytes big-endian, then the Avro body. Ids below 1,000 are built in and the same
everywhere, so an offline gateway can always write and every site can always read (D-12, D-13).
"""

import struct
from typing import Any, Final

import fastavro

from trunkline.model.errors import CorruptData

_MAGIC: Final = 0
_FRAME = struct.Struct(">bI")
FRAME_BYTES: Final = _FRAME.size

BLOCK_ID: Final = 1
SINGLE_ID: Final = 2
EVENT_ID: Final = 3
ALARM_ID: Final = 4


def _array(items: str) -> dict[str, str]:
    return {"type": "array", "items": items}


_NAMESPACE = "io.trunkline"

#: Writers take the first branch that fits a Python value: long before double, or integers would lose their low bits.
_VALUE = ["null", "boolean", "long", "double", "string"]

#: One record, many readings of one partition, as columns. Empty columns mean "the default for every reading".
BLOCK: Final[dict[str, Any]] = {
    "type": "record",
    "name": "ReadingBlock",
    "namespace": _NAMESPACE,
    "doc": "Readings of one partition, column by column. Position i of every column speaks of reading i.",
    "fields": [
        {"name": "origin", "type": "string", "doc": "id of the edge journal that stored the readings first"},
        {"name": "first_seq", "type": "long", "doc": "base of seq"},
        {"name": "base_time", "type": "long", "doc": "base of time, µs UTC"},
        {"name": "sources", "type": _array("string"), "doc": "source ids"},
        {"name": "tags", "type": _array("string"), "doc": "tag paths used in this block"},
        {"name": "tag_source", "type": _array("int"), "doc": "per tag: index into sources"},
        {"name": "tag_kind", "type": _array("int"), "doc": "per tag: 0 double, 1 integer, 2 boolean, 3 text"},
        {"name": "tag", "type": _array("int"), "doc": "per reading: index into tags"},
        {"name": "seq", "type": _array("long"), "doc": "per reading: position in the edge journal minus first_seq"},
        {"name": "time", "type": _array("long"), "doc": "per reading: source time, else gateway time, minus base_time"},
        {"name": "delay", "type": _array("long"), "doc": "per reading: gateway time minus time; 0 when the device gave no time"},
        {"name": "quality", "type": _array("int"), "doc": "per reading; empty when every reading is GOOD"},
        {"name": "numbers", "type": _array("double"), "doc": "values of double tags in reading order; NaN where there is none"},
        {"name": "integers", "type": _array("long"), "doc": "values of integer and boolean tags in reading order"},
        {"name": "texts", "type": _array("string"), "doc": "values of text tags in reading order"},
        {"name": "absent", "type": _array("int"), "doc": "positions of readings that have no value"},
    ],
}

#: One record, one reading: what third parties write and read.
SINGLE: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Reading",
    "namespace": _NAMESPACE,
    "fields": [
        {"name": "tag", "type": "string"},
        {"name": "value", "type": _VALUE, "default": None},
        {"name": "quality", "type": "int", "default": 0},
        {"name": "source_time", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None},
        {"name": "gateway_time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "origin", "type": "string", "default": ""},
        {"name": "seq", "type": "long", "default": -1},
        {"name": "source", "type": "string", "default": ""},
    ],
}

_EVENT_FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "type", "type": "string"},
    {"name": "time", "type": "long"},
    {"name": "gateway_time", "type": "long"},
    {"name": "asset", "type": "string", "default": ""},
    {"name": "tag", "type": "string", "default": ""},
    {"name": "origin", "type": "string", "default": ""},
    {"name": "source", "type": "string", "default": ""},
    {"name": "text", "type": "string", "default": ""},
    {"name": "before", "type": _VALUE, "default": None},
    {"name": "after", "type": _VALUE, "default": None},
    {"name": "actor", "type": "string", "default": ""},
    {"name": "quality", "type": "int", "default": 0},
    {"name": "attributes", "type": {"type": "map", "values": _VALUE}, "default": {}},
    {"name": "correlation_id", "type": "string", "default": ""},
    {"name": "trace_id", "type": "string", "default": ""},
]

EVENT: Final[dict[str, Any]] = {"type": "record", "name": "Event", "namespace": _NAMESPACE, "fields": _EVENT_FIELDS}

ALARM: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Alarm",
    "namespace": _NAMESPACE,
    "fields": [
        *_EVENT_FIELDS,
        {"name": "severity", "type": "int"},
        {"name": "active", "type": "boolean", "default": True},
        {"name": "value", "type": _VALUE, "default": None},
        {"name": "threshold", "type": ["null", "double"], "default": None},
        {"name": "unit", "type": "string", "default": ""},
    ],
}

BY_ID: Final[dict[int, dict[str, Any]]] = {BLOCK_ID: BLOCK, SINGLE_ID: SINGLE, EVENT_ID: EVENT, ALARM_ID: ALARM}
PARSED: Final[dict[int, Any]] = {schema_id: fastavro.parse_schema(schema) for schema_id, schema in BY_ID.items()}


def frame(schema_id: int) -> bytes:
    """Return the five bytes that go before an Avro body."""
    return _FRAME.pack(_MAGIC, schema_id)


def schema_id_of(value: bytes) -> int:
    """Return the schema id of a framed value. Raises CorruptData when it is not framed."""
    if len(value) < FRAME_BYTES or value[0] != _MAGIC:
        raise CorruptData(f"not an Avro value with a schema id: it starts with {value[:5]!r}")
    return int(_FRAME.unpack_from(value)[1])
