"""Virtual Modbus registers: which bytes of a radio's payload, or which of its inputs, stand in which register. Pure: no I/O."""

import re
import struct
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias

from trunkline.model.quality import Quality
from trunkline.sources.registers.address import LAST_ADDRESS, Address, Table
from trunkline.sources.registers.codec import Judged, Layout, byte_order, judge

#: The payload of the largest frame of the family is shorter.
LAST_BYTE = 2_047
_BYTES = re.compile(r"bytes ([0-9]{1,4}) to ([0-9]{1,4})")
_BYTE = re.compile(r"byte ([0-9]{1,4})")
_CHANNEL = re.compile(r"(analog|digital) ([0-9]{1,2})")
#: Leading digit of the classic notation.
_DIGITS = {Table.COIL: 0, Table.DISCRETE: 1, Table.INPUT: 3, Table.HOLDING: 4}
_SPELLINGS = "'bytes 0 to 3', 'byte 4', 'analog 1' or 'digital 4'"


class Bytes(NamedTuple):
    """Bytes of a payload, counted from 0; the last one belongs to them."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Channel(NamedTuple):
    """An input of the radio itself: analog 0 to 7 (7 is the supply voltage), digital 0 to 15."""

    kind: Literal["analog", "digital"]
    number: int


Spot: TypeAlias = Bytes | Channel
#: Where the two bytes of a register come from: positions in the payload, None for a byte that is always 0; or an input.
Cell: TypeAlias = tuple[int | None, int] | Channel


def parse_spot(text: str) -> Spot:
    """Return what a text names: 'bytes 0 to 3', 'byte 4', 'analog 1', 'digital 4'.

    Raises:
        ValueError: says what is wrong and how to write it.
    """
    if found := _CHANNEL.fullmatch(text):
        kind: Literal["analog", "digital"] = "analog" if found[1] == "analog" else "digital"
        number, last = int(found[2]), 7 if kind == "analog" else 15
        if number > last:
            raise ValueError(f"{text!r}: {kind} inputs are 0 to {last}")
        return Channel(kind, number)
    if found := _BYTES.fullmatch(text) or _BYTE.fullmatch(text):
        first, last = int(found[1]), int(found[found.lastindex or 1])
        if last < first or last > LAST_BYTE:
            raise ValueError(f"{text!r}: the last byte is {first} to {LAST_BYTE}, the first of a payload being 0")
        if last > first and (last - first) % 2 == 0:
            raise ValueError(f"{text!r} is {last - first + 1} bytes, and a register has two: use an even number of bytes, or one")
        return Bytes(first, last)
    raise ValueError(f"{text!r} names neither bytes of the payload nor an input of the radio: use {_SPELLINGS}")


def named(address: Address) -> str:
    """Return a register in both notations, for example '40001 (holding:0 counted from 0)'."""
    return f"{_DIGITS[address.table]}{address.number + 1:04} ({address} counted from 0)"


class Entry(NamedTuple):
    """One line of a register map.

    Attributes:
        address: its first register.
        spot: what stands there.
        writable: whether its registers may be written, all at once.
        prefix: bytes sent before a value.
    """

    address: Address
    spot: Spot
    writable: bool = False
    prefix: bytes = b""

    @property
    def registers(self) -> int:
        """How many registers it fills."""
        return (self.spot.size + 1) // 2 if isinstance(self.spot, Bytes) else 1

    def cells(self) -> Iterable[tuple[Address, Cell]]:
        """Yield its registers."""
        table, number = self.address
        if isinstance(self.spot, Channel):
            yield self.address, self.spot
        elif self.spot.size == 1:
            yield self.address, (None, self.spot.first)
        else:
            for place in range(self.registers):
                yield Address(table, number + place), (self.spot.first + 2 * place, self.spot.first + 2 * place + 1)


class RegisterMap:
    """The registers of one radio.

    Raises:
        ValueError: two entries fill one register, or an entry does not fit its table; says which.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[Address, Entry] = {}
        self._cells: dict[Address, Cell] = {}
        for entry in entries:
            _check(entry)
            for address, cell in entry.cells():
                if address in self._cells:
                    raise ValueError(
                        f"register {named(address)} is filled twice: leave as many registers to an entry as it has pairs of bytes"
                    )
                self._cells[address] = cell
            self._entries[entry.address] = entry

    @property
    def has_bytes(self) -> bool:
        """Whether it reads payloads."""
        return any(isinstance(entry.spot, Bytes) for entry in self._entries.values())

    @property
    def has_channels(self) -> bool:
        """Whether it reads inputs of the radio."""
        return any(isinstance(entry.spot, Channel) for entry in self._entries.values())

    def cells(self, address: Address, layout: Layout) -> list[Cell]:
        """Return the registers of a value.

        Raises:
            ValueError: it covers registers that are not mapped, or cannot be read from what is; says what to do.
        """
        cells: list[Cell] = []
        for number in range(address.number, address.number + layout.format.registers):
            cell = self._cells.get(Address(address.table, number))
            if cell is None:
                raise ValueError(f"register {named(Address(address.table, number))} is not mapped: add it to 'registers'")
            cells.append(cell)
        if len(cells) > 1 and any(isinstance(cell, Channel) or cell[0] is None for cell in cells):
            raise ValueError("an input, or a single byte, is one register: use format uint16, bool or bit(N)")
        if not isinstance(cells[0], Channel) and cells[0][0] is None and layout.format.name == "int16":
            raise ValueError("a single byte has no sign: use format uint16")
        return cells

    def written(self, address: Address, layout: Layout) -> Entry | None:
        """Return the writable entry whose registers are exactly those of a value, if there is one."""
        entry = self._entries.get(address)
        fits = entry is not None and entry.writable and entry.registers == layout.format.registers
        return entry if fits and layout.format.name != "bits" else None


def _check(entry: Entry) -> None:
    if entry.address.table.is_bits and not (isinstance(entry.spot, Channel) and entry.spot.kind == "digital"):
        raise ValueError(f"{named(entry.address)} is a single bit: map 'digital N' to it, or map the bytes to a register and read bit(N)")
    if entry.address.number + entry.registers - 1 > LAST_ADDRESS:
        raise ValueError(f"the entry at {named(entry.address)} reaches beyond the last register")


def reader(cells: list[Cell], layout: Layout) -> tuple[Channel | None, Callable[..., Judged]]:
    """Return how a value is read: from an input (that input, and a function of its state), or (None, and a function of the payload)."""
    judged = judge(layout)
    if isinstance(cells[0], Channel):
        return cells[0], judged
    positions = [position for cell in cells if not isinstance(cell, Channel) for position in cell]
    order = [positions[place] for place in byte_order(layout)]
    needed = 1 + max(position for position in order if position is not None)
    unpack = struct.Struct(">" + layout.format.code).unpack

    def read(payload: bytes) -> Judged:
        if len(payload) < needed:
            return None, Quality.BAD_DECODING
        return judged(unpack(bytes([0 if place is None else payload[place] for place in order]))[0])

    return None, read
