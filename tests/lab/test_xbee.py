"""The simulated offshore radio: its bytes by Digi's own library, its port through the real source."""

import itertools
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from digi.xbee.models.mode import OperatingMode
from digi.xbee.packets import factory
from digi.xbee.packets.base import XBeeAPIPacket, XBeePacket
from digi.xbee.packets.common import ATCommPacket, ATCommResponsePacket, ReceivePacket
from tests.lab.harness import PATIENCE, eventually
from typer.testing import CliRunner

from trunkline.lab import xbee_radio
from trunkline.lab.cli import app
from trunkline.lab.xbee_radio import NODE, Measured, answers, receive_packet, run_radio, well
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.sources.port import SourceContext, plugin


@contextmanager
def radio(link: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`trunkline lab xbee` in a process of its own."""
    code = "from trunkline.lab.cli import app; app(prog_name='trunkline lab')"
    arguments = [sys.executable, "-c", code, "xbee", "--link", str(link), "--period-ms", "20", *options]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: link.is_symlink() or process.poll() is not None, "the radio's port is there")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def whole(wire: bytes) -> XBeeAPIPacket:
    """Return a frame with escapes as Digi's library understands it."""
    packet: XBeeAPIPacket = factory.build_frame(XBeePacket.unescape_data(bytearray(wire)), OperatingMode.API_MODE)
    return packet


def test_the_well_begins_with_the_pressure_of_the_requirement() -> None:
    """W-91: 185.4 psi, valid 0 to 500; one seed gives one well."""
    first, *more = itertools.islice(well(7), 5_000)
    assert first == Measured(185.4, 64.0, 3600)
    assert [first, *more] == list(itertools.islice(well(7), 5_000))
    assert more[:10] != list(itertools.islice(well(8), 1, 11))
    assert all(100 < one.pressure < 300 for one in more)


def test_digis_library_reads_what_the_radio_sends() -> None:
    """W-91: real bytes."""
    packet = whole(receive_packet(Measured(185.4, 64.0, 3600).payload()))
    assert isinstance(packet, ReceivePacket)
    assert str(packet.x64bit_source_addr) == NODE.hex().upper()
    assert struct.unpack(">ffH", packet.rf_data) == (pytest.approx(185.4, rel=1e-7), 64.0, 3600)


def test_the_module_answers_digis_library() -> None:
    wire = [ATCommPacket(frame_id, command).output(escaped=True) for frame_id, command in ((0x11, "AP"), (0x7E, "NI"), (9, "AP"))]
    asked = bytearray(b"\x00noise" + wire[0] + wire[0][:4] + wire[1] + wire[2][:5])
    first, second = map(whole, answers(asked))
    assert isinstance(first, ATCommResponsePacket)
    assert isinstance(second, ATCommResponsePacket)
    assert (first.frame_id, first.command, first.status.code, bytes(first.command_value)) == (0x11, "AP", 0, b"\x02")
    assert (second.frame_id, second.command, second.status.code) == (0x7E, "NI", 2)
    assert len(asked) == 5


async def test_the_source_reads_the_radio(tmp_path: Path) -> None:
    """W-44, W-91: `trunkline lab xbee` on its port, through the installed source."""
    link = tmp_path / "xbee"
    section = {
        "id": "well",
        "type": "xbee",
        "port": str(link),
        "api_mode": 2,
        "node_id": NODE.hex(),
        "registers": {40001: "bytes 0 to 3", 40003: "bytes 4 to 7", 40005: "bytes 8 to 9"},
        "tags": [
            {"path": "PRESSURE", "address": 40001, "format": "float32"},
            {"path": "BATTERY", "address": 40005, "format": "uint16", "scale": 0.001},
        ],
    }
    shown = {struct.unpack(">f", struct.pack(">f", one.pressure))[0] for one in itertools.islice(well(5), 5_000)}
    found = plugin("xbee")
    with radio(link, "--seed", "5"):
        source = found.create(found.config.model_validate(section), SourceContext("g", tmp_path, times.now, str))
        await source.connect()
        try:
            for _ in range(3):
                pressure, battery, *_ = (await source.read()).readings
                assert (pressure.tag, pressure.quality) == ("PRESSURE", Quality.GOOD)
                assert pressure.value in shown
                assert (battery.value, battery.quality) == (3.6, Quality.GOOD)
        finally:
            await source.close()
    assert not link.is_symlink()


def test_it_ends_by_itself_and_counts(tmp_path: Path) -> None:
    with radio(tmp_path / "xbee", "--for", "0.1") as process:
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        ready, ended = process.stderr.read().splitlines()
    assert NODE.hex().upper() in ready
    assert int(ended.removesuffix(" frames")) >= 1


def test_a_link_left_over_is_taken_over_and_nothing_else_is(tmp_path: Path) -> None:
    left, file = tmp_path / "left", tmp_path / "file"
    left.symlink_to("/dev/pts/999999")
    with xbee_radio.port(left) as module:
        assert left.exists()
        assert select.select([], [module], [], 0)[1] == [module]
    file.write_text("mine")
    said = CliRunner().invoke(app, ["xbee", "--link", str(file), "--for", "0.1"])
    assert said.exit_code == 1
    assert "File exists" in said.output
    assert file.read_text() == "mine"


async def test_a_port_that_nobody_reads_does_not_hold_it_up(tmp_path: Path) -> None:
    """What no gateway takes is lost, as on a real port; the radio goes on after the terminal's 4096 bytes are full."""
    sent = await run_radio(tmp_path / "xbee", seed=1, period_ms=0, seconds=1.0, on_ready=lambda: None)
    assert sent * len(receive_packet(Measured(1.0, 1.0, 1).payload())) > 2 * 4096
