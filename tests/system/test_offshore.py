"""From radio frames to stored readings: the offshore example on a running site, through a kill of its gateway."""

import signal
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.support import ROOT, with_free_ports
from tests.system.support import RunningSite, until

from trunkline.historian.reader import UnknownTag
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.sources.xbee.tests.radio import Module
from trunkline.supervisor.wiring import historian_reader

EXAMPLE = ROOT / "examples" / "offshore" / "site.yaml"
PRESSURE, TEMPERATURE = "OFFSHORE.FIELD_A.WELL_12.PRESSURE", "OFFSHORE.FIELD_A.WELL_12.TEMPERATURE"
#: The frame with this number shows a pressure beyond the valid range.
LIE = 37
#: Steps of a psi from frame to frame: exact in float32, and enough for minutes within the valid range.
STEPS = 64


class Sender:
    """Sends numbered frames from a thread: frame n shows n steps of pressure.

    Attributes:
        sent: how many frames are on the port.
    """

    def __init__(self, module: Module) -> None:
        self.sent = 0
        self._module = module
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="radio-of-the-well", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.01):
            self._module.receive(struct.pack(">ffH", pressure(self.sent), 64.0, 3600))
            self.sent += 1


def pressure(number: int) -> float:
    return 501.0 if number == LIE else number / STEPS


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Module]:
    one = Module(tmp_path / "xbee", mode=2)
    yield one
    one.stop()


@pytest.fixture
def site(tmp_path: Path, module: Module) -> Iterator[RunningSite]:
    file = tmp_path / "site.yaml"
    file.write_text(with_free_ports(EXAMPLE.read_text()).replace("/tmp/trunkline-xbee", str(module.path)))
    with RunningSite(file).start() as running:
        yield running


def stored(site: RunningSite, tag: str) -> list[float]:
    """Return what is GOOD in a tag's history; nothing while history does not know the tag."""
    try:
        with historian_reader(site.site) as reader:
            raw = reader.raw(tag, times.EARLIEST, times.now() + times.DAY, 100_000)
    except UnknownTag:
        return []
    assert set(raw.quality.tolist()) <= {Quality.GOOD, Quality.BAD_COMMS_LOST, Quality.UNCERTAIN_STALE}
    return [
        value
        for value, quality in zip(raw.values(), raw.quality.tolist(), strict=True)
        if quality == Quality.GOOD and isinstance(value, float)
    ]


def test_what_radios_send_is_stored_exactly_once_through_a_kill(site: RunningSite, module: Module) -> None:
    """W-44, W-91, D-16: bytes to psi, buffered, validated, stored; a SIGKILL of the gateway neither loses nor doubles what it journaled."""
    sender = Sender(module)
    until(lambda: module.greeted, "the gateway has opened the port")
    sender.start()
    try:
        until(lambda: len(stored(site, PRESSURE)) >= 100, "frames are stored")
        before = stored(site, PRESSURE)
        site.restart_role("gateway:gw-offshore", signal.SIGKILL)
        until(lambda: module.greeted == 2, "the gateway has opened the port again")
        after = sender.sent
        until(lambda: sender.sent >= after + 100, "more frames are sent")
    finally:
        sender.stop()
    last = pressure(sender.sent - 1)
    until(lambda: last in stored(site, PRESSURE)[-3:], "the last frame is stored")
    balance = site.settle()
    values = stored(site, PRESSURE)
    numbers = [round(value * STEPS) for value in values]
    expected = [number for number in range(sender.sent) if number != LIE]
    assert values == [number / STEPS for number in numbers]
    assert numbers == sorted(set(numbers)), "each frame is stored once, in order"
    assert before == [number / STEPS for number in expected[: len(before)]], "nothing is missing before the kill"
    assert [number for number in expected if number > after] == [number for number in numbers if number > after]
    assert set(stored(site, TEMPERATURE)) == {64.0}
    assert balance.totals["rejected"] == 1, "501 psi is a dead letter"
