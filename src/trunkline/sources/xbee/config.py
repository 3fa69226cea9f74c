"""Options of the XBee source and its tags."""

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trunkline.config.tags import Model, SourceConfig
from trunkline.sources.registers.address import Address, WordOrder, parse_address
from trunkline.sources.registers.codec import Layout
from trunkline.sources.registers.tag import RegisterAddress, RegisterTag, UnitId
from trunkline.sources.xbee.mapping import Bytes, Entry, RegisterMap, parse_spot

#: 64-bit addresses that no single radio has: the coordinator as a destination, broadcast, not known.
_NOBODY = frozenset({"0000000000000000", "000000000000FFFF", "FFFFFFFFFFFFFFFF"})
_SEPARATORS = re.compile(r"[\s:-]+")
_PRINTED = "all 16 digits as printed under the radio: the upper eight (SH) and the lower eight (SL)"


def _node_id(text: str) -> str:
    digits = _SEPARATORS.sub("", text).upper().removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]*", digits):
        raise ValueError(f"{text!r} is no address: use {_PRINTED}, for example 0013A20041AEB54E")
    if len(digits) == 8:
        raise ValueError(
            f"{text!r} is half of an address, which names no radio (0013A200 is the same for all of the maker's): give {_PRINTED}"
        )
    if len(digits) != 16:
        raise ValueError(f"{text!r} has {len(digits)} digits: give {_PRINTED}")
    if digits in _NOBODY:
        raise ValueError(f"{text!r} stands for no single radio: give {_PRINTED}")
    return digits


def _hex(text: str) -> str:
    try:
        return bytes.fromhex(text).hex(" ").upper()
    except ValueError:
        raise ValueError(f"{text!r} is not a row of bytes: write them as hexadecimal digits, for example '52 01'") from None


def _register(given: object) -> object:
    """A register that is only read may be written as text alone."""
    return {"at": given} if isinstance(given, str) else given


NodeId = Annotated[str, AfterValidator(_node_id)]
HexBytes = Annotated[str, AfterValidator(_hex)]


class XBeeRegister(Model):
    """What stands in a virtual register, and in those behind it when there are more than two bytes."""

    at: str = Field(description="'bytes 0 to 3' or 'byte 4' of the payload, 'analog 1' or 'digital 4' of an I/O sample")
    writable: bool = Field(False, description="its registers may be written, all at once: their bytes are sent to the radio as a payload")
    prefix: HexBytes = Field("", description="bytes sent before the value, hexadecimal, by which the radio knows what is meant")

    @model_validator(mode="after")
    def _meaning(self) -> "XBeeRegister":
        spot = parse_spot(self.at)
        if self.writable and not (isinstance(spot, Bytes) and spot.size > 1):
            raise ValueError(f"{self.at!r} cannot be written: only 'bytes … to …' can, remove 'writable'")
        if self.prefix and not self.writable:
            raise ValueError("'prefix' is for registers that are written: add 'writable: true', or remove it")
        return self


Registers = dict[RegisterAddress, Annotated[XBeeRegister, BeforeValidator(_register, json_schema_input_type=XBeeRegister | str)]]


class XBeeNode(Model):
    """One of several radios."""

    unit_id: UnitId = Field(description="number by which tags name this radio, as they would a Modbus device")
    node_id: NodeId = Field(description="64-bit address of the radio, 16 hexadecimal digits", examples=["0013A20041AEB54E"])
    registers: Registers | None = Field(None, description="its virtual registers; default: those of the source")


class XBeeTag(RegisterTag):
    """One value in the virtual registers of a radio."""

    unit_id: UnitId | None = Field(None, description="unit id that 'nodes' gives to the radio; default: from the source")


class XBeeConfig(SourceConfig):
    """Radios behind one XBee module in API mode on a serial port."""

    type: Literal["xbee"] = "xbee"
    port: str = Field(min_length=1, description="serial port of the module, for example /dev/ttyUSB0 or /dev/serial/by-id/…")
    baud_rate: int = Field(9600, ge=1200, le=921_600, description="bits per second, as the module's BD")
    api_mode: Literal[1, 2] = Field(1, description="1: API frames as they are, 2: with escapes; as the module's AP")
    node_id: NodeId | None = Field(
        None,
        description="64-bit address of the radio, 16 hexadecimal digits, where there is one; else 'nodes'",
        examples=["0013A20041AEB54E"],
    )
    unit_id: UnitId = Field(1, description="unit id of tags that name none")
    registers: Registers = Field(
        {}, description="virtual registers: 40001: bytes 0 to 3, or 40001: {at: bytes 0 to 3, writable: true, prefix: '52'}"
    )
    nodes: tuple[XBeeNode, ...] = Field((), description="radios, where there is more than one")
    numbering: Literal[0, 1] = Field(
        0, description="number of the first register in 'holding:N' and its like; classic 40001 always counts from 1"
    )
    word_order: WordOrder = Field("ABCD", description="byte order of tags that name none; ABCD is big-endian, DCBA little-endian")
    poll_interval_ms: int | None = Field(
        None, ge=10, le=86_400_000, description="milliseconds between requests to each radio; default: radios send by themselves"
    )
    poll_request: HexBytes = Field("", description="payload, hexadecimal, by which a radio is asked for its own; inputs need none")
    timeout_ms: int = Field(5000, ge=100, le=300_000, description="longest wait for the status of a write, or an answer of the module")
    tags: tuple[XBeeTag, ...] = ()

    @model_validator(mode="after")
    def _reachable(self) -> "XBeeConfig":
        if (self.node_id is None) == (not self.nodes):
            raise ValueError("give either 'node_id', the 64-bit address of the radio, or 'nodes', a list of radios with their unit ids")
        for what in ("unit_id", "node_id"):
            given = [getattr(node, what) for node in self.nodes]
            if twice := {one for one in given if given.count(one) > 1}:
                raise ValueError(f"nodes: {what} {min(twice)} is given twice: every radio has its own")
        maps = [radio.map for radio in self.radios.values()]
        if self.poll_request and self.poll_interval_ms is None:
            raise ValueError("'poll_request' is sent every 'poll_interval_ms': add that, or remove 'poll_request'")
        if self.poll_interval_ms and not self.poll_request and any(one.has_bytes for one in maps):
            raise ValueError("'poll_interval_ms' needs 'poll_request': the payload at which a radio sends its own, for example '01'")
        return self

    @model_validator(mode="after")
    def _places(self) -> "XBeeConfig":
        problems = [f"tag {tag.path}: {problem}" for tag in self.tags if (problem := self._problem(tag))]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problem(self, tag: XBeeTag) -> str | None:
        """Say why a tag cannot be read with the settings of this source, if so."""
        radio = self.radios.get(self.unit_of(tag))
        if radio is None:
            known = ", ".join(map(str, sorted(self.radios)))
            return f"no radio has unit id {self.unit_of(tag)}: use one of 'nodes' ({known}), or add it there"
        try:
            place = self.place(tag)
            if place.table.is_bits and tag.layout.name != "bool":
                return f"{place.table.value} {tag.address} is a single bit: use format: bool, or a register address"
            radio.map.cells(place, self.layout_of(tag))
        except ValueError as error:
            return str(error)
        return None

    def place(self, tag: XBeeTag) -> Address:
        """Return the first virtual register of a tag, counted from 0. Raises ValueError."""
        return parse_address(tag.address, self.numbering)

    def unit_of(self, tag: XBeeTag) -> int:
        """Return the unit id of the radio that a tag is read from."""
        return self.unit_id if tag.unit_id is None else tag.unit_id

    def layout_of(self, tag: XBeeTag) -> Layout:
        """Return how a tag's value is made of its registers."""
        order = tag.word_order or self.word_order
        return Layout(tag.path, tag.layout, order, tag.value_kind, tag.scale, tag.offset, tag.invalid, tag.encoding)

    @cached_property
    def radios(self) -> dict[int, "Radio"]:
        """The radios by unit id. Raises ValueError if a map cannot be."""
        if self.node_id is not None:
            return {self.unit_id: Radio(self.node_id, self._map(self.registers))}
        return {
            node.unit_id: Radio(node.node_id, self._map(self.registers if node.registers is None else node.registers))
            for node in self.nodes
        }

    def _map(self, registers: Registers) -> RegisterMap:
        entries = [
            Entry(parse_address(text, self.numbering), parse_spot(one.at), one.writable, bytes.fromhex(one.prefix))
            for text, one in registers.items()
        ]
        written = [entry for entry in entries if entry.writable]
        if not all(entry.address.table.writable for entry in written):
            raise ValueError("registers: input registers are read-only: give a writable one a number of holding registers (4…)")
        if len({entry.prefix for entry in written}) < len(written):
            raise ValueError("registers: a radio cannot tell writable registers of one 'prefix' apart: give each its own")
        return RegisterMap(entries)


class Radio:
    """One radio: its address and its registers."""

    def __init__(self, node_id: str, registers: RegisterMap) -> None:
        self.address = bytes.fromhex(node_id)
        self.map = registers

    def __str__(self) -> str:
        return self.address.hex().upper()
