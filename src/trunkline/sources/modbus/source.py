"""The Modbus source: scans groups of tags on their own fixed schedules, and writes single values."""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import WriteSingleCoilRequest
from pymodbus.pdu.register_message import MaskWriteRegisterRequest, WriteMultipleRegistersRequest, WriteSingleRegisterRequest

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.modbus.cadence import Cadence
from trunkline.sources.modbus.config import ModbusConfig, ModbusTag
from trunkline.sources.modbus.line import Line, NoAnswer, Refused
from trunkline.sources.modbus.plan import Limits, Place, Request, coalesce
from trunkline.sources.modbus.scan import Region, Scanner
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.registers.address import Address, Table
from trunkline.sources.registers.codec import Layout, encode, encode_bits

log = structlog.get_logger(__name__)

ILLEGAL_FUNCTION = 1
#: What the event loop's timers can tell apart. A scan that is due within it is due now: a shorter sleep would take up to twice as long.
TIMER_SECONDS = 0.001
#: Exceptions after which the device may still have acted: it failed on the way, is still at it, or fell silent behind its gateway.
_PERHAPS_DONE = frozenset({4, 5, 11})


def layout_of(config: ModbusConfig, tag: ModbusTag) -> Layout:
    """Return how a tag's value is made of its registers."""
    return Layout(tag.path, tag.layout, config.order_of(tag), tag.value_kind, tag.scale, tag.offset, tag.invalid, tag.encoding)


def plan(config: ModbusConfig, tags: Sequence[ModbusTag]) -> list[Request]:
    """Return the fewest requests that bring all of `tags`; the members of their places are positions in `tags`."""
    places = []
    for position, tag in enumerate(tags):
        table, number = config.place(tag)
        places.append(Place(config.unit_of(tag), table, number, tag.layout.registers, position))
    return coalesce(places, Limits(config.max_registers, config.max_coils, config.max_gap))


class Group:
    """The tags of one interval: their regions and when they are due."""

    def __init__(self, config: ModbusConfig, interval_ms: int, start: float) -> None:
        tags = [tag for tag in config.tags if config.interval_of(tag) == interval_ms]
        layouts = [layout_of(config, tag) for tag in tags]
        self.regions = [Region(request, layouts) for request in plan(config, tags)]
        self.cadence = Cadence(interval_ms / 1000, start)


class ModbusSource:
    """One Modbus line. See `trunkline.sources.port.Source` for the contract."""

    def __init__(self, config: ModbusConfig, context: SourceContext) -> None:
        self._config = config
        self._context = context
        self._tags = {tag.path: tag for tag in config.tags}
        self._line: Line | None = None
        self._scanner: Scanner | None = None
        self._groups: list[Group] = []
        self._missed_before = 0

    @property
    def missed_scans(self) -> int:
        """Scans left out because the one before took longer than the interval, since the source was made."""
        return self._missed_before + sum(group.cadence.missed for group in self._groups)

    async def connect(self) -> None:
        """Open the line and begin every schedule anew. Raises SourceUnavailable."""
        await self.close()
        line = Line(self._config)
        try:
            await line.open()
        except BaseException:
            line.close()
            raise
        loop = asyncio.get_running_loop()
        intervals = sorted({self._config.interval_of(tag) for tag in self._config.tags})
        self._groups = [Group(self._config, interval, loop.time()) for interval in intervals]
        units = {self._config.unit_of(tag) for tag in self._config.tags}
        self._scanner = Scanner(line, units, self._config.retries, self._context.now, loop.time)
        self._line = line

    async def read(self) -> ReadBatch:
        """Wait for the next group that is due and return one reading for each of its tags; devices give no time of their own.

        Raises:
            SourceUnavailable: the connection is lost, or no unit answers any more.
        """
        if self._line is None or self._scanner is None:
            raise SourceUnavailable("not connected")
        if not self._groups:
            await self._line.lost.wait()
            raise SourceUnavailable(self._line.why_lost)
        group = min(self._groups, key=lambda one: one.cadence.due)
        await self._wait_until(self._line, group.cadence.due)
        scan = await self._scanner.scan(group.regions)
        missed = group.cadence.missed
        group.cadence.advance(asyncio.get_running_loop().time())
        if missed == 0 < group.cadence.missed:
            log.warning("scan_slower_than_interval", source=self._config.id, interval_ms=round(group.cadence.interval * 1000))
        return ReadBatch(scan)

    async def _wait_until(self, line: Line, due: float) -> None:
        """Sleep until a scan is due. Raises SourceUnavailable as soon as the connection is lost."""
        wait = due - asyncio.get_running_loop().time()
        if wait > TIMER_SECONDS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await line.lost.wait()
        if line.lost.is_set():
            raise SourceUnavailable(line.why_lost)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Write a coil, a holding register, or the registers of a larger value in one request, never twice.

        Returns:
            DONE when the device confirmed; REFUSED when it answered with an exception or the value does not fit (nothing was changed);
            UNKNOWN when no answer came, or an exception that leaves open whether it acted.

        Raises:
            SourceMisconfigured: the tag is unknown or its table is read-only.
            SourceUnavailable: there is no connection; nothing was sent.
        """
        tag = self._tags.get(command.tag)
        if tag is None:
            raise SourceMisconfigured(f"source {self._config.id} has no tag {command.tag}")
        place = self._config.place(tag)
        if not place.table.writable:
            raise SourceMisconfigured(f"tag {tag.path}: {place.table.value} registers are read-only; write to a coil or holding register")
        if self._line is None or self._line.lost.is_set():
            raise SourceUnavailable("not connected; nothing was sent")
        try:
            request = self._write_request(tag, place, command)
        except ValueError as error:
            log.warning("write_refused", source=self._config.id, tag=tag.path, reason=str(error))
            return CommandOutcome.REFUSED
        return await self._send(self._line, tag, request)

    def _write_request(self, tag: ModbusTag, place: Address, command: WriteCommand) -> ModbusPDU:
        """Return the request that writes a value. Raises ValueError if the value does not fit."""
        unit = self._config.unit_of(tag)
        layout = layout_of(self._config, tag)
        if tag.layout.name == "bits":
            and_mask, or_mask = encode_bits(command.value, layout)
            return MaskWriteRegisterRequest(address=place.number, and_mask=and_mask, or_mask=or_mask, dev_id=unit)
        wire = encode(command.value, layout)
        if place.table is Table.COIL:
            return WriteSingleCoilRequest(address=place.number, bits=[any(wire)], dev_id=unit)
        registers = [int.from_bytes(wire[at : at + 2], "big") for at in range(0, len(wire), 2)]
        if len(registers) == 1:
            return WriteSingleRegisterRequest(address=place.number, registers=registers, dev_id=unit)
        return WriteMultipleRegistersRequest(address=place.number, registers=registers, dev_id=unit)

    async def _send(self, line: Line, tag: ModbusTag, request: ModbusPDU) -> CommandOutcome:
        try:
            try:
                await line.send(request)
            except Refused as refusal:
                if refusal.code != ILLEGAL_FUNCTION or not isinstance(request, WriteSingleRegisterRequest):
                    raise
                # The device has done nothing: it knows only the function for many registers, which writes one as well.
                await line.send(WriteMultipleRegistersRequest(address=request.address, registers=request.registers, dev_id=request.dev_id))
        except Refused as refusal:
            log.warning("write_refused", source=self._config.id, tag=tag.path, reason=str(refusal))
            return CommandOutcome.UNKNOWN if refusal.code in _PERHAPS_DONE else CommandOutcome.REFUSED
        except (NoAnswer, SourceUnavailable):
            return CommandOutcome.UNKNOWN
        return CommandOutcome.DONE

    async def browse(self, at: str) -> list[BrowseNode]:
        """Not possible: Modbus has no directory of its registers."""
        raise NotImplementedError("Modbus devices cannot be browsed: take the register list from the device's manual")

    async def close(self) -> None:
        """Close the socket or port."""
        self._missed_before, self._groups = self.missed_scans, []
        line, self._line, self._scanner = self._line, None, None
        if line is not None:
            line.close()
