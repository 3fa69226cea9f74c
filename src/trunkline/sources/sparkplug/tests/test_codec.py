"""The payload codec: what goes in comes out, and nothing that comes in does harm."""

import struct
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.sparkplug import codec, datatypes
from trunkline.sources.sparkplug.codec import Form, Metric, Payload
from trunkline.sources.sparkplug.datatypes import DataType, NoScalar
from trunkline.sources.sparkplug.wire import Undecodable, fixed_field, length_field, varint, varint_field

UINT64 = st.integers(0, 2**64 - 1)
UINT32 = st.integers(0, 2**32 - 1)
VALUES = st.one_of(
    st.tuples(st.just(Form.INT), UINT32),
    st.tuples(st.just(Form.LONG), UINT64),
    st.tuples(st.just(Form.FLOAT), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just(Form.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(Form.BOOLEAN), st.booleans()),
    st.tuples(st.just(Form.STRING), st.text()),
    st.tuples(st.just(Form.BYTES), st.binary()),
    st.just((None, None)),
)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    form, raw = draw(VALUES)
    return Metric(
        name=draw(st.none() | st.text()),
        alias=draw(st.none() | UINT64),
        timestamp=draw(st.none() | UINT64),
        datatype=draw(st.none() | UINT32),
        historical=draw(st.booleans()),
        transient=draw(st.booleans()),
        null=draw(st.booleans()),
        quality=draw(st.none() | UINT32),
        form=form,
        raw=raw,
    )


PAYLOADS = st.builds(
    Payload,
    timestamp=st.none() | UINT64,
    metrics=st.lists(metrics(), max_size=5).map(tuple),
    seq=st.none() | UINT64,
    uuid=st.none() | st.text(),
    body=st.none() | st.binary(),
)


@given(PAYLOADS)
def test_what_is_encoded_is_decoded(payload: Payload) -> None:
    assert codec.decode(codec.encode(payload)) == payload


@given(st.binary(max_size=300))
def test_any_bytes_are_a_payload_or_an_error(data: bytes) -> None:
    with suppress(Undecodable):
        codec.decode(data)


@given(PAYLOADS, st.data())
def test_damaged_payloads_are_payloads_or_errors(payload: Payload, data: st.DataObject) -> None:
    """Cut off anywhere, or with bytes changed."""
    whole = bytearray(codec.encode(payload))
    for place in data.draw(st.lists(st.integers(0, max(0, len(whole) - 1)), max_size=3)):
        if whole:
            whole[place] = data.draw(st.integers(0, 255))
    with suppress(Undecodable):
        codec.decode(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x12\xff\xff\xff\xff\x0f", "claims 4294967295 bytes where 0 are left"),
        (b"\x12\x05\x0a\x09abc", "claims 9 bytes where 3 are left"),
        (b"\x08", "cut off within a number"),
        (b"\x08" + b"\xff" * 11, "longer than 10 bytes"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x12\x03\x0a\x01\xff", "name of a metric is not UTF-8"),
        (b"\x12\x04\x6d\x00\x00\x00", "field 13"),
        (length_field(2, length_field(9, length_field(1, b"Quality"))), "'Quality' has no value"),
    ],
)
def test_the_error_says_what_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        codec.decode(data)


def test_unknown_fields_are_stepped_over() -> None:
    """Extensions of third parties, of every wire type, in the payload and in a metric; known numbers with another wire type, too."""
    strange = (
        varint_field(100, 5) + fixed_field(101, b"1234") + fixed_field(102, b"12345678") + length_field(103, b"x") + varint_field(10_000, 1)
    )
    metric = (
        length_field(1, b"Flow")
        + strange
        + length_field(3, b"no timestamp")
        + varint_field(13, 1)
        + fixed_field(13, struct.pack("<d", 1.5))
    )
    assert codec.decode(strange + length_field(2, metric) + length_field(3, b"")) == Payload(
        metrics=(Metric(name="Flow", form=Form.DOUBLE, raw=1.5),)
    )


def test_memory_is_bounded() -> None:
    """Two bytes make a metric: a message of megabytes must not become gigabytes."""
    metrics = b"\x12\x00" * 1_000_000
    tracemalloc.start()
    with pytest.raises(Undecodable, match="more than 100000 metrics"):
        codec.decode(metrics)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000
    with pytest.raises(Undecodable, match="more than 1000 properties"):
        codec.decode(length_field(2, length_field(9, b"\x0a\x00" * 1_001)))
    with pytest.raises(Undecodable, match="at most 16000000"):
        codec.decode(bytes(16_000_001))


@pytest.mark.parametrize(
    ("datatype", "form", "raw", "value"),
    [
        (DataType.INT8, Form.INT, 0xFF, -1),
        (DataType.INT8, Form.INT, 0xFFFFFFFF, -1),
        (DataType.INT8, Form.INT, 0xFFFFFF80, -128),
        (DataType.INT16, Form.INT, 0x8000, -32768),
        (DataType.INT16, Form.LONG, 2**64 - 1, -1),
        (DataType.INT32, Form.INT, 0x80000000, -(2**31)),
        (DataType.INT32, Form.LONG, 2**64 - 2**31, -(2**31)),
        (DataType.INT64, Form.LONG, 2**63, -(2**63)),
        (DataType.UINT32, Form.LONG, 2**32 - 1, 2**32 - 1),
        (DataType.UINT64, Form.LONG, 2**64 - 1, 2**64 - 1),
        (DataType.DOUBLE, Form.FLOAT, 0.5, 0.5),
    ],
)
def test_signed_numbers(datatype: DataType, form: Form, raw: int, value: int) -> None:
    """Two's complement of the type's width or of the field's: senders do either."""
    assert datatypes.value_of(Metric(form=form, raw=raw), datatype) == value


@pytest.mark.parametrize(
    ("datatype", "form", "raw"),
    [
        (DataType.INT8, Form.INT, 0x100),
        (DataType.INT8, Form.INT, 0xFFFFFF7F),
        (DataType.UINT8, Form.INT, 256),
        (DataType.INT32, Form.LONG, 2**32),
        (DataType.BOOLEAN, Form.INT, 1),
        (DataType.STRING, Form.DOUBLE, 1.0),
        (DataType.DOUBLE, Form.STRING, "1"),
        (DataType.INT64, None, None),
        (DataType.DOUBLE, None, None),
        (DataType.STRING, Form.BYTES, b"x"),
    ],
)
def test_values_of_another_type_are_refused(datatype: DataType, form: Form | None, raw: int) -> None:
    with pytest.raises(Undecodable, match=f"{datatype.name}|does not fit"):
        datatypes.value_of(Metric(form=form, raw=raw), datatype)


@given(st.sampled_from([one for one in DataType if datatypes.kind(one) == "integer"]), st.integers(-(2**65), 2**65))
def test_integers_are_written_without_loss_or_not_at_all(datatype: DataType, value: int) -> None:
    try:
        form, raw = datatypes.written(value, datatype)
    except OverflowError:
        return
    assert datatypes.value_of(Metric(form=form, raw=raw), datatype) == value
    assert isinstance(raw, int)
    assert len(varint(raw)) <= 10


@pytest.mark.parametrize(
    ("datatype", "value", "error"),
    [
        (DataType.INT8, 128, OverflowError),
        (DataType.UINT64, -1, OverflowError),
        (DataType.INT32, 1.5, TypeError),
        (DataType.INT32, True, TypeError),
        (DataType.BOOLEAN, 1, TypeError),
        (DataType.STRING, 1, TypeError),
        (DataType.DOUBLE, "1", TypeError),
        (DataType.DOUBLE, None, TypeError),
        (DataType.FLOAT, 1e39, OverflowError),
        (DataType.DATASET, 1, NoScalar),
        (None, 1, NoScalar),
        (99, 1, NoScalar),
    ],
)
def test_what_cannot_be_written_is_refused(datatype: int | None, value: float | str | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        datatypes.written(value, datatype)
