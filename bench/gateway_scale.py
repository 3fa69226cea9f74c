"""What a large gateway costs: memory and processor time by tags and by sources, and 10,000 readings a second from 50,000 tags, sustained.

The devices are real Modbus TCP: one process serves a unit for each source behind two ports, and all its values change every second. The
gateway runs as the supervisor starts it, forwards to an embedded site log, and is watched from outside (/proc). Every size is run twice:
idle (connected, nothing is polled) and with every tag polled so often that 10,000 readings a second come.

- `gateway.empty`: resident megabytes of the smallest gateway, idle and with an empty buffer.
- `gateway.scale.tags`: megabytes for each further 1,000 tags, at 10,000 readings a second; twenty sources.
- `gateway.scale.sources`: megabytes for each further source, of the same 50,000 tags.
- `gateway.sustained`: readings a second of 50,000 tags from 200 sources, forwarded; afterwards the ledger must say that nothing waits.
- `gateway.sustained.single`: the same from 200 simulated sources, which hand over every reading as an object with the device's time.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.datastore import ModbusServerContext
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadHoldingRegistersResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bench.harness import SHORT, wanted
from bench.limits import at_least, at_most, slope
from bench.plants import role_command, write_site
from bench.processes import cost_of
from trunkline.cli.status import gateway_statuses
from trunkline.config.loading import Site
from trunkline.gateway.edge import edge_counts
from trunkline.ledger.status import GatewayStatus
from trunkline.log.opening import open_edge_journal


class Size(NamedTuple):
    """How large a gateway is."""

    sources: int
    each: int

    @property
    def tags(self) -> int:
        """Tags of all sources."""
        return self.sources * self.each


class Point(NamedTuple):
    """A gateway as it was watched. Rates, memory (MB) and processor (share of one core) are of the whole time after the start."""

    size: Size
    load: str
    start_s: float
    start_cpu_s: float
    rate: float
    slowest: float
    rss: float
    peak: float
    cpu: float
    waiting: int

    def told(self) -> dict[str, Any]:
        """Return it for the figure's conditions."""
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in self._asdict().items()}
        return rounded | {"size": f"{self.size.sources} x {self.size.each}"}


SIZES: Final = (Size(4, 25), Size(4, 100), Size(4, 250)) if SHORT else (Size(20, 50), Size(20, 500), Size(20, 2_500))
SPREADS: Final = (Size(4, 250), Size(10, 100), Size(20, 50)) if SHORT else (Size(20, 2_500), Size(100, 500), Size(200, 250))
RATE: Final = 1_000.0 if SHORT else 10_000.0
#: Watched so long; the sustained runs longer.
IDLE_SECONDS: Final = 6.0 if SHORT else 20.0
LOAD_SECONDS: Final = 8.0 if SHORT else 30.0
SUSTAINED_SECONDS: Final = 10.0 if SHORT else 90.0
WINDOW_SECONDS: Final = 4.0 if SHORT else 10.0
PATIENCE_SECONDS: Final = 120.0
EMPTY_MB: Final = 120.0
MB_PER_1000_TAGS: Final = 5.0
MB_PER_SOURCE: Final = 0.5
PORTS: Final = 2
NEVER_MS: Final = 3_600_000


def request_type(images: dict[int, list[int]]) -> type[ModbusPDU]:
    """Return a request that answers straight from the images, by unit id: pymodbus calls `datastore_update` for each that it decodes."""

    class ReadRegisters(ReadHoldingRegistersRequest):
        async def datastore_update(self, context: ModbusServerContext, device_id: int) -> ModbusPDU:
            del context
            image = images.get(device_id)
            if image is None or self.address + self.count > len(image):
                return ExceptionResponse(self.function_code, ExcCodes.ILLEGAL_ADDRESS)
            return ReadHoldingRegistersResponse(registers=image[self.address : self.address + self.count])

    return ReadRegisters


async def serve(size: Size) -> None:
    """Serve a unit for each source on free ports, print these, and change every value once a second."""
    chance = np.random.default_rng(7)
    images: dict[int, list[int]] = {}
    ports = []
    for _ in range(PORTS):
        idle = SimDevice(0, simdata=[SimData(0, count=1, values=0, datatype=DataType.REGISTERS, readonly=True)])
        server = ModbusTcpServer(idle, address=("127.0.0.1", 0), custom_pdu=[request_type(images)])
        await server.serve_forever(background=True)
        ports.append(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]  # an asyncio server
    told = False
    while True:
        for unit in range(1, size.sources + 1):
            images[unit] = chance.normal(50, 10, size.each).astype(">f4").view(">u2").tolist()
            await asyncio.sleep(0)
        if not told:
            print(*ports, flush=True)
            told = True
        await asyncio.sleep(1.0)


def modbus(size: Size, ports: Sequence[int], interval_ms: int) -> list[dict[str, Any]]:
    """Return the sections of sources with `each` float32 tags."""
    sources = []
    for unit in range(1, size.sources + 1):
        tags = [
            {
                "path": f"PLANT01.AREA{unit:03}.U{n // 10:03}.T{n % 10}",
                "address": f"holding:{2 * n}",
                "format": "float32",
                "time": "gateway",
            }
            for n in range(size.each)
        ]
        one = {"id": f"plc-{unit:03}", "type": "modbus", "host": "127.0.0.1", "port": ports[unit % PORTS], "unit_id": unit}
        sources.append(one | {"poll_interval_ms": interval_ms, "timeout_ms": 5000, **_patience(interval_ms), "tags": tags})
    return sources


def simulated(size: Size, interval_ms: int) -> list[dict[str, Any]]:
    """Return the sections of sources that make `each` readings with a time of their own."""
    sources = []
    for number in range(1, size.sources + 1):
        tags = [{"path": f"PLANT01.AREA{number:03}.U{n // 10:03}.T{n % 10}"} for n in range(size.each)]
        sources.append({"id": f"sim-{number:03}", "type": "simulated", "interval_ms": interval_ms, **_patience(interval_ms), "tags": tags})
    return sources


def _patience(interval_ms: int) -> dict[str, int]:
    return {"stale_after": 3 * interval_ms // 1000 + 10, "lost_after": 4 * interval_ms // 1000 + 60}


@contextmanager
def devices(size: Size) -> Iterator[list[int]]:
    """Run the devices; yield their ports."""
    command = [sys.executable, "-m", "bench.gateway_scale", "--serve", str(size.sources), str(size.each)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as plc:
        try:
            assert plc.stdout is not None
            yield [int(port) for port in plc.stdout.readline().split()]
        finally:
            plc.terminate()


def connected(report: GatewayStatus | None, size: Size) -> bool:
    """Return whether every source is connected and was read."""
    sources = report.sources if report else []
    return len(sources) == size.sources and all(one.state == "connected" and one.readings_total for one in sources)


def read_total(report: GatewayStatus) -> int:
    """Return how many readings the sources have given."""
    return sum(one.readings_total for one in report.sources)


def newest(site: Site) -> GatewayStatus | None:
    """Return the gateway's newest report, if there is one."""
    return gateway_statuses(site).get("gw")


def watch(site: Site, size: Size, load: str, seconds: float) -> Point:
    """Start a gateway, watch it for so long once all sources are connected, stop it, and see that nothing waits."""
    began = time.monotonic()
    with (
        (site.directory / "gateway.log").open("wb") as log,
        subprocess.Popen(role_command(site, "gateway", "--id", "gw"), stdout=log, stderr=log) as gateway,
    ):
        try:
            while not connected(newest(site), size):
                if gateway.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
                    raise RuntimeError(f"the gateway does not read its devices: {(site.directory / 'gateway.log').read_text()[-2000:]}")
                time.sleep(0.25)
            started, begin, reports = time.monotonic(), cost_of(gateway.pid), [newest(site)]
            while time.monotonic() - started < seconds:
                time.sleep(min(WINDOW_SECONDS, seconds))
                reports.append(newest(site))
            elapsed, end = time.monotonic() - started, cost_of(gateway.pid)
        finally:
            gateway.terminate()
    heard = [one for one in reports if one is not None]
    rates = [
        (read_total(after) - read_total(before)) / ((after.at_us - before.at_us) / 1e6)
        for before, after in pairwise(heard)
        if after.at_us > before.at_us
    ]
    expect_all_forwarded(site)
    point = Point(
        size=size,
        load=load,
        start_s=started - began,
        start_cpu_s=begin.cpu_s,
        rate=statistics.median(rates) if rates else 0.0,
        slowest=min(rates, default=0.0),
        rss=end.rss / 1e6,
        peak=end.peak / 1e6,
        cpu=(end.cpu_s - begin.cpu_s) / elapsed,
        waiting=heard[-1].buffer.waiting,
    )
    print(f"  {point.told()}", file=sys.stderr, flush=True)
    return point


def expect_all_forwarded(site: Site) -> None:
    """Raise RuntimeError if the edge's own counts say that something it read was not forwarded."""
    with open_edge_journal(site.config.log, site.data_dir, "gw") as journal:
        cells = edge_counts(journal.tallies())
    read, forwarded = sum(cell.read for cell in cells), sum(cell.forwarded for cell in cells)
    if not read or read != forwarded:
        raise RuntimeError(f"{read} records were read, {forwarded} were forwarded")


def run(size: Size, load: str, sources: list[dict[str, Any]], seconds: float) -> Point:
    """Watch a gateway with these sources in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        site = write_site(Path(folder), {"site": "bench", "gateways": [{"id": "gw", "sources": sources}]})
        return watch(site, size, load, seconds)


def interval_ms(size: Size, rate: float) -> int:
    """Return the time between two scans at which a gateway of this size reads so many tags a second."""
    return round(1000 * size.tags / rate)


def scale() -> bool:
    """Run every size idle and loaded; print what the smallest needs, and the two slopes."""
    points = []
    for size in dict.fromkeys((*SIZES, *SPREADS)):
        with devices(size) as ports:
            points.append(run(size, "idle", modbus(size, ports, NEVER_MS), IDLE_SECONDS))
            points.append(run(size, "loaded", modbus(size, ports, interval_ms(size, RATE)), LOAD_SECONDS))
    conditions = {"rate": RATE, "idle_seconds": IDLE_SECONDS, "seconds": LOAD_SECONDS, "points": [point.told() for point in points]}
    loaded = {point.size: point for point in points if point.load == "loaded"}
    empty = min((point for point in points if point.load == "idle"), key=lambda point: point.size.tags)
    by_tags = slope([(size.tags / 1000, loaded[size].rss) for size in SIZES])
    by_sources = slope([(size.sources, loaded[size].rss) for size in SPREADS])
    figures = [
        at_most("gateway.empty", empty.rss, "MB", EMPTY_MB, conditions=empty.told(), rss_mb=empty.peak, passed=empty.waiting == 0),
        at_most("gateway.scale.tags", by_tags, "MB/1,000 tags", MB_PER_1000_TAGS, conditions=conditions),
        at_most("gateway.scale.sources", by_sources, "MB/source", MB_PER_SOURCE, conditions=conditions),
    ]
    return all(figure["passed"] for figure in figures)


def sustained(name: str, sources: list[dict[str, Any]], size: Size) -> bool:
    """Run the largest gateway for a while; print the rate that it keeps up."""
    point = run(size, "sustained", sources, SUSTAINED_SECONDS)
    conditions = {"tags": size.tags, "seconds": SUSTAINED_SECONDS, **point.told()}
    figure = at_least(name, point.rate, "readings/s", RATE, conditions=conditions, cpu_s=point.cpu * SUSTAINED_SECONDS, rss_mb=point.peak)
    return bool(figure["passed"])


def main() -> int:
    """Run what is wanted; return 1 if a limit was missed."""
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Size(int(sys.argv[2]), int(sys.argv[3]))))
        return 0
    passed = True
    if any(map(wanted, ("gateway.empty", "gateway.scale.tags", "gateway.scale.sources"))):
        passed &= scale()
    largest = SPREADS[-1]
    pace = interval_ms(largest, 1.03 * RATE)  # a little more than is asked for: what is late by a scan must not decide
    if wanted("gateway.sustained"):
        with devices(largest) as ports:
            passed &= sustained("gateway.sustained", modbus(largest, ports, pace), largest)
    if wanted("gateway.sustained.single"):
        passed &= sustained("gateway.sustained.single", simulated(largest, pace), largest)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
