from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.model.reading import Kind
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.modbus.tests.support import configure, tag
from trunkline.sources.registers.address import Address, Table


def test_settings_of_the_source_stand_in_for_those_of_a_tag() -> None:
    """D-8, W-48, W-51: unit id, byte order, numbering base and interval are explicit, per tag where needed."""
    config = configure(
        [
            tag("A", "holding:1", "float32"),
            tag("B", "holding:3", "float32", unit_id=9, word_order="CDAB", poll_interval_ms=250),
            tag("C", 40_007, "uint16"),
        ],
        unit_id=5,
        numbering=1,
        word_order="DCBA",
        poll_interval_ms=2000,
    )
    first, second, third = config.tags
    assert config.place(first) == Address(Table.HOLDING, 0)
    assert (config.unit_of(first), config.order_of(first), config.interval_of(first)) == (5, "DCBA", 2000)
    assert (config.unit_of(second), config.order_of(second), config.interval_of(second)) == (9, "CDAB", 250)
    assert config.place(third) == Address(Table.HOLDING, 6)


def test_defaults_are_those_of_the_requirement() -> None:
    """W-51: poll interval 1000 ms."""
    config = ModbusConfig.model_validate({"id": "plc", "type": "modbus", "host": "plc.example"})
    assert (config.poll_interval_ms, config.max_registers, config.max_coils, config.max_gap, config.port) == (1000, 125, 2000, 0, 502)


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        (tag("A", "coil:1"), Kind.BOOLEAN),
        (tag("A", "00001"), Kind.BOOLEAN),
        (tag("A", "discrete:1"), Kind.BOOLEAN),
        (tag("A", "holding:1", "bool"), Kind.BOOLEAN),
        (tag("A", "holding:1", "bit(3)"), Kind.BOOLEAN),
        (tag("A", "holding:1", "string(8)"), Kind.TEXT),
        (tag("A", "holding:1", "uint16"), Kind.DOUBLE),
        (tag("A", "holding:1", "uint16", kind="integer"), Kind.INTEGER),
    ],
)
def test_a_kind_that_only_one_format_allows_need_not_be_written(section: dict[str, Any], kind: Kind) -> None:
    assert configure([section]).tags[0].value_kind is kind


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (tag("A", "holding:1"), ["a register needs a 'format'", "holding:1"]),
        (tag("A", "coil:1", "uint16"), ["tag A", "single bit", "use format: bool"]),
        (tag("A", "holding:1", "float32", kind="integer"), ["kind integer does not fit format float32", "use kind: double"]),
        (tag("A", "holding:1", "uint16", kind="text"), ["kind text does not fit format uint16", "double or integer"]),
        (tag("A", "holding:1", "string(4)", kind="double"), ["use kind: text"]),
        (tag("A", "coil:1", kind="double"), ["use kind: boolean"]),
        (tag("A", "holding:1", "uint16", kind="integer", scale=0.1), ["kind integer cannot hold a scaled value", "use kind: double"]),
        (tag("A", "holding:1", "bit(3)", scale=2), ["'scale' and 'offset' mean nothing for format bit(3)"]),
        (tag("A", "holding:1", "uint16", scale=0), ["scale 0"]),
        (tag("A", "holding:1", "int16", invalid=[0x8000]), ["invalid value 32768 can never come", "0x8000 write -32768"]),
        (tag("A", "holding:1", "uint16", invalid=[1.5]), ["invalid value 1.5 can never come"]),
        (tag("A", "holding:1", "string(4)", invalid=[0]), ["'invalid' means nothing"]),
        (tag("A", "holding:65535", "float32"), ["tag A", "beyond the last register"]),
        (tag("A", "holding:70000", "float32"), ["tag A", "beyond the last one, holding:65535"]),
        (tag("A", "holding:1", "string(20)"), ["tag A", "needs 10 registers at once", "max_registers"]),
        (tag("A", "holding:1", "uint16", unit_id=256), ["unit_id", "255"]),
        (tag("A", "holding:1", "uint16", scale=float("inf")), ["scale", "finite"]),
        (tag("A", "holding:1", "uint16", colour="red"), ["colour", "Extra inputs"]),
    ],
)
def test_a_tag_that_cannot_work_is_told_with_the_mend(section: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        configure([section], max_registers=8)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": ""}, ["needs 'host'"]),
        ({"baudrate": 9600}, ["baudrate: only for a serial line"]),
        ({"transport": "rtu"}, ["needs 'serial_port'"]),
        ({"transport": "rtu", "serial_port": "/dev/ttyUSB0"}, ["host, port: only for transport tcp"]),
        ({"transport": "udp"}, ["'tcp' or 'rtu'"]),
        ({"max_registers": 126}, ["125"]),
    ],
)
def test_a_line_that_cannot_work_is_told_with_the_mend(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        configure([], **options)
    for word in words:
        assert word in str(caught.value)


def test_nobody_answers_for_the_broadcast_address() -> None:
    with pytest.raises(ValidationError, match="unit id 0 is the broadcast address"):
        ModbusConfig.model_validate({"id": "x", "type": "modbus", "transport": "rtu", "serial_port": "/dev/ttyS0", "unit_id": 0})


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        (tag("A", "holding:100", "float32"), tag("B", "holding:101", "uint16"), "move B to holding:102"),
        (tag("A", "40001", "float64"), tag("B", "40003", "float32"), "move B to 40005"),
        (tag("A", "holding:7", "uint16"), tag("B", "holding:6", "int32"), "move A to holding:8"),
    ],
)
def test_tags_that_share_some_registers_are_a_slip(one: dict[str, Any], other: dict[str, Any], free: str) -> None:
    with pytest.raises(ValidationError, match="overlap") as caught:
        configure([one, other])
    assert free in str(caught.value)


def test_tags_of_exactly_the_same_registers_are_fine() -> None:
    bits = [tag(f"B{bit}", "holding:9", f"bit({bit})") for bit in range(16)]
    configure([tag("A", "holding:9", "uint16"), *bits, tag("C", "holding:10", "float32"), tag("D", "holding:10", "float32", scale=2)])
    configure([tag("A", "holding:9", "float32"), tag("B", "holding:10", "uint16", unit_id=2), tag("C", "input:10", "uint16")])


def test_every_faulty_tag_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        configure([tag("A", "holding:0", "uint16"), tag("B", "holding:65536", "float32"), tag("C", "coil:0")], numbering=1)
    assert "tag A" in str(caught.value)
    assert "tag B" in str(caught.value)
    assert "tag C" in str(caught.value)
