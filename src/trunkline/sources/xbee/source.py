"""The XBee source: frames of radios into readings, polls and writes."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import structlog

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.registers.codec import Judged, encode
from trunkline.sources.xbee.config import Radio, XBeeConfig, XBeeTag
from trunkline.sources.xbee.frames import Damaged
from trunkline.sources.xbee.link import POLL_FRAME_ID, Arrival, RadioLink
from trunkline.sources.xbee.mapping import Channel, Entry, reader
from trunkline.sources.xbee.messages import (
    FrameType,
    ModemStatus,
    Other,
    Received,
    RemoteAtResponse,
    Sampled,
    TransmitStatus,
    remote_at_request,
    sample,
    sender,
    transmit_request,
)

log = structlog.get_logger(__name__)

#: Delivery statuses (0x8B) after which the payload did not reach the radio: it never left, or had no way there.
_NEVER_ARRIVED: Final = frozenset({0x02, 0x15, 0x22, 0x23, 0x24, 0x25, 0x2B, 0x2C, 0x2D, 0x2E, 0x31, 0x32, 0x34, 0x35, 0x74})
_DELIVERED: Final = 0x00
#: AT command 'force sample', and the status by which a radio says that nobody answered.
_FORCE_SAMPLE: Final = b"IS"
_NO_ANSWER: Final = 4
_MODEM_STATUSES: Final = {
    0x00: "hardware reset or power up",
    0x01: "watchdog reset",
    0x02: "joined the network",
    0x03: "left the network",
    0x06: "coordinator started",
    0x07: "network security key was updated",
    0x0B: "network woke up",
    0x0C: "network went to sleep",
    0x0D: "supply voltage exceeded",
}
#: Strangers remembered so that each is logged once.
_MOST_STRANGERS: Final = 1_000
#: Readings kept that the gateway could not store.
_MOST_KEPT: Final = 100_000


class _Node(NamedTuple):
    """How the tags of one radio are read: from payloads, and from samples."""

    payload: list[tuple[str, Callable[[bytes], Judged]]]
    inputs: list[tuple[str, Channel, Callable[[int], Judged]]]


class XBeeSource:
    """One module and the radios behind it. See `trunkline.sources.port.Source` for the contract.

    A radio cannot be asked again for what it sent, so readings that the gateway could not store are offered once more.

    Attributes:
        damaged: frames that were damaged or too short for their type, since the source was made.
        strange: frames of radios that are not configured, since the source was made.
    """

    def __init__(self, config: XBeeConfig, context: SourceContext) -> None:
        self._config = config
        self._context = context
        self._tags = {tag.path: tag for tag in config.tags}
        self._nodes = {radio.address: _node(config, unit_id) for unit_id, radio in config.radios.items()}
        self._link: RadioLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kept: list[Reading] = []
        self._told: set[bytes | int] = set()
        self.damaged = 0
        self.strange = 0

    async def connect(self) -> None:
        """Open the port and begin to poll, if so configured. Raises SourceUnavailable or SourceMisconfigured."""
        await self.close()
        link = RadioLink(self._config, self._context.now)
        try:
            await link.open()
        except BaseException:
            link.close()
            raise
        self._link = link
        if self._config.poll_interval_ms:
            self._poll(link, self._config.poll_interval_ms / 1000, asyncio.get_running_loop().time())

    async def read(self) -> ReadBatch:
        """Wait for frames and return one reading for each tag of the radios that sent them; there is no device time in a frame.

        Raises:
            SourceUnavailable: the port is lost.
        """
        if self._link is None:
            raise SourceUnavailable("not connected")
        readings, self._kept = self._kept, []
        events: list[Event] = []
        while not readings and not events:
            for arrival in await self._link.receive():
                readings += self._readings(arrival)
                events += self._events(arrival)

        async def nack(why: str) -> None:
            log.warning("readings_kept", source=self._config.id, readings=len(readings), reason=why)
            self._kept = [*self._kept, *readings][-_MOST_KEPT:]

        return ReadBatch(readings, events, nack=nack)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Send the bytes of a writable register to its radio, once.

        Returns:
            DONE when the radio acknowledged the payload; REFUSED when the value does not fit, or the payload never arrived; UNKNOWN when
            no status came, or one that leaves open whether it arrived.

        Raises:
            SourceMisconfigured: the tag is unknown, or its registers cannot be written.
            SourceUnavailable: there is no connection; nothing was sent.
        """
        tag = self._tags.get(command.tag)
        if tag is None:
            raise SourceMisconfigured(f"source {self._config.id} has no tag {command.tag}")
        radio, entry = self._written(tag)
        if self._link is None or self._link.lost is not None:
            raise SourceUnavailable("not connected; nothing was sent")
        try:
            payload = entry.prefix + encode(command.value, self._config.layout_of(tag))
        except (ValueError, OverflowError) as error:
            log.warning("write_refused", source=self._config.id, tag=tag.path, reason=str(error))
            return CommandOutcome.REFUSED
        answer = await self._link.request(lambda frame_id: transmit_request(frame_id, radio.address, payload))
        if not isinstance(answer, TransmitStatus):
            return CommandOutcome.UNKNOWN
        if answer.status == _DELIVERED:
            return CommandOutcome.DONE
        log.warning("write_not_delivered", source=self._config.id, tag=tag.path, delivery_status=f"0x{answer.status:02X}")
        return CommandOutcome.REFUSED if answer.status in _NEVER_ARRIVED else CommandOutcome.UNKNOWN

    def _written(self, tag: XBeeTag) -> tuple[Radio, Entry]:
        radio = self._config.radios[self._config.unit_of(tag)]
        entry = radio.map.written(self._config.place(tag), self._config.layout_of(tag))
        if entry is None:
            mend = f"give {tag.address} an entry of its own in 'registers', with 'writable: true' and as many bytes as {tag.format} has"
            raise SourceMisconfigured(f"tag {tag.path} of source {self._config.id} cannot be written: {mend}")
        return radio, entry

    async def browse(self, at: str) -> list[BrowseNode]:
        """Not possible: a payload does not say what its bytes mean."""
        raise NotImplementedError("XBee radios cannot be browsed: take the layout of the payload from the maker of the device")

    async def close(self) -> None:
        """Let go of the port."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _poll(self, link: RadioLink, interval: float, due: float) -> None:
        """Ask every radio, and again at the next due time that is not past."""
        for radio in self._config.radios.values():
            if radio.map.has_bytes:
                link.send(transmit_request(0, radio.address, bytes.fromhex(self._config.poll_request)))
            if radio.map.has_channels:
                link.send(remote_at_request(POLL_FRAME_ID, radio.address, _FORCE_SAMPLE))
        loop = asyncio.get_running_loop()
        due += interval * max(1.0, (loop.time() - due) // interval + 1)
        self._timer = loop.call_at(due, self._poll, link, interval, due)

    def _readings(self, arrival: Arrival) -> Iterator[Reading]:
        """Yield what a frame says of the tags of its radio."""
        match arrival.what:
            case Received(node, payload):
                yield from self._measured(node, arrival.time, payload=payload)
            case Sampled(node, values):
                yield from self._measured(node, arrival.time, values=values)
            case RemoteAtResponse(_, node, command, status, value) if command == _FORCE_SAMPLE and status != _NO_ANSWER:
                yield from self._sampled(node, arrival.time, status, value)
            case Damaged(data, why):
                yield from self._lost(data, why, arrival.time)
            case _:
                pass

    def _measured(
        self, address: bytes, time: int, *, payload: bytes | None = None, values: dict[Channel, int] | None = None
    ) -> Iterator[Reading]:
        node = self._nodes.get(address)
        if node is None:
            self.strange += 1
            self._tell_once(address, "unknown_radio", node_id=address.hex().upper(), mend="add it to 'nodes', or mend 'node_id'")
            return
        if payload is not None:
            for path, judge in node.payload:
                value, quality = judge(payload)
                yield Reading(path, value, quality, None, time)
        if values is not None:
            for path, channel, judged in node.inputs:
                value, quality = judged(values[channel]) if channel in values else (None, Quality.BAD_UNKNOWN_ADDRESS)
                yield Reading(path, value, quality, None, time)

    def _sampled(self, address: bytes, time: int, status: int, payload: bytes) -> Iterator[Reading]:
        """Yield what the answer to a poll for inputs says; a radio without any input switched on answers with an error."""
        try:
            values = sample(payload) if status == 0 else {}
        except ValueError as error:
            yield from self._lost(bytes([FrameType.SAMPLED]) + address, str(error), time)
        else:
            yield from self._measured(address, time, values=values)

    def _lost(self, data: bytes, why: str, time: int) -> Iterator[Reading]:
        """Count a damaged frame, and yield BAD readings for the tags of the radio that it names, if it is one of ours."""
        self.damaged += 1
        if self.damaged & (self.damaged - 1) == 0:  # the 1st, 2nd, 4th, 8th…: noise must not flood the log
            hint = "if every frame is: do 'api_mode' and 'baud_rate' match the module?"
            log.warning("damaged_frame", source=self._config.id, count=self.damaged, reason=why, hint=hint)
        node = self._nodes.get(sender(data) or b"")
        if node is not None:
            for path, *_ in node.inputs if data[0] == FrameType.SAMPLED else node.payload:
                yield Reading(path, None, Quality.BAD_DECODING, None, time)

    def _events(self, arrival: Arrival) -> Iterator[Event]:
        match arrival.what:
            case ModemStatus(status):
                text = f"the module at {self._config.port}: {_MODEM_STATUSES.get(status, f'status 0x{status:02X}')}"
                yield Event(id=str(uuid7()), type="MODEM_STATUS", time=arrival.time, gateway_time=arrival.time, text=text)
            case Other(kind):
                self._tell_once(kind, "frame_type_not_read", type=f"0x{kind:02X}", mend="for data of radios set the module's AO to 0 or 1")
            case _:
                pass

    def _tell_once(self, what: bytes | int, event: str, **facts: str) -> None:
        if what not in self._told and len(self._told) < _MOST_STRANGERS:
            self._told.add(what)
            log.warning(event, source=self._config.id, **facts)


def _node(config: XBeeConfig, unit_id: int) -> _Node:
    """Return how the tags of a radio are read."""
    node = _Node([], [])
    radio = config.radios[unit_id]
    for tag in config.tags:
        if config.unit_of(tag) == unit_id:
            layout = config.layout_of(tag)
            channel, judge = reader(radio.map.cells(config.place(tag), layout), layout)
            if channel is None:
                node.payload.append((tag.path, judge))
            else:
                node.inputs.append((tag.path, channel, judge))
    return node
