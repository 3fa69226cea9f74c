"""Clocks that step by an hour, forwards and back: no reading is lost, hidden or doubled, and its quality says what is doubtful."""

import asyncio
import signal
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from tests.cli.support import trunkline
from tests.system.support import TRUNKLINE, RunningSite, until

from trunkline.config.site import BufferConfig, LabConfig, LogConfig, ValidationConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.runner import SourceRunner
from trunkline.historian.reader import UnknownTag
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text
from trunkline.log.codec import columns as codec
from trunkline.log.codec.events import decode_event
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Record, StoredRecord
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Reading, Value
from trunkline.processing.validate import ValidateStep
from trunkline.sources.modbus.tests.devices import Device as ModbusDevice
from trunkline.sources.modbus.tests.devices import Front
from trunkline.sources.port import SourceContext
from trunkline.sources.simulated.config import SimulatedConfig, SimulatedTagConfig
from trunkline.sources.simulated.source import SimulatedSource
from trunkline.supervisor.wiring import historian_reader

LOG = LogConfig(partitions=1)
LAYOUT = layout_of(LOG)
RAW, CLEAN, DEAD = (LAYOUT.topic(Category.TELEMETRY, stage) for stage in ("raw", "clean", "dead"))
EVENTS = LAYOUT.topic(Category.EVENT, "raw")
STEPS = pytest.mark.parametrize("steps", [[0, times.HOUR], [0, -times.HOUR], [0, times.HOUR, 0, -times.HOUR, 0]], ids=str)


class SteppedClock:
    """The present, off by what `offset` says."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return times.now() + self.offset


class Device(SimulatedSource):
    """Counts, and stamps with a clock of its own that never steps."""

    def _reading(self, tag: SimulatedTagConfig, value: Value, now: int) -> Reading:
        return Reading(tag.path, value, Quality.GOOD, times.now(), now)


def counter(time: str) -> SimulatedConfig:
    tag = {"path": "P.A.U1.COUNT", "kind": "integer", "time": time, "signal": {"shape": "counter"}}
    return SimulatedConfig.model_validate({"id": "sim", "type": "simulated", "interval_ms": 10, "tags": [tag]})


async def run_through(directory: Path, config: SimulatedConfig, steps: list[int]) -> None:
    """Run source, edge and forwarding while the gateway's clock steps; every offset lasts for a few dozen readings."""
    clock = SteppedClock()
    journal = open_edge_journal(LOG, directory, "gw1")
    forwarder = Forwarder(journal, lambda: open_site_log(LOG, directory), LAYOUT, clock)
    writer = EdgeWriter(journal, LAYOUT, BufferConfig(linger_ms=5), wrote=forwarder.wake)
    source = Device(config, SourceContext("gw1", directory, clock, str))
    runner = SourceRunner(config, source, writer, layout_of(LOG), clock=clock)
    writer.start()
    forwarder.start()
    running = asyncio.create_task(runner.run())
    for offset in steps:
        clock.offset = offset
        enough = runner.readings_total + 40
        while runner.readings_total < enough:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.to_thread(writer.stop)
    ends = {at: end for topic in journal.topics() for at, (_, end) in journal.bounds(topic).items()}

    def forwarded() -> bool:
        return forwarder.link_up and all(forwarder.outbox.lane(at).live >= end for at, end in ends.items())

    await asyncio.to_thread(until, forwarded, "all is forwarded")
    await asyncio.to_thread(forwarder.stop)
    journal.close()


def validated(directory: Path, config: SimulatedConfig) -> tuple[codec.Columns, int]:
    """Judge what arrived; return the clean readings in order of arrival and how many were refused."""
    with closing(open_site_log(LOG, directory)) as site:
        records = [record for at in site.bounds(RAW) for record in site.read(at, 0, 100_000)]
    step = ValidateStep(LAYOUT, {tag.path: tag for tag in config.tags}, ValidationConfig(), times.now)
    out = step.process(records)
    return codec.decode([stored(record, number) for number, record in enumerate(out[CLEAN])]), len(out.get(DEAD, []))


def stored(record: Record, offset: int) -> StoredRecord:
    return StoredRecord(CLEAN, record.partition or 0, offset, record.timestamp or 0, record.key, record.value, record.headers)


@STEPS
async def test_the_gateways_clock_steps(tmp_path: Path, steps: list[int]) -> None:
    """D-15, D-32: the device's times hold; while the two clocks disagree the quality is UNCERTAIN (clock skew), and nothing is refused."""
    config = counter("device")
    await run_through(tmp_path, config, steps)
    columns, refused = await asyncio.to_thread(validated, tmp_path, config)
    values, present = columns.integer.tolist(), columns.time.tolist()
    assert refused == 0
    assert values == list(range(len(values)))
    assert len(values) >= 40 * len(steps)
    assert not columns.absent.any(), "a step of the clock is no silence"
    assert present == sorted(present)
    qualities = Counter(columns.quality.tolist())
    assert qualities[Quality.GOOD] >= 30
    assert qualities[Quality.UNCERTAIN_CLOCK_SKEW] >= 30
    assert len(set(columns.seq.tolist())) == len(columns)


@STEPS
async def test_a_clock_that_stamps_history_steps(tmp_path: Path, steps: list[int]) -> None:
    """D-16: with 'time: gateway' there is no other clock; every reading is kept, once, in the order of its measurement."""
    config = counter("gateway")
    await run_through(tmp_path, config, steps)
    columns, refused = await asyncio.to_thread(validated, tmp_path, config)
    values = columns.integer.tolist()
    assert refused == 0
    assert values == list(range(len(values)))
    assert len(values) >= 40 * len(steps)
    assert not columns.absent.any(), "a step of the clock is no silence"
    assert len(set(columns.seq.tolist())) == len(columns)
    span = max(columns.time.tolist()) - min(columns.time.tolist())
    assert span > max(steps) - min(steps) - times.MINUTE


def test_a_devices_clock_steps_on_a_running_plant(tmp_path: Path) -> None:
    """W-109, D-15: readings an hour ahead are stored as UNCERTAIN, operators are told, and the ledger still balances."""
    modbus, opcua, mqtt, api = free_ports(4)
    file = tmp_path / "site.yaml"
    lab = LabConfig(units=3, period_ms=250, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt)
    file.write_text(site_text(SitePlan(lab, api_port=api, deadbands=False)))
    with RunningSite(file).start() as plant:
        tags = {entry.source.type: path for path, entry in plant.site.tags().items() if path.endswith("FLOW_RATE")}
        for protocol in ("opcua", "mqtt"):
            until(partial(has_quality, plant, tags[protocol], Quality.GOOD), f"readings of {protocol} are stored")
        for protocol in ("opcua", "mqtt"):
            said = trunkline("lab", "fault", "clock", protocol, "--ahead", "3600", "--site", file)
            assert said.code == 0, said.text
        for protocol in ("opcua", "mqtt"):
            until(partial(has_quality, plant, tags[protocol], Quality.UNCERTAIN_CLOCK_SKEW), f"readings of {protocol} are doubted")

        def told() -> bool:
            with historian_reader(plant.site) as reader:
                found, _ = reader.events(times.now() - times.HOUR * 2, times.now() + times.HOUR * 2)
            return {event.source for event, _ in found if event.type == "CLOCK_SKEW"} == {"opcua-server", "mqtt-broker"}

        until(told, "people are told")
        assert trunkline("lab", "fault", "clear", "--site", file).code == 0
        assert trunkline("ledger", file, "--settle", "5").code == 0
        assert trunkline("deadletter", "list", file, "--reason", "time", "--json").documents == [{"total": 0, "shown": 0}]
        assert plant.end() == 0


def has_quality(plant: RunningSite, tag: str, quality: Quality) -> bool:
    with historian_reader(plant.site) as reader:
        try:
            raw = reader.raw(tag, times.now() - 2 * times.HOUR, times.now() + 2 * times.HOUR, 100_000)
        except UnknownTag:
            return False
    return int(quality) in raw.quality.tolist()


HANGING = """\
site: test
log: {{partitions: 2}}
gateways:
  - id: gw1
    sources:
      - id: plc
        type: modbus
        host: 127.0.0.1
        port: {port}
        poll_interval_ms: 100
        timeout_ms: 60000
        tags: [{{path: P.A.U1.T, address: "holding:0", format: uint16, time: gateway}}]
"""


async def test_an_answer_that_lay_in_the_socket_while_the_gateway_hung(tmp_path: Path) -> None:
    """D-15, W-109: SIGSTOP between request and answer is told; the value is UNCERTAIN (time), its stamp no later than it was given."""
    device, front = ModbusDevice({1: {"holding": {0: [7]}}}), Front()
    await device.start()
    await front.start(device.port)
    file = tmp_path / "site.yaml"
    file.write_text(HANGING.format(port=front.port))
    command = [*TRUNKLINE, "run", "gateway", str(file), "--id", "gw1"]
    gateway = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        while len(device.requests) < 5:
            await asyncio.sleep(0.05)
        front.delay = 2.0
        asked = len(device.requests)
        while len(device.requests) < asked + 2:  # the second of them was asked while answers are held
            await asyncio.sleep(0.01)
        gateway.send_signal(signal.SIGSTOP)
        front.delay = 0.0
        held = times.now()
        await asyncio.sleep(4)
        await device.set(1, "holding", 0, [8])
        await asyncio.sleep(4)
        gateway.send_signal(signal.SIGCONT)
        seen = len(device.requests)
        while len(device.requests) < seen + 10:
            await asyncio.sleep(0.05)
    finally:
        gateway.terminate()
        await gateway.wait()
        await front.stop()
        await device.stop()
    with closing(open_site_log(LogConfig(partitions=2), file.parent / "data")) as site:
        columns = codec.decode([record for at in site.bounds(RAW) for record in site.read(at, 0, 100_000)])
        told = [decode_event(record.value) for at in site.bounds(EVENTS) for record in site.read(at, 0, 1000)]
    (stalled,) = [event for event in told if event.type == "GATEWAY_STALLED"]
    assert int(str(stalled.attributes["to_us"])) - int(str(stalled.attributes["from_us"])) >= 7 * times.SECOND
    doubtful = columns.quality == int(Quality.UNCERTAIN_TIME)
    assert doubtful.sum() == 1
    assert columns.time[doubtful][0] <= held
    assert columns.number[doubtful][0] == 7.0
    after = columns.time > held + 7 * times.SECOND
    assert after.sum() >= 5
    assert set(columns.number[after].tolist()) == {8.0}, "a value from before the hang is stamped after it"
    assert not ((columns.time > held + times.SECOND) & ~after).any()
