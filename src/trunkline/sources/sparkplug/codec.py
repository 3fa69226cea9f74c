"""The Sparkplug B payload: bytes to metrics and back, without input or output (Eclipse Sparkplug 3.0.0, 6.4: sparkplug_b.proto).

What is not needed to read values is stepped over: metadata, properties other than the quality, the inside of data sets and templates,
extensions, and every field that this version does not know. Values stay as they are on the wire (`Form`); what they mean says the
datatype, which data messages leave to the birth: see `datatypes`.
"""

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from trunkline.sources.sparkplug.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    UINT32_MASK,
    VARINT,
    Undecodable,
    fields,
    fixed_field,
    length_field,
    text,
    varint_field,
)

#: A birth of a large edge node has thousands of metrics. Each costs two bytes on the wire and a hundred times that in memory.
MAX_METRICS: Final = 100_000
#: Properties of one metric.
MAX_PROPERTIES: Final = 1_000
#: Longest payload that is looked into.
MAX_BYTES: Final = 16_000_000

_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_QUALITY_KEY: Final = b"Quality"


class Form(IntEnum):
    """Which field of `Metric` holds the value, by its number in sparkplug_b.proto."""

    INT = 10
    LONG = 11
    FLOAT = 12
    DOUBLE = 13
    BOOLEAN = 14
    STRING = 15
    BYTES = 16
    DATASET = 17
    TEMPLATE = 18
    EXTENSION = 19


#: A value as it is on the wire; integers unsigned. None for forms that are not looked into.
Raw: TypeAlias = int | float | bool | str | bytes | None

#: Wire type of each form, and how its value comes out of the varint or the content of the field.
_FORMS: Final[dict[Form, tuple[int, Callable[[int, memoryview], Raw]]]] = {
    Form.INT: (VARINT, lambda value, _: value & UINT32_MASK),
    Form.LONG: (VARINT, lambda value, _: value),
    Form.FLOAT: (FIXED32, lambda _, content: float(_FLOAT.unpack(content)[0])),
    Form.DOUBLE: (FIXED64, lambda _, content: float(_DOUBLE.unpack(content)[0])),
    Form.BOOLEAN: (VARINT, lambda value, _: value != 0),
    Form.STRING: (LENGTH, lambda _, content: text(content, "the value of a metric")),
    Form.BYTES: (LENGTH, lambda _, content: bytes(content)),
    Form.DATASET: (LENGTH, lambda _value, _content: None),
    Form.TEMPLATE: (LENGTH, lambda _value, _content: None),
    Form.EXTENSION: (LENGTH, lambda _value, _content: None),
}


class Metric(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One metric of a payload (6.4.6).

    Attributes:
        name: in births; absent where an alias stands for it.
        alias: number that stands for the name until the next birth.
        timestamp: when the value was acquired, ms UTC.
        datatype: see `datatypes.DataType`; usually in births only.
        historical: the value is late and not the present one.
        transient: the value is not meant to be kept.
        null: there is no value.
        quality: the property 'Quality' (6.4.9.1) as on the wire; None where it is absent.
        form: which field holds the value; None where there is none.
        raw: the value on the wire.
    """

    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    datatype: int | None = None
    historical: bool = False
    transient: bool = False
    null: bool = False
    quality: int | None = None
    form: Form | None = None
    raw: Raw = None


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """A Sparkplug B payload (6.4.5).

    Attributes:
        timestamp: when the message was sent, ms UTC.
        metrics: in the order sent.
        seq: sequence number, 0 to 255 where the sender keeps to the standard.
        uuid, body: carried, not interpreted.
    """

    timestamp: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    uuid: str | None = None
    body: bytes | None = None


def decode(data: bytes) -> Payload:
    """Decode a payload. Raises Undecodable, whatever the bytes are; time and memory are bounded by `MAX_BYTES` and `MAX_METRICS`."""
    if len(data) > MAX_BYTES:
        raise Undecodable(f"{len(data)} bytes: at most {MAX_BYTES} are looked into")
    timestamp = seq = uuid = body = None
    metrics: list[Metric] = []
    for number, wire_type, value, content in fields(memoryview(data)):
        match number, wire_type:
            case 1, 0:
                timestamp = value
            case 2, 2:
                if len(metrics) == MAX_METRICS:
                    raise Undecodable(f"more than {MAX_METRICS} metrics in one message")
                metrics.append(_metric(content))
            case 3, 0:
                seq = value
            case 4, 2:
                uuid = text(content, "the uuid")
            case 5, 2:
                body = bytes(content)
    return Payload(timestamp=timestamp, metrics=tuple(metrics), seq=seq, uuid=uuid, body=body)


def _metric(data: memoryview) -> Metric:
    name = alias = timestamp = datatype = quality = form = None
    historical = transient = null = False
    raw: Raw = None
    for number, wire_type, value, content in fields(data):
        match number, wire_type:
            case 1, 2:
                name = text(content, "the name of a metric")
            case 2, 0:
                alias = value
            case 3, 0:
                timestamp = value
            case 4, 0:
                datatype = value & UINT32_MASK
            case 5, 0:
                historical = value != 0
            case 6, 0:
                transient = value != 0
            case 7, 0:
                null = value != 0
            case 9, 2:
                quality = _quality(content)
            case _ if Form.INT <= number <= Form.EXTENSION and wire_type == _FORMS[Form(number)][0]:
                form = Form(number)
                raw = _FORMS[form][1](value, content)
    return Metric(
        name=name,
        alias=alias,
        timestamp=timestamp,
        datatype=datatype,
        historical=historical,
        transient=transient,
        null=null,
        quality=quality,
        form=form,
        raw=raw,
    )


def _quality(properties: memoryview) -> int | None:
    """Return the value of the key 'Quality' of a PropertySet (6.4.8): keys and values are lists that belong together by place."""
    place, keys = None, 0
    for number, wire_type, _, content in fields(properties):
        if (number, wire_type) == (1, LENGTH):
            if bytes(content) == _QUALITY_KEY:
                place = keys
            keys += 1
            if keys > MAX_PROPERTIES:
                raise Undecodable(f"more than {MAX_PROPERTIES} properties of one metric")
    if place is None:
        return None
    values = (content for number, wire_type, _, content in fields(properties) if (number, wire_type) == (2, LENGTH))
    for index, content in enumerate(values):
        if index == place:
            return _property_number(content)
    raise Undecodable("the property 'Quality' has no value")


def _property_number(data: memoryview) -> int | None:
    """Return the int_value or long_value of a PropertyValue."""
    for number, wire_type, value, _ in fields(data):
        if wire_type == VARINT and number in {3, 4}:
            return value & UINT32_MASK if number == 3 else value
    return None


def encode(payload: Payload) -> bytes:
    """Encode a payload; values of forms that are not looked into are left out."""
    out = bytearray()
    if payload.timestamp is not None:
        out += varint_field(1, payload.timestamp)
    for metric in payload.metrics:
        out += length_field(2, _encode_metric(metric))
    if payload.seq is not None:
        out += varint_field(3, payload.seq)
    if payload.uuid is not None:
        out += length_field(4, payload.uuid.encode())
    if payload.body is not None:
        out += length_field(5, payload.body)
    return bytes(out)


def _encode_metric(metric: Metric) -> bytes:
    out = bytearray()
    if metric.name is not None:
        out += length_field(1, metric.name.encode())
    for number, value in ((2, metric.alias), (3, metric.timestamp), (4, metric.datatype)):
        if value is not None:
            out += varint_field(number, value)
    for number, flag in ((5, metric.historical), (6, metric.transient), (7, metric.null)):
        if flag:
            out += varint_field(number, 1)
    if metric.quality is not None:
        out += length_field(9, _encode_quality(metric.quality))
    return bytes(out) + _encode_raw(metric.form, metric.raw)


def _encode_quality(quality: int) -> bytes:
    """Return a PropertySet with the key 'Quality' and an Int32 (type 3), as 6.4.9.1 has it."""
    return length_field(1, _QUALITY_KEY) + length_field(2, varint_field(1, 3) + varint_field(3, quality & UINT32_MASK))


def _encode_raw(form: Form | None, raw: Raw) -> bytes:
    match form, raw:
        case ((None | Form.DATASET | Form.TEMPLATE | Form.EXTENSION), _):
            return b""
        case ((Form.INT | Form.LONG | Form.BOOLEAN), int()):
            return varint_field(form, int(raw))
        case ((Form.FLOAT | Form.DOUBLE), (float() | int())):
            return fixed_field(form, (_FLOAT if form is Form.FLOAT else _DOUBLE).pack(raw))
        case Form.STRING, str():
            return length_field(form, raw.encode())
        case Form.BYTES, bytes():
            return length_field(form, raw)
        case _:
            raise TypeError(f"{type(raw).__name__} does not go into the field of form {form}")
