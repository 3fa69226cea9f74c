"""Where a value lives in a Modbus device: table, number, format and the order of its bytes.

Names and numbers after the MODBUS Application Protocol Specification V1.1b3, section 4: four tables, each addressed 0 to 65535 in the
protocol, and often numbered from 1 in manuals.
"""

import re
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

LAST_ADDRESS = 65_535
MAX_STRING = 250  # what one request can carry: 125 registers

#: How the bytes of a value lie in its registers; A is the most significant byte of a 32-bit value.
WordOrder: TypeAlias = Literal["ABCD", "CDAB", "BADC", "DCBA"]


class Table(Enum):
    """The four tables of a device; the value is the word used in an address."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"

    @property
    def is_bits(self) -> bool:
        """True for coils and discrete inputs, which are counted in bits."""
        return self in (Table.COIL, Table.DISCRETE)

    @property
    def writable(self) -> bool:
        """True for coils and holding registers."""
        return self in (Table.COIL, Table.HOLDING)


#: Leading digit of the classic notation ('40001' or '400001').
_CLASSIC = {"0": Table.COIL, "1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}
_CLASSIC_NUMBER = re.compile(r"[0134][0-9]{4,5}")
_NAMED = re.compile(r"(coil|discrete|input|holding):([0-9]{1,5})")
_SPELLINGS = "'holding:100', 'input:3', 'coil:7', 'discrete:2', or the classic '40001' / '400001'"


class Address(NamedTuple):
    """A place on the wire: `number` counts from 0 whatever the notation."""

    table: Table
    number: int

    def __str__(self) -> str:
        return f"{self.table.value}:{self.number}"


def table_of(text: str) -> Table:
    """Return the table that an address names; whether its number exists is for `parse_address` to say.

    Raises:
        ValueError: the text is not an address; says how to write one.
    """
    if named := _NAMED.fullmatch(text):
        return Table(named[1])
    if _CLASSIC_NUMBER.fullmatch(text):
        return _CLASSIC[text[0]]
    if text.isascii() and text.isdigit():
        raise ValueError(f"address {text!r} does not say which table: use {_SPELLINGS} (in quotes where it begins with 0)")
    raise ValueError(f"unknown address {text!r}: use {_SPELLINGS}")


@lru_cache(maxsize=4096)  # a tag's address is asked for again and again, and devices of one make have the same
def parse_address(text: str, base: int = 0) -> Address:
    """Return the place that an address names.

    Args:
        text: 'holding:100', or classic '40001' / '400001', whose last digits count from 1 by definition.
        base: number of the first register in the named notation: 0 (protocol) or 1 (many manuals).

    Raises:
        ValueError: says what is wrong and how to write it.
    """
    table = table_of(text)
    if ":" in text:
        number, first, last = int(text.partition(":")[2]) - base, f"{table.value}:{base}", f"{table.value}:{LAST_ADDRESS + base}"
        why = f", because 'numbering' is {base}"
    else:
        number, first, last = int(text[1:]) - 1, f"{text[0]}{'1'.zfill(len(text) - 1)}", f"{text[0]}65536"
        why = f", because the classic notation counts from 1; counted from 0 it is {table.value}:0 with numbering 0"
    if number < 0:
        raise ValueError(f"address {text!r} is below the first one, {first}{why}")
    if number > LAST_ADDRESS:
        raise ValueError(f"address {text!r} is beyond the last one, {last}")
    return Address(table, number)


class Format(NamedTuple):
    """What the bits mean.

    Attributes:
        name: 'bool', 'bits', 'string', or a number type such as 'float32'.
        registers: how many registers it covers (1 for a coil).
        code: its letter for the struct module, big-endian.
        first: lowest bit of a bit field, 0 is the least significant.
        bits: how many bits the field has.
        length: bytes of a string.
    """

    name: str
    registers: int
    code: str
    first: int = 0
    bits: int = 16
    length: int = 0

    @property
    def is_float(self) -> bool:
        """True for IEEE 754 numbers."""
        return self.name in ("float32", "float64")

    @property
    def is_boolean(self) -> bool:
        """True for a truth value: a coil, a register used as one, a single bit."""
        return self.name == "bool" or (self.name == "bits" and self.bits == 1)

    @property
    def is_number(self) -> bool:
        """True where scale and offset have a meaning."""
        return self.name not in ("bool", "bits", "string")

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest raw whole number."""
        width = self.bits if self.name == "bits" else 16 * self.registers
        return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if self.name.startswith("int") else (0, (1 << width) - 1)


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("bool", 1, "H", bits=1),
        Format("int16", 1, "h"),
        Format("uint16", 1, "H"),
        Format("int32", 2, "i"),
        Format("uint32", 2, "I"),
        Format("int64", 4, "q"),
        Format("uint64", 4, "Q"),
        Format("float32", 2, "f"),
        Format("float64", 4, "d"),
    )
}
_STRING = re.compile(r"string\(([0-9]{1,4})\)")
_BIT = re.compile(r"bit\(([0-9]{1,2})\)")
_BITS = re.compile(r"bits\(([0-9]{1,2}), ?([0-9]{1,2})\)")


@lru_cache(maxsize=256)
def parse_format(text: str) -> Format:
    """Return the format that a text names.

    Args:
        text: a number type, 'bool', 'string(N)' with N bytes, 'bit(N)', or 'bits(FIRST,COUNT)' of one register, 0 the least significant.

    Raises:
        ValueError: says what is wrong and what there is.
    """
    if text in FORMATS:
        return FORMATS[text]
    if found := _STRING.fullmatch(text):
        length = int(found[1])
        if not 1 <= length <= MAX_STRING:
            raise ValueError(f"format {text!r}: a string has 1 to {MAX_STRING} bytes")
        registers = (length + 1) // 2
        return Format("string", registers, f"{2 * registers}s", length=length)
    if found := _BIT.fullmatch(text) or _BITS.fullmatch(text):
        first, count = int(found[1]), int(found[2]) if found.lastindex == 2 else 1
        if count < 1 or first + count > 16:
            raise ValueError(f"format {text!r} leaves the register: its bits are 0 (least significant) to 15")
        return Format("bits", 1, "H", first=first, bits=count)
    raise ValueError(f"unknown format {text!r}: use {', '.join(FORMATS)}, string(N), bit(N) or bits(FIRST,COUNT)")
