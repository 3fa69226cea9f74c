import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading, Value
from trunkline.sources.modbus.sheet import Member, Outcome, Part, Sheet
from trunkline.sources.registers.address import FORMATS, WordOrder, parse_format
from trunkline.sources.registers.codec import Layout, encode, encode_bits

NOW = 1_700_000_000_000_000
ORDERS: tuple[WordOrder, ...] = ("ABCD", "CDAB", "BADC", "DCBA")


def layout(form: str, order: WordOrder = "ABCD", kind: Kind | None = None, **more: Any) -> Layout:
    shape = parse_format(form)
    implied = Kind.BOOLEAN if shape.is_boolean else Kind.TEXT if shape.name == "string" else Kind.DOUBLE
    return Layout("A", shape, order, implied if kind is None else kind, **more)


def registers(members: Sequence[Member], wire: bytes) -> list[Reading]:
    return Sheet([Part(False, len(wire) // 2, tuple(members))]).scan([Outcome(wire, 0, NOW)]).readings()


def decode(wire: bytes, how: Layout) -> tuple[Value, int]:
    (reading,) = registers([Member(0, how)], wire)
    assert (reading.tag, reading.source_time, reading.gateway_time) == ("A", None, NOW)
    return reading.value, reading.quality


@pytest.mark.parametrize(
    ("form", "order", "wire", "value"),
    [
        ("uint32", "ABCD", "0a0b 0c0d", 0x0A0B0C0D),
        ("uint32", "CDAB", "0c0d 0a0b", 0x0A0B0C0D),
        ("uint32", "BADC", "0b0a 0d0c", 0x0A0B0C0D),
        ("uint32", "DCBA", "0d0c 0b0a", 0x0A0B0C0D),
        ("int64", "ABCD", "0102 0304 0506 0708", 0x0102030405060708),
        ("int64", "CDAB", "0708 0506 0304 0102", 0x0102030405060708),
        ("int64", "BADC", "0201 0403 0605 0807", 0x0102030405060708),
        ("int64", "DCBA", "0807 0605 0403 0201", 0x0102030405060708),
        ("int16", "ABCD", "fffe", -2),
        ("int16", "CDAB", "fffe", -2),
        ("int16", "BADC", "feff", -2),
        ("int16", "DCBA", "feff", -2),
    ],
)
def test_the_four_orders(form: str, order: WordOrder, wire: str, value: int) -> None:
    """D-8: byte and word order are explicit; float32 over two registers is ambiguous without."""
    how = layout(form, order, Kind.INTEGER)
    assert decode(bytes.fromhex(wire), how) == (value, Quality.GOOD)
    assert encode(value, how) == bytes.fromhex(wire)


@pytest.mark.parametrize(("order", "wire"), [("ABCD", "4248f5c3"), ("CDAB", "f5c34248"), ("BADC", "4842c3f5"), ("DCBA", "c3f54842")])
def test_a_float_in_the_four_orders(order: WordOrder, wire: str) -> None:
    value, quality = decode(bytes.fromhex(wire), layout("float32", order))
    assert value == pytest.approx(50.24, abs=1e-5)
    assert quality == Quality.GOOD


@pytest.mark.parametrize("wire", ["7fc00000", "7f800000", "ff800000"])
def test_nan_and_infinities_are_bad_without_a_value(wire: str) -> None:
    assert decode(bytes.fromhex(wire), layout("float32")) == (None, Quality.BAD_NOT_FINITE)


def test_one_nan_spoils_only_its_own_reading() -> None:
    members = [Member(0, layout("float64")), Member(4, layout("float64")._replace(path="B")), Member(8, layout("int16")._replace(path="C"))]
    wire = struct.pack(">ddh", math.nan, 2.5, 7)
    assert {one.tag: (one.value, one.quality) for one in registers(members, wire)} == {
        "A": (None, Quality.BAD_NOT_FINITE),
        "B": (2.5, 0),
        "C": (7.0, 0),
    }


def test_large_finite_values_whose_sum_overflows_stay_good() -> None:
    members = [Member(0, layout("float64")), Member(4, layout("float64")._replace(path="B"))]
    readings = registers(members, struct.pack(">dd", 1.7e308, 1.7e308))
    assert [(one.value, one.quality) for one in readings] == [(1.7e308, 0), (1.7e308, 0)]


def test_an_unsigned_integer_beyond_64_signed_bits_is_bad_and_not_rounded() -> None:
    """The platform's integers are signed 64 bit without loss."""
    how = layout("uint64", kind=Kind.INTEGER)
    assert decode(struct.pack(">Q", 2**63 - 1), how) == (2**63 - 1, Quality.GOOD)
    assert decode(struct.pack(">Q", 2**63), how) == (None, Quality.BAD_TYPE)
    assert decode(struct.pack(">Q", 2**63), layout("uint64")) == (float(2**63), Quality.GOOD)


@pytest.mark.parametrize(
    ("how", "wire", "expected"),
    [
        (layout("int16", scale=0.1, offset=-5.0), "00fa", (20.0, Quality.GOOD)),
        (layout("uint16", scale=0.5), "0003", (1.5, Quality.GOOD)),
        (layout("uint16", kind=Kind.INTEGER, scale=10.0, offset=1.0), "0003", (31, Quality.GOOD)),
        (layout("int64", kind=Kind.INTEGER, scale=4.0), "7fffffffffffffff", (None, Quality.BAD_TYPE)),
        (layout("float64", scale=10.0), "7fe0000000000000", (None, Quality.BAD_NOT_FINITE)),
        (layout("int16", invalid=(-32_768,)), "8000", (None, Quality.BAD_SENSOR_FAULT)),
        (layout("int16", invalid=(-32_768,), scale=0.5), "0003", (1.5, Quality.GOOD)),
        (layout("float32", invalid=(9.969_209_968_386_869e36,)), "7cf00000", (None, Quality.BAD_SENSOR_FAULT)),
        (layout("float32", invalid=(0.1,)), "3dcccccd", (None, Quality.BAD_SENSOR_FAULT)),
        (layout("float32", invalid=(0.1,)), "7fc00000", (None, Quality.BAD_NOT_FINITE)),
        (layout("bool"), "0000", (False, Quality.GOOD)),
        (layout("bool"), "0100", (True, Quality.GOOD)),
        (layout("bit(0)"), "0001", (True, Quality.GOOD)),
        (layout("bit(15)"), "7fff", (False, Quality.GOOD)),
        (layout("bit(8)", "BADC"), "0001", (True, Quality.GOOD)),
        (layout("bits(4,3)", kind=Kind.INTEGER), "00d0", (5, Quality.GOOD)),
        (layout("bits(4,3)"), "00d0", (5.0, Quality.GOOD)),
        (layout("bits(4,3)", kind=Kind.INTEGER, invalid=(7,)), "ff7f", (None, Quality.BAD_SENSOR_FAULT)),
        (layout("string(8)"), "50756d7020310000", ("Pump 1", Quality.GOOD)),
        (layout("string(8)"), "50756d7020312020", ("Pump 1", Quality.GOOD)),
        (layout("string(8)", "BADC"), "7550706d31200000", ("Pump 1", Quality.GOOD)),
        (layout("string(8)", "CDAB"), "50756d7020310000", ("Pump 1", Quality.GOOD)),
        (layout("string(3)"), "41424358", ("ABC", Quality.GOOD)),
        (layout("string(4)"), "32b04300", (None, Quality.BAD_DECODING)),
        (layout("string(4)", encoding="latin-1"), "32b04300", ("2°C", Quality.GOOD)),
        (layout("string(4)"), "00000000", ("", Quality.GOOD)),
    ],
)
def test_what_registers_mean(how: Layout, wire: str, expected: tuple[Value, int]) -> None:
    """W-49: type and scale; sentinels, bit fields and strings."""
    value, quality = decode(bytes.fromhex(wire), how)
    assert (value, quality) == expected
    assert type(value) is type(expected[0])


numbers = st.sampled_from([*(name for name in FORMATS if name != "bool"), "bool", "string(6)"])


@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    form, order = data.draw(numbers), data.draw(st.sampled_from(ORDERS))
    shape = parse_format(form)
    value: Value
    if shape.name == "string":
        value = data.draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=6))
        how = layout(form, order)
    elif shape.name == "bool":
        value, how = data.draw(st.booleans()), layout(form, order)
    elif shape.is_float:
        value, how = data.draw(st.floats(width=32, allow_nan=False, allow_infinity=False)), layout(form, order)
    else:
        low, high = shape.limits
        value, how = data.draw(st.integers(low, min(high, 2**63 - 1))), layout(form, order, Kind.INTEGER)
    assert decode(encode(value, how), how) == (value, Quality.GOOD)


@given(st.lists(st.tuples(numbers, st.sampled_from(ORDERS), st.integers(0, 3)), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_a_block_gives_what_its_tags_give_alone(shapes: list[tuple[str, WordOrder, int]], random: Any) -> None:
    """However many tags of whatever formats share a block, with holes or not, each is decoded as if alone."""
    members, at = [], 0
    for number, (form, order, hole) in enumerate(shapes):
        how = layout(form, order, scale=random.choice([1.0, 0.25]) if form in ("int16", "float32") else 1.0)._replace(path=f"T{number}")
        members.append(Member(at + hole, how))
        at += hole + how.format.registers
    wire = random.randbytes(2 * at)
    together = {one.tag: (one.value, one.quality) for one in registers(members, wire)}
    for position, how in members:
        (alone,) = registers([Member(0, how)], wire[2 * position : 2 * (position + how.format.registers)])
        assert together[how.path] == (alone.value, alone.quality)
    assert len(together) == len(members)


@given(st.lists(st.tuples(numbers, st.sampled_from(ORDERS), st.booleans()), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_a_scan_gives_what_its_requests_give_alone(shapes: list[tuple[str, WordOrder, bool]], random: Any) -> None:
    """Requests of registers and of coils, answered and not: each is decoded as if alone."""
    parts, outcomes = [Part(True, 11, (Member(9, layout("bool")._replace(path="COIL")),))], [Outcome(b"\x00\x02", 0, NOW)]
    for number, (form, order, answered) in enumerate(shapes):
        how = layout(form, order)._replace(path=f"T{number}")
        parts.append(Part(False, how.format.registers, (Member(0, how),)))
        payload = random.randbytes(parts[-1].bytes) if answered else None
        outcomes.append(Outcome(payload, 0 if answered else Quality.BAD_TIMEOUT, NOW + number))
    together = {one.tag: one for one in Sheet(parts).scan(outcomes)}
    assert (together["COIL"].value, together["COIL"].quality) == (True, Quality.GOOD)
    for part, outcome in zip(parts, outcomes, strict=True):
        (alone,) = Sheet([part]).scan([outcome])
        assert together[alone.tag] == alone
        assert alone.gateway_time == outcome.at
        assert outcome.payload is not None or (alone.value, alone.quality) == (None, Quality.BAD_TIMEOUT)


@given(st.lists(st.booleans(), min_size=1, max_size=100), st.data())
def test_coils_come_from_their_bits(bits: list[bool], data: st.DataObject) -> None:
    wire = sum(bit << position for position, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")
    chosen = data.draw(st.lists(st.integers(0, len(bits) - 1), min_size=1, unique=True))
    part = Part(True, len(bits), tuple(Member(at, layout("bool")._replace(path=f"C{at}")) for at in chosen))
    readings = Sheet([part]).scan([Outcome(wire, 0, NOW)])
    assert [(one.tag, one.value) for one in readings] == [(f"C{at}", bits[at]) for at in chosen]


@pytest.mark.parametrize(
    ("value", "how", "why"),
    [
        (40_000, layout("int16", kind=Kind.INTEGER), "int16 holds -32768 to 32767"),
        (-1, layout("uint16"), "uint16 holds 0 to 65535"),
        (1.5, layout("uint16"), "not a whole number"),
        (7000.0, layout("uint16", scale=0.1), "needs the raw value 70000"),
        (math.nan, layout("float32"), "not a number"),
        (math.inf, layout("float64"), "not a number"),
        (1e39, layout("float32"), "too large for float32"),
        ("12", layout("uint16"), "not a number"),
        (True, layout("uint16"), "not a number"),
        (None, layout("uint16"), "nothing to write"),
        ("too long", layout("string(4)"), "does not fit string\\(4\\)"),
        (5, layout("string(4)"), "not a text"),
        (2, layout("bool"), "neither true nor false"),
        ("on", layout("bool"), "neither true nor false"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_reason(value: Value, how: Layout, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        encode(value, how)


def test_scaled_values_are_written_as_the_nearest_raw_value() -> None:
    assert encode(20.04, layout("int16", scale=0.1, offset=-5.0)) == (250).to_bytes(2, "big")


@given(st.integers(0, 0xFFFF), st.integers(0, 15), st.data())
def test_writing_a_bit_field_leaves_its_neighbours_alone(register: int, first: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 16 - first))
    value = data.draw(st.integers(0, (1 << count) - 1))
    and_mask, or_mask = encode_bits(value, layout(f"bits({first},{count})"))
    after = (register & and_mask) | (or_mask & ~and_mask)  # V1.1b3, 6.16
    field = ((1 << count) - 1) << first
    assert (after & field) >> first == value
    assert after & ~field & 0xFFFF == register & ~field & 0xFFFF


@pytest.mark.parametrize("value", [8, -1, 1.5, None, "1"])
def test_a_bit_field_refuses_what_does_not_fit(value: Value) -> None:
    with pytest.raises(ValueError):
        encode_bits(value, layout("bits(4,3)"))
