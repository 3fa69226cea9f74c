"""The source on a serial port: a module on a pseudo terminal whose frames Digi's own library builds and understands."""

import asyncio
import errno
import os
import threading
from typing import Any

import pytest
import structlog
from digi.xbee.models.address import XBee64BitAddress
from digi.xbee.models.status import ModemStatus
from digi.xbee.models.status import TransmitStatus as Delivery
from digi.xbee.packets.raw import RX64Packet
from structlog.testing import LogCapture

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.sources.port import CommandOutcome, WriteCommand
from trunkline.sources.xbee import link
from trunkline.sources.xbee import source as xbee_source
from trunkline.sources.xbee.config import XBeeConfig
from trunkline.sources.xbee.source import XBeeSource
from trunkline.sources.xbee.tests.radio import NODE, OTHER_NODE, Module
from trunkline.sources.xbee.tests.support import PATIENCE, batch, configure, connected, context, fails, module, readings, tag

GOOD = Quality.GOOD
REGISTERS = {40001: "bytes 0 to 1", 40002: {"at": "bytes 2 to 3", "writable": True, "prefix": "52"}}
TAGS = [tag("LEVEL", 40001, "uint16"), tag("VALVE", 40002, "int16", scale=0.5)]
PAYLOAD = bytes.fromhex("00070008")
SOUND = [("LEVEL", 7.0, GOOD), ("VALVE", 4.0, GOOD)]


def of(at: Module, **options: Any) -> XBeeConfig:
    return configure(REGISTERS, TAGS, **{"port": str(at.path), "api_mode": at.mode, **options})


@pytest.mark.parametrize("mode", [1, 2])
async def test_readings_carry_the_gateways_clock_and_no_source_time(mode: int) -> None:
    """D-16, W-44: a frame has no time; the gateway's is that of the frame's last byte."""
    with module(mode) as at:
        async with connected(of(at), lambda: 1_700_000_000_000_000) as source:
            at.receive(PAYLOAD)
            for reading in (await batch(source)).readings:
                assert (reading.source_time, reading.gateway_time) == (None, 1_700_000_000_000_000)


async def test_a_module_in_the_other_api_mode_is_told_with_the_mend() -> None:
    """W-48: the question reads the same in both modes, and so does the answer."""
    for mode, other in ((1, 2), (2, 1)):
        with module(mode) as at, pytest.raises(SourceMisconfigured, match=f"is in API mode {mode}: set 'api_mode: {mode}'"):
            await XBeeSource(of(at, api_mode=other), context()).connect()


async def test_a_module_that_does_not_answer_says_what_to_look_at() -> None:
    with module() as at:
        at.silent = True
        with pytest.raises(SourceUnavailable, match=r"no XBee module answers within 100 ms: is 'baud_rate' its BD, and is it in API mode"):
            await XBeeSource(of(at, timeout_ms=100), context()).connect()


async def test_a_port_that_does_not_exist_says_what_to_look_at() -> None:
    source = XBeeSource(configure(REGISTERS, TAGS, port="/dev/trunkline-no-such-port"), context())
    with pytest.raises(SourceUnavailable, match="cannot open /dev/trunkline-no-such-port: is it plugged in"):
        await source.connect()


async def test_a_port_has_one_owner() -> None:
    with module() as at:
        async with connected(of(at)):
            with pytest.raises(SourceUnavailable, match="does no other program use it"):
                await XBeeSource(of(at), context()).connect()


async def test_an_adapter_that_disappears_is_unavailable_and_comes_back() -> None:
    """W-51: what came before is handed out; the gateway connects again on its own terms (D-10)."""
    with module() as at:
        async with connected(of(at)) as source:
            at.receive(PAYLOAD)
            assert await readings(source, 2) == SOUND
            at.unplug()
            assert "is lost" in await fails(source)
            with pytest.raises(SourceUnavailable, match="cannot open"):
                await source.connect()
            at.plug()
            await source.connect()
            at.receive(PAYLOAD)
            assert await readings(source, 2) == SOUND


async def test_an_error_of_the_adapter_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A USB adapter that is pulled out may say EIO; a pseudo terminal only ends, so the error is made here."""

    def broken(_port: int, _most: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with module() as at:
        async with connected(of(at)) as source:
            monkeypatch.setattr(os, "read", broken)
            at.receive(PAYLOAD)
            said = await fails(source)
            monkeypatch.undo()
    assert said == f"{at.path} is lost: Input/output error"


async def test_nothing_runs_beside_the_loop() -> None:
    """Neither a thread nor a task of its own: cancelling a read ends it at once."""
    with module() as at:
        before = threading.active_count(), len(asyncio.all_tasks())
        async with connected(of(at, poll_interval_ms=1000, poll_request="01")) as source:
            assert (threading.active_count(), len(asyncio.all_tasks())) == before
            reading = asyncio.ensure_future(source.read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What the source logs, however other tests have set logging up."""
    capture = LogCapture()
    monkeypatch.setattr(xbee_source, "log", structlog.wrap_logger(None, processors=[capture]))
    return capture


async def test_an_unknown_radio_is_counted_and_logged_once(logged: LogCapture) -> None:
    with module() as at:
        async with connected(of(at)) as source:
            for _ in range(3):
                at.receive(PAYLOAD, OTHER_NODE)
            at.receive(PAYLOAD)
            assert await readings(source, 2) == SOUND
            assert source.strange == 3
    told = [str(entry) for entry in logged.entries if OTHER_NODE in str(entry)]
    assert len(told) == 1
    assert "unknown_radio" in told[0]
    assert "add it to 'nodes'" in told[0]


async def test_damaged_frames_are_bad_and_do_not_flood_the_log(logged: LogCapture) -> None:
    """A wrong checksum is a BAD reading with its reason for the radio that the frame names."""
    wire = bytes.fromhex(f"7E 00 10 90 {NODE} FFFE 01 00070008 00")
    with module() as at:
        async with connected(of(at)) as source:
            for _ in range(10):
                at.put(wire)
            at.receive(PAYLOAD)
            bad = [("LEVEL", None, Quality.BAD_DECODING), ("VALVE", None, Quality.BAD_DECODING)]
            assert await readings(source, 22) == 10 * bad + SOUND
            assert source.damaged == 10
    told = [str(entry) for entry in logged.entries if entry["event"] == "damaged_frame"]
    assert len(told) == 4
    assert "checksum is 0x00" in told[0]
    assert "'api_mode' and 'baud_rate'" in told[0]


async def test_a_frame_that_does_not_end_is_given_up_when_the_line_falls_quiet() -> None:
    with module() as at:
        async with connected(of(at)) as source:
            at.put(bytes.fromhex(f"7E 00 10 90 {NODE} FFFE 01 0007"))
            assert await readings(source, 2) == [("LEVEL", None, Quality.BAD_DECODING), ("VALVE", None, Quality.BAD_DECODING)]
            at.receive(PAYLOAD)
            assert await readings(source, 2) == SOUND


async def test_frames_of_other_types_are_told_once(logged: LogCapture) -> None:
    with module() as at:
        async with connected(of(at)) as source:
            for _ in range(2):
                at.emit(RX64Packet(XBee64BitAddress.from_hex_string(NODE), 40, 0, rf_data=bytearray(PAYLOAD)))
            at.receive(PAYLOAD)
            assert await readings(source, 2) == SOUND
    (told,) = [str(entry) for entry in logged.entries if entry["event"] == "frame_type_not_read"]
    assert "0x80" in told


async def test_what_the_module_tells_of_itself_is_an_event() -> None:
    with module() as at:
        async with connected(of(at), lambda: 1_700_000_000_000_000) as source:
            at.tell(ModemStatus.HARDWARE_RESET)
            (event,) = (await batch(source)).events
    assert (event.type, event.time) == ("MODEM_STATUS", 1_700_000_000_000_000)
    assert event.text == f"the module at {at.path}: hardware reset or power up"


async def test_payloads_are_polled() -> None:
    """W-51: every poll_interval_ms a request to each radio; what it answers is read."""
    nodes = [{"unit_id": 1, "node_id": NODE}, {"unit_id": 2, "node_id": OTHER_NODE}]
    with module(2) as at:
        at.on_transmit = lambda node, payload: at.receive(PAYLOAD, node) if node == NODE and payload == b"\x01\x7e" else None
        async with connected(of(at, nodes=nodes, poll_interval_ms=20, poll_request="017E")) as source:
            assert await readings(source, 2) == SOUND
            assert await readings(source, 2) == SOUND
    assert at.transmitted[:2] == [(NODE, b"\x01\x7e"), (OTHER_NODE, b"\x01\x7e")]


async def test_inputs_are_polled() -> None:
    """W-51: a forced sample; a radio that does not answer is silent, one without inputs is told."""
    tags = [tag("LEVEL", 30001, "uint16"), tag("OTHER", 30001, "uint16", unit_id=2)]
    nodes = [{"unit_id": 1, "node_id": NODE}, {"unit_id": 2, "node_id": OTHER_NODE}]
    with module() as at:
        at.samples[NODE] = bytes.fromhex("01 0000 02 0225")
        config = configure({30001: "analog 1"}, tags, port=str(at.path), nodes=nodes, poll_interval_ms=20)
        async with connected(config) as source:
            assert await readings(source, 1) == [("LEVEL", 549.0, GOOD)]
            at.samples[NODE] = bytes.fromhex("01 0000 01 0225")
            async with asyncio.timeout(PATIENCE):
                while (await readings(source, 1)) != [("LEVEL", None, Quality.BAD_UNKNOWN_ADDRESS)]:
                    pass
            at.samples[NODE] = bytes.fromhex("01 0000 02 02")
            async with asyncio.timeout(PATIENCE):
                while (await readings(source, 1)) != [("LEVEL", None, Quality.BAD_DECODING)]:
                    pass


@pytest.mark.parametrize(
    ("delivery", "outcome"),
    [
        (Delivery.SUCCESS, CommandOutcome.DONE),
        (Delivery.ADDRESS_NOT_FOUND, CommandOutcome.REFUSED),
        (Delivery.NOT_JOINED_NETWORK, CommandOutcome.REFUSED),
        (Delivery.PAYLOAD_TOO_LARGE, CommandOutcome.REFUSED),
        (Delivery.NO_ACK, CommandOutcome.UNKNOWN),
        (Delivery.NETWORK_ACK_FAILURE, CommandOutcome.UNKNOWN),
        (None, CommandOutcome.UNKNOWN),
    ],
)
async def test_a_write_ends_as_its_transmit_status_says(delivery: Delivery | None, outcome: CommandOutcome) -> None:
    """A payload that never left is refused; one whose acknowledgement is missing may have arrived."""
    with module(2) as at:
        at.delivery = delivery
        async with connected(of(at, timeout_ms=10_000 if delivery else 100)) as source:
            assert await source.write(WriteCommand("VALVE", 62.5)) is outcome
    assert at.transmitted == [(NODE, bytes.fromhex("52 007D"))]


async def test_a_write_into_an_unplugged_port_is_unknown() -> None:
    with module() as at:
        at.delivery = None
        async with connected(of(at)) as source:
            writing = asyncio.ensure_future(source.write(WriteCommand("VALVE", 1.0)))
            await asyncio.sleep(0)
            at.unplug()
            assert await asyncio.wait_for(writing, PATIENCE) is CommandOutcome.UNKNOWN
            with pytest.raises(SourceUnavailable, match="nothing was sent"):
                await source.write(WriteCommand("VALVE", 1.0))


@pytest.mark.parametrize("value", [40_000, 0.3e9, float("nan"), "open", None])
async def test_a_value_that_does_not_fit_is_refused_and_nothing_is_sent(value: Any) -> None:
    with module() as at:
        async with connected(of(at)) as source:
            assert await source.write(WriteCommand("VALVE", value)) is CommandOutcome.REFUSED
    assert at.transmitted == []


@pytest.mark.parametrize("section", [tag("A", 40001, "uint16"), tag("A", 40002, "bit(3)"), tag("A", 40010, "uint16")])
async def test_what_is_not_a_writable_register_alone_cannot_be_written(section: dict[str, Any]) -> None:
    registers = {**REGISTERS, 40010: {"at": "bytes 4 to 7", "writable": True, "prefix": "53"}}
    with module() as at:
        async with connected(configure(registers, [section], port=str(at.path))) as source:
            with pytest.raises(SourceMisconfigured, match="an entry of its own in 'registers', with 'writable: true'"):
                await source.write(WriteCommand("A", 1))
    assert at.transmitted == []


async def test_what_could_not_be_stored_is_offered_again() -> None:
    """A radio cannot be asked again: readings that the gateway refused come first in the next read, also on a new connection."""
    with module() as at:
        async with connected(of(at)) as source:
            at.receive(PAYLOAD)
            await (await batch(source)).nack("the disk is full")
            await source.connect()
            at.receive(bytes.fromhex("00090008"))
            assert await readings(source, 4) == [*SOUND, ("LEVEL", 9.0, GOOD), ("VALVE", 4.0, GOOD)]


async def test_frames_that_nobody_reads_are_left_in_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded while the gateway cannot store; reading goes on where it stopped."""
    monkeypatch.setattr(link, "MOST_ARRIVALS", 5)
    with module() as at:
        async with connected(of(at)) as source:
            for number in range(8):
                at.receive(number.to_bytes(2, "big") + b"\0\0")
                await asyncio.sleep(0.05)
            assert source._link is not None
            assert len(source._link._arrivals) == 6
            levels = [value for path, value, _ in await readings(source, 10) + await readings(source, 6) if path == "LEVEL"]
    assert levels == list(range(8))
