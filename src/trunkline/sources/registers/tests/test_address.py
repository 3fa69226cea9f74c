import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.registers.address import Address, Table, parse_address, parse_format


@pytest.mark.parametrize(
    ("text", "base", "place"),
    [
        ("holding:100", 0, Address(Table.HOLDING, 100)),
        ("holding:100", 1, Address(Table.HOLDING, 99)),
        ("input:3", 0, Address(Table.INPUT, 3)),
        ("coil:7", 0, Address(Table.COIL, 7)),
        ("discrete:2", 1, Address(Table.DISCRETE, 1)),
        ("holding:65535", 0, Address(Table.HOLDING, 65_535)),
        ("holding:65536", 1, Address(Table.HOLDING, 65_535)),
        ("40001", 0, Address(Table.HOLDING, 0)),
        ("40001", 1, Address(Table.HOLDING, 0)),
        ("400001", 0, Address(Table.HOLDING, 0)),
        ("465536", 0, Address(Table.HOLDING, 65_535)),
        ("30017", 0, Address(Table.INPUT, 16)),
        ("10001", 0, Address(Table.DISCRETE, 0)),
        ("00001", 0, Address(Table.COIL, 0)),
    ],
)
def test_an_address_names_one_place_on_the_wire(text: str, base: int, place: Address) -> None:
    """D-8: function code and numbering base are explicit; the classic notation counts from 1 whatever the base."""
    assert parse_address(text, base) == place


@pytest.mark.parametrize(
    ("text", "base", "mend"),
    [
        ("holding:0", 1, "below the first one, holding:1, because 'numbering' is 1"),
        ("holding:65536", 0, "beyond the last one, holding:65535"),
        ("40000", 0, "below the first one, 40001"),
        ("465537", 0, "beyond the last one, 465536"),
        ("7", 0, "does not say which table: use 'holding:100'"),
        ("20001", 0, "does not say which table"),
        ("register 5", 0, "unknown address 'register 5': use 'holding:100'"),
        ("holding:-1", 0, "unknown address"),
        ("holding:\u0661", 0, "unknown address"),
        ("", 0, "unknown address"),
    ],
)
def test_a_wrong_address_says_how_to_write_it(text: str, base: int, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        parse_address(text, base)


@given(st.sampled_from(Table), st.integers(0, 65_535))
def test_written_and_parsed_is_the_same_place(table: Table, number: int) -> None:
    assert parse_address(str(Address(table, number))) == Address(table, number)


@given(st.text(max_size=12))
def test_any_text_is_an_address_or_a_plain_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= parse_address(text).number <= 65_535


@pytest.mark.parametrize(
    ("text", "registers", "limits"),
    [
        ("int16", 1, (-32_768, 32_767)),
        ("uint16", 1, (0, 65_535)),
        ("uint32", 2, (0, 2**32 - 1)),
        ("int64", 4, (-(2**63), 2**63 - 1)),
        ("float64", 4, (0, 2**64 - 1)),
        ("string(7)", 4, (0, 2**64 - 1)),
        ("bit(15)", 1, (0, 1)),
        ("bits(4,3)", 1, (0, 7)),
        ("bits(0, 16)", 1, (0, 65_535)),
    ],
)
def test_formats_cover_their_registers(text: str, registers: int, limits: tuple[int, int]) -> None:
    shape = parse_format(text)
    assert (shape.registers, shape.limits) == (registers, limits)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("real", "unknown format 'real': use bool, int16"),
        ("string(0)", "1 to 250 bytes"),
        ("string(251)", "1 to 250 bytes"),
        ("bit(16)", "0 \\(least significant\\) to 15"),
        ("bits(10,7)", "leaves the register"),
        ("bits(3,0)", "leaves the register"),
    ],
)
def test_a_wrong_format_says_what_there_is(text: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        parse_format(text)
