"""Options of the Modbus source and its tags."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trunkline.config.tags import SourceConfig
from trunkline.sources.registers.address import LAST_ADDRESS, Address, WordOrder, parse_address
from trunkline.sources.registers.tag import RegisterTag, UnitId

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


class ModbusTag(RegisterTag):
    """One value in a device."""

    unit_id: UnitId | None = Field(None, description="unit id of the device on the line; default: from the source")
    poll_interval_ms: Milliseconds | None = Field(None, description="milliseconds between scans of this tag; default: from the source")


class ModbusConfig(SourceConfig):
    """A Modbus line: one device, or several unit ids behind one socket or serial port."""

    type: Literal["modbus"] = "modbus"
    transport: Literal["tcp", "rtu"] = Field("tcp", description="'tcp' for Modbus TCP, 'rtu' for a serial line")
    host: str = Field("", description="tcp: name or address of the device")
    port: int = Field(502, ge=1, le=65_535, description="tcp: port of the device")
    serial_port: str = Field("", description="rtu: the line, for example /dev/ttyUSB0 or /dev/serial/by-id/…", examples=["/dev/ttyUSB0"])
    baudrate: int = Field(19_200, ge=50, le=4_000_000, description="rtu: bits per second")
    parity: Literal["none", "even", "odd"] = Field("even", description="rtu: parity; even is the standard's default")
    stop_bits: Literal[1, 2] = Field(1, description="rtu: stop bits; with parity none the standard asks for 2, most devices use 1")
    unit_id: UnitId = Field(1, description="unit id (slave address) of tags that name none")
    numbering: Literal[0, 1] = Field(
        0, description="number of the first register in 'holding:N' and its like; classic 40001 always counts from 1"
    )
    word_order: WordOrder = Field("ABCD", description="byte order of tags that name none")
    poll_interval_ms: Milliseconds = Field(1000, description="milliseconds between scans of tags that name no interval")
    timeout_ms: Milliseconds = Field(1000, description="longest wait for an answer")
    retries: int = Field(1, ge=0, le=10, description="how often an unanswered read is asked again; writes never are")
    request_delay_ms: int = Field(
        0, ge=0, le=60_000, description="pause between requests; a serial line keeps at least the 3.5 characters of the standard"
    )
    max_registers: int = Field(125, ge=4, le=125, description="most registers that the device gives in one request")
    max_coils: int = Field(2000, ge=1, le=2000, description="most coils or discrete inputs that the device gives in one request")
    max_gap: int = Field(
        0, ge=0, le=124, description="unused registers to read over in order to join two requests; 0 for devices that refuse holes"
    )
    tags: tuple[ModbusTag, ...] = ()

    @model_validator(mode="after")
    def _reachable(self) -> "ModbusConfig":
        serial = {"serial_port", "baudrate", "parity", "stop_bits"} & self.model_fields_set
        if self.transport == "tcp":
            if not self.host:
                raise ValueError("transport tcp needs 'host': the name or address of the device")
            if serial:
                raise ValueError(f"{', '.join(sorted(serial))}: only for a serial line; remove, or set transport: rtu")
        else:
            if not self.serial_port:
                raise ValueError("transport rtu needs 'serial_port', for example /dev/ttyUSB0")
            if network := {"host", "port"} & self.model_fields_set:
                raise ValueError(f"{', '.join(sorted(network))}: only for transport tcp; remove, or set transport: tcp")
            if 0 in {self.unit_id, *map(self.unit_of, self.tags)}:
                raise ValueError(
                    "unit id 0 is the broadcast address of a serial line, which nobody answers: give the device's own 'unit_id'"
                )
        return self

    @model_validator(mode="after")
    def _places(self) -> "ModbusConfig":
        problems = [problem for tag in self.tags if (problem := self._problem(tag))]
        problems = problems or self._shared_registers()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problem(self, tag: ModbusTag) -> str | None:
        """Say why a tag cannot be read with the settings of this source, if so."""
        try:
            place = self.place(tag)
        except ValueError as error:
            return f"tag {tag.path}: {error}"
        if place.table.is_bits and tag.layout.name != "bool":
            return f"tag {tag.path}: {place.table.value} {tag.address} is a single bit: use format: bool, or a register address"
        if place.number + tag.layout.registers - 1 > LAST_ADDRESS:
            return f"tag {tag.path}: {tag.format} at {tag.address} reaches beyond the last register"
        if not place.table.is_bits and tag.layout.registers > self.max_registers:
            return (
                f"tag {tag.path}: {tag.format} needs {tag.layout.registers} registers at once: raise max_registers ({self.max_registers})"
            )
        return None

    def _shared_registers(self) -> list[str]:
        """Tags may share registers only when they cover exactly the same ones; anything else is a slip of the pen."""
        covered: dict[tuple[int, str], list[tuple[int, int, ModbusTag]]] = {}
        for tag in self.tags:
            place = self.place(tag)
            covered.setdefault((self.unit_of(tag), place.table.value), []).append((place.number, tag.layout.registers, tag))
        problems = []
        for spans in covered.values():
            spans.sort(key=lambda span: span[:2])
            start, count, tag = spans[0]
            for next_start, next_count, next_tag in spans[1:]:
                if next_start < start + count and (start, count) != (next_start, next_count):
                    free = self._written(next_tag, start + count)
                    problems.append(
                        f"tags {tag.path} ({tag.address}, {tag.format}, {count} registers) and {next_tag.path} ({next_tag.address}, "
                        f"{next_tag.format}) overlap: move {next_tag.path} to {free} or beyond, or mend a format"
                    )
                if next_start + next_count >= start + count:
                    start, count, tag = next_start, next_count, next_tag
        return problems

    def _written(self, like: ModbusTag, number: int) -> str:
        """Return a wire number as an address in the notation that a tag uses."""
        if ":" in like.address:
            return f"{like.address.partition(':')[0]}:{number + self.numbering}"
        return like.address[0] + str(number + 1).zfill(len(like.address) - 1)

    def place(self, tag: ModbusTag) -> Address:
        """Return where a tag lives on the wire. Raises ValueError."""
        return parse_address(tag.address, self.numbering)

    def unit_of(self, tag: ModbusTag) -> int:
        """Return the unit id that answers for a tag."""
        return self.unit_id if tag.unit_id is None else tag.unit_id

    def order_of(self, tag: ModbusTag) -> WordOrder:
        """Return the byte order of a tag."""
        return tag.word_order or self.word_order

    def interval_of(self, tag: ModbusTag) -> int:
        """Return the milliseconds between two scans of a tag."""
        return tag.poll_interval_ms or self.poll_interval_ms
