from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.sources.registers.address import Address, Table
from trunkline.sources.xbee.config import XBeeConfig
from trunkline.sources.xbee.tests.radio import NODE, OTHER_NODE
from trunkline.sources.xbee.tests.support import configure, tag

FOUR = {40001: "bytes 0 to 3"}


@pytest.mark.parametrize(
    "written", ["0013A20041AEB54E", "0013A200 41AEB54E", "0x0013a20041aeb54e", "00:13:A2:00:41:AE:B5:4E", "0013a200-41aeb54e"]
)
def test_an_address_may_be_written_as_it_is_printed(written: str) -> None:
    """W-48: node_id."""
    assert configure(FOUR, node_id=written).node_id == NODE


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("0013A200", ["half of an address", "same for all", "SH", "SL"]),
        ("0013A20041AEB5", ["has 14 digits"]),
        ("0013A20041AEB54G", ["is no address"]),
        ("0013A200FFFF", ["has 12 digits"]),
        ("000000000000FFFF", ["stands for no single radio"]),
        ("", ["has 0 digits"]),
    ],
)
def test_an_address_that_names_no_radio_is_told_with_the_mend(written: str, words: list[str]) -> None:
    """D-8: the maker's shared upper half 0013A200 is refused; the full 64-bit address is asked for."""
    with pytest.raises(ValidationError) as caught:
        configure(FOUR, node_id=written)
    for word in [*words, "16 digits"]:
        assert word in str(caught.value)


def test_defaults_are_those_of_the_requirement() -> None:
    """W-48, W-51: 9600 bits per second; polling only where it is asked for."""
    config = XBeeConfig.model_validate({"id": "x", "type": "xbee", "port": "/dev/ttyUSB0", "node_id": NODE})
    assert (config.baud_rate, config.api_mode, config.poll_interval_ms, config.unit_id) == (9600, 1, None, 1)


def test_settings_of_the_source_stand_in_for_those_of_a_radio_or_tag() -> None:
    """D-8, W-49: register map, unit id, byte order and numbering base are explicit, per radio or tag where needed."""
    config = configure(
        {"holding:1": "bytes 0 to 3"},
        [tag("A", "holding:1", "float32"), tag("B", 40001, "uint16", unit_id=9, word_order="CDAB")],
        nodes=[{"unit_id": 5, "node_id": NODE}, {"unit_id": 9, "node_id": OTHER_NODE, "registers": {40001: "bytes 8 to 9"}}],
        unit_id=5,
        numbering=1,
        word_order="DCBA",
    )
    first, second = config.tags
    assert (config.place(first), config.place(second)) == (Address(Table.HOLDING, 0), Address(Table.HOLDING, 0))
    assert (config.unit_of(first), config.layout_of(first).order) == (5, "DCBA")
    assert (config.unit_of(second), config.layout_of(second).order) == (9, "CDAB")
    assert {unit: str(radio) for unit, radio in config.radios.items()} == {5: NODE, 9: OTHER_NODE}


@pytest.mark.parametrize(
    ("registers", "section", "words"),
    [
        (FOUR, tag("A", 40001), ["a register needs a 'format'"]),
        (FOUR, tag("A", 40003, "uint16"), ["tag A", "register 40003 (holding:2 counted from 0) is not mapped", "add it to 'registers'"]),
        (FOUR, tag("A", 40002, "float32"), ["tag A", "register 40003 (holding:2 counted from 0) is not mapped"]),
        (FOUR, tag("A", 30001, "uint16"), ["register 30001 (input:0 counted from 0) is not mapped"]),
        (FOUR, tag("A", 40001, "float32", unit_id=2), ["no radio has unit id 2", "'nodes' (1)"]),
        ({40001: "byte 4"}, tag("A", 40001, "int16"), ["a single byte has no sign", "uint16"]),
        ({40001: "byte 4", 40002: "byte 5"}, tag("A", 40001, "uint32"), ["single byte, is one register"]),
        ({40001: "analog 1", 40002: "analog 2"}, tag("A", 40001, "float32"), ["an input", "is one register"]),
        ({10001: "digital 1"}, tag("A", 10001, "uint16"), ["single bit", "use format: bool"]),
        (FOUR, tag("A", 40001, "float32", colour="red"), ["colour", "Extra inputs"]),
    ],
)
def test_a_tag_that_cannot_work_is_told_with_the_mend(registers: dict[Any, Any], section: dict[str, Any], words: list[str]) -> None:
    """W-49: a tag is held to the register map."""
    with pytest.raises(ValidationError) as caught:
        configure(registers, [section])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ({40001: "bytes 0 to 2"}, ["3 bytes", "even number of bytes, or one"]),
        ({40001: "bytes 3 to 0"}, ["the last byte is 3 to 2047"]),
        ({40001: "0-3"}, ["'0-3' names neither", "'bytes 0 to 3'"]),
        ({40001: "analog 8"}, ["analog inputs are 0 to 7"]),
        ({40001: "digital 16"}, ["digital inputs are 0 to 15"]),
        ({40001: "bytes 0 to 3", 40002: "bytes 4 to 5"}, ["register 40002 (holding:1 counted from 0) is filled twice"]),
        ({40001: "bytes 0 to 1", "holding:0": "bytes 2 to 3"}, ["register 40001 (holding:0 counted from 0) is filled twice"]),
        ({49999: "bytes 0 to 3", "holding:65535": "bytes 4 to 7"}, ["reaches beyond the last register"]),
        ({"coil:1": "bytes 0 to 1"}, ["00002 (coil:1 counted from 0) is a single bit", "read bit(N)"]),
        ({"coil:1": "analog 1"}, ["coil:1 counted from 0) is a single bit"]),
        ({7: "bytes 0 to 1"}, ["does not say which table"]),
        ({40001: {"at": "bytes 0 to 1", "prefix": "52"}}, ["'prefix' is for registers that are written"]),
        ({40001: {"at": "analog 1", "writable": True}}, ["'analog 1' cannot be written"]),
        ({40001: {"at": "byte 1", "writable": True}}, ["'byte 1' cannot be written"]),
        ({40001: {"at": "bytes 0 to 1", "writable": True, "prefix": "5"}}, ["not a row of bytes", "'52 01'"]),
        ({30001: {"at": "bytes 0 to 1", "writable": True}}, ["input registers are read-only"]),
        ({40001: {"at": "bytes 0 to 1", "writable": True}, 40002: {"at": "bytes 2 to 3", "writable": True}}, ["one 'prefix' apart"]),
        ({40001: {"at": "bytes 0 to 1", "writeable": True}}, ["writeable", "Extra inputs"]),
    ],
)
def test_a_map_that_cannot_work_is_told_with_the_mend(registers: dict[Any, Any], words: list[str]) -> None:
    """W-44, W-49: virtual registers."""
    with pytest.raises(ValidationError) as caught:
        configure(registers)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"node_id": None}, ["give either 'node_id'", "or 'nodes'"]),
        ({"node_id": NODE, "nodes": [{"unit_id": 1, "node_id": OTHER_NODE}]}, ["give either 'node_id'"]),
        ({"nodes": [{"unit_id": 1, "node_id": NODE}, {"unit_id": 1, "node_id": OTHER_NODE}]}, ["unit_id 1 is given twice"]),
        ({"nodes": [{"unit_id": 1, "node_id": NODE}, {"unit_id": 2, "node_id": NODE}]}, [f"node_id {NODE} is given twice"]),
        ({"api_mode": 3}, ["api_mode", "1 or 2"]),
        ({"port": ""}, ["port"]),
        ({"poll_request": "01"}, ["every 'poll_interval_ms'"]),
        ({"poll_interval_ms": 1000}, ["needs 'poll_request'"]),
    ],
)
def test_a_source_that_cannot_work_is_told_with_the_mend(options: dict[str, Any], words: list[str]) -> None:
    """W-48, W-51: connection and polling."""
    with pytest.raises(ValidationError) as caught:
        configure(FOUR, **options)
    for word in words:
        assert word in str(caught.value)


def test_inputs_are_polled_without_a_request_of_ones_own() -> None:
    """W-51: the module itself knows how to ask for inputs."""
    assert configure({30001: "analog 1"}, poll_interval_ms=1000).poll_interval_ms == 1000
