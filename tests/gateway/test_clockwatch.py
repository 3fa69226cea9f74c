"""The gateway's own clock: offset, steps, standing still; and the skew of devices, told when it comes and when it goes."""

import json
import os
import signal
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from tests.gateway.test_role import LOG, Process, until

from trunkline.config.tags import TagConfig
from trunkline.gateway import clocksync
from trunkline.gateway.clocksync import Offset
from trunkline.gateway.clockwatch import ClockWatch
from trunkline.gateway.conditioning import Conditioner
from trunkline.gateway.skew import SkewWatch
from trunkline.lab.ports import free_ports
from trunkline.log.codec import columns as codec
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.writer import TagSlot
from trunkline.log.opening import layout_of, open_site_journal
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Kind, Reading

NOW = times.from_iso("2026-01-01T00:00:00Z")
S = times.SECOND
TAG = "P.A.U1.T"


class Machine:
    """A wall clock, one that never steps, and what the time service says."""

    def __init__(self) -> None:
        self.wall, self.steady = NOW, 1000 * S
        self.says: Offset | None = None
        self.asked = 0
        self.position = 41
        self.watch = ClockWatch(lambda: self.wall, lambda: self.position, steady=lambda: self.steady, ask=self._ask)

    def _ask(self) -> Offset | None:
        self.asked += 1
        return self.says

    async def after(self, seconds: float, *, stepped: float = 0) -> list[tuple[str, dict[str, object]]]:
        """Let time pass, and return what is told."""
        self.wall += round((seconds + stepped) * S)
        self.steady += round(seconds * S)
        return [(event.type, dict(event.attributes)) for event in await self.watch.look()]


@pytest.mark.parametrize("step", [3600, -3600, 1.5, -1.5])
async def test_a_step_is_told_with_both_times_and_the_place_in_the_journal(step: float) -> None:
    """D-14, D-15: wall time before and after; position, boot and time since boot stay beside it."""
    machine = Machine()
    assert await machine.after(1) == []
    ((kind, facts),) = await machine.after(1, stepped=step)
    assert kind == "CLOCK_STEP"
    assert (facts["from_us"], facts["to_us"], facts["step_us"]) == (NOW + 2 * S, NOW + round((2 + step) * S), round(step * S))
    assert (facts["next_position"], facts["uptime_us"]) == (41, 1002 * S)
    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert await machine.after(1) == []


async def test_slewing_is_no_step_and_a_step_has_the_service_asked_at_once() -> None:
    machine = Machine()
    for _ in range(30):
        assert await machine.after(1, stepped=0.02) == []
    assert machine.asked == 1
    await machine.after(1, stepped=5)
    assert machine.asked == 2


async def test_standing_still_is_told_and_is_no_step() -> None:
    """A gateway that hung, or a machine that slept: the clock was right all the time."""
    machine = Machine()
    await machine.after(1)
    ((kind, facts),) = await machine.after(11)
    assert (kind, facts["from_us"], facts["to_us"]) == ("GATEWAY_STALLED", NOW + 1 * S, NOW + 12 * S)
    assert await machine.after(1) == []


async def test_an_offset_is_told_once_and_once_that_it_is_over() -> None:
    """W-105, D-15: at the start and every minute; a service that does not know changes nothing."""
    machine = Machine()
    machine.says = Offset("chrony", 1.2)
    ((kind, facts),) = await machine.after(0)
    assert (kind, facts["level"], facts["offset_us"]) == ("CLOCK_OFFSET", "WARNING", 1_200_000)
    assert machine.watch.doubted
    for says in (Offset("chrony", 0.8), Offset("chrony", None), None, Offset("chrony", 2.0)):
        machine.says = says
        machine.watch._rested = machine.steady + 60 * S  # a minute of looks in between
        assert await machine.after(60) == []
        assert machine.watch.doubted
    machine.says = Offset("chrony", 0.01)
    machine.watch._rested = machine.steady + 60 * S
    told = await machine.after(60)
    assert [kind for kind, _ in told] == ["CLOCK_OFFSET_CLEARED"]
    assert not machine.watch.doubted


@pytest.mark.parametrize(("time", "quality"), [("gateway", Quality.UNCERTAIN_CLOCK_SKEW), ("device", Quality.GOOD)])
def test_what_a_doubted_clock_stamps_is_marked(time: str, quality: Quality) -> None:
    """W-105: collection goes on, and readings stamped by the gateway are flagged; a device's own stamps are as good as they were."""
    tag = TagConfig.model_validate({"path": TAG, "time": time})
    conditioner = Conditioner([(tag, TagSlot.of(TAG, "plc", Kind.DOUBLE, 4))], stale_after=10, lost_after=60, started=NOW)
    for doubted, expected in ((False, Quality.GOOD), (True, quality), (False, Quality.GOOD)):
        conditioner.clock_doubted = doubted
        ((_, fit),) = conditioner.take([Reading(TAG, 1.0, 0, NOW, NOW)], alive=False, now=NOW)
        assert fit.quality == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_skew_is_told_at_both_limits_and_when_it_is_over(sign: int) -> None:
    """W-109, W-110, D-15: over 5 s, over 10 s, and back; each once, without chatter about a limit."""
    watch = SkewWatch("plc")
    told = [watch.look(sign * round(skew * S)) for skew in (1, 4.9, 5.1, 4.9, 5.1, 9.9, 10.1, 9, 10.5, 4, 2.6, 2.4, 1, 6)]
    assert [one.kind if one else "" for one in told] == (
        ["", "", "CLOCK_SKEW_MARKED", "", "", "", "CLOCK_SKEW", "", "", "", "", "CLOCK_SKEW_CLEARED", "", "CLOCK_SKEW_MARKED"]
    )
    text = f"the clock of plc is {sign * 60}.0 s off the gateway's: check NTP on both"
    assert SkewWatch("plc").look(sign * 60 * S) == ("CLOCK_SKEW", text)


@pytest.mark.parametrize(
    ("program", "says", "expected"),
    [
        ("chronyc", "C0A80101,192.168.1.1,3,1700000000.1,-1.250000000,0.1,0.1,1.0,0.0,0.0,0.1,0.1,64.0,Normal", Offset("chrony", 1.25)),
        ("chronyc", "7F7F0101,,0,0.0,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised", Offset("chrony", None)),
        ("ntpq", "leap=0, offset=-2500.125", Offset("ntpd", 2.500125)),
        ("ntpq", "leap=3, offset=0.000000", Offset("ntpd", None)),
        ("timedatectl", "       Server: 10.0.0.1 (ntp)\n       Offset: -1min 2.5s\n", Offset("systemd-timesyncd", 62.5)),
        ("timedatectl", "       Server: n/a\n", Offset("systemd-timesyncd", None)),
        ("timedatectl", "       Offset: +713us\n", Offset("systemd-timesyncd", 0.000713)),
    ],
)
def test_the_time_service_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, says: str, expected: Offset) -> None:
    """W-105. No time service can run here: programs of their names print what the manuals of chronyc, ntpq and timedatectl show."""
    for name in ("chronyc", "ntpq", "timedatectl"):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n" if name == program else "#!/bin/sh\nexit 1\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = clocksync.offset()
    assert found is not None
    assert found.service == expected.service
    assert found.seconds == pytest.approx(expected.seconds)


SITE = """
site: test
log: {partitions: 2}
gateways:
  - id: gw1
    admin_port: %d
    sources:
      - {id: sim, type: simulated, interval_ms: 50, tags: [{path: P.A.U1.T, time: gateway}]}
"""


def test_a_gateway_whose_clock_is_off_says_so_and_goes_on(tmp_path: Path) -> None:
    """W-105, in a gateway as its own process. No time service can run here: a program of chronyc's name says 1.25 s."""
    chronyc = tmp_path / "chronyc"
    chronyc.write_text("#!/bin/sh\necho 'C0A80101,ntp,3,0.0,1.25,0.1,0.1,1.0,0.0,0.0,0.1,0.1,64.0,Normal'\n")
    chronyc.chmod(0o755)
    file = tmp_path / "site.yaml"
    (port,) = free_ports(1)
    file.write_text(SITE % port)
    process = Process("gateway", str(file), "--id", "gw1", PATH=f"{tmp_path}:{os.environ['PATH']}")
    layout = layout_of(LOG)
    try:
        with closing(open_site_journal(LOG, tmp_path / "data")) as log:

            def events() -> list[Event]:
                topic = layout.topic(Category.EVENT, "raw")
                return [decode_event(record.value) for at in log.bounds(topic) for record in log.read(at, 0, 1000)]

            def marked() -> int:
                topic = layout.topic(Category.TELEMETRY, "raw")
                found = codec.decode([record for at in log.bounds(topic) for record in log.read(at, 0, 100_000)])
                return int((found.quality == int(Quality.UNCERTAIN_CLOCK_SKEW)).sum())

            until(lambda: marked() > 20)
            (told,) = [event for event in events() if event.type == "CLOCK_OFFSET"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                assert "the gateway's clock is off by 1.250 s" in str(json.load(answer)["problems"])
            assert (told.attributes["level"], told.attributes["offset_us"]) == ("WARNING", 1_250_000)
    finally:
        assert process.end(signal.SIGTERM)[0] == 0


def test_without_a_time_service_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert clocksync.offset() is None
