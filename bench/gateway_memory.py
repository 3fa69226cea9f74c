"""`gateway.memory`: peak memory of a gateway process that reads 10,000 tags over Modbus TCP once a second, journals and forwards them.

Ten devices of 1,000 float32 tags each are served by pymodbus in a process of its own. The gateway is started as the supervisor starts
it; its peak (VmHWM, reading the site file included) is taken at the end. It must not load what it does not need: Arrow alone would cost
a quarter of the limit.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from struct import pack, unpack
from typing import Any, Final

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bench.harness import SHORT
from bench.limits import at_most
from bench.plants import role_command, write_site
from bench.processes import cost_of, mapped
from trunkline.cli.status import gateway_statuses
from trunkline.config.loading import Site
from trunkline.ledger.status import GatewayStatus

DEVICES: Final = 10
TAGS: Final = 1000
SECONDS: Final = 30 if SHORT else 60
LIMIT_MB: Final = 150.0
#: Shared libraries, by the start of their names, that a gateway with Modbus devices has no use for.
NEEDLESS: Final = ("libarrow", "pyruhvro", "libpq", "_psycopg")


async def serve() -> None:
    """Serve the devices on a free port, and print it."""
    chance = random.Random(7)
    devices = []
    for unit in range(1, DEVICES + 1):
        words = [word for _ in range(TAGS) for word in unpack(">HH", pack(">f", chance.gauss(50, 10)))]
        devices.append(SimDevice(unit, simdata=[SimData(0, values=words, datatype=DataType.REGISTERS)]))
    server = ModbusTcpServer(devices, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]  # an asyncio server
    await server.serving


def document(port: int) -> dict[str, Any]:
    """Return a site file with one source a device."""
    sources = []
    for unit in range(1, DEVICES + 1):
        path = f"PLANT01.AREA{unit:02}"
        tags = [{"path": f"{path}.U{n // 10:03}.T{n % 10}", "address": f"holding:{2 * n}", "format": "float32"} for n in range(TAGS)]
        one = {"id": f"plc-{unit:02}", "type": "modbus", "host": "127.0.0.1", "port": port, "unit_id": unit, "poll_interval_ms": 1000}
        sources.append(one | {"tags": tags})
    return {"site": "bench", "gateways": [{"id": "gw", "sources": sources}]}


def report_of(site: Site) -> GatewayStatus | None:
    """Return the gateway's newest report, if there is one."""
    return gateway_statuses(site).get("gw")


def wait_until_connected(site: Site, gateway: subprocess.Popen[bytes], seconds: float = 60.0) -> GatewayStatus:
    """Return the first report in which every source is connected and was read."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and gateway.poll() is None:
        report = report_of(site)
        if report and len(report.sources) == DEVICES and all(one.state == "connected" and one.readings_total for one in report.sources):
            return report
        time.sleep(0.5)
    raise RuntimeError("the gateway does not read its devices")


def read_total(report: GatewayStatus) -> int:
    """Return how many readings the sources have given."""
    return sum(one.readings_total for one in report.sources)


def measure(site: Site, gateway: subprocess.Popen[bytes]) -> bool:
    """Watch the gateway for a while and print the figure; return whether it is within the limit."""
    first, begin = wait_until_connected(site, gateway), cost_of(gateway.pid)
    started = time.monotonic()
    time.sleep(SECONDS)
    last, end = report_of(site), cost_of(gateway.pid)
    elapsed = time.monotonic() - started
    assert last is not None
    between = (last.at_us - first.at_us) / 1e6
    rate = (read_total(last) - read_total(first)) / between if between else 0.0
    needless = sorted(name for name in mapped(gateway.pid) if name.startswith(NEEDLESS))
    conditions = {
        "tags": DEVICES * TAGS,
        "devices": DEVICES,
        "poll_interval_ms": 1000,
        "seconds": SECONDS,
        "readings_per_s": round(rate),
        "cpu_percent": round(100 * (end.cpu_s - begin.cpu_s) / elapsed, 1),
        "cpu_s_to_start": round(begin.cpu_s, 1),
        "rss_at_start_mb": round(begin.rss / 1e6, 1),
        "rss_at_end_mb": round(end.rss / 1e6, 1),
        "waiting_records": last.buffer.waiting,
        "needless_libraries": needless,
    }
    in_order = not needless and rate > 0.95 * DEVICES * TAGS
    figure = at_most(
        "gateway.memory",
        end.peak / 1e6,
        "MB",
        LIMIT_MB,
        conditions=conditions,
        cpu_s=end.cpu_s,
        rss_mb=end.peak / 1e6,
        passed=in_order,
    )
    return bool(figure["passed"])


def main() -> int:
    """Run the bench; return 1 if the limit was missed."""
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
        return 0
    command = [sys.executable, "-m", "bench.gateway_memory", "--serve"]
    with (
        tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as plc,
    ):
        try:
            assert plc.stdout is not None
            site = write_site(Path(folder), document(int(plc.stdout.readline())))
            with (
                (Path(folder) / "gateway.log").open("wb") as log,
                subprocess.Popen(role_command(site, "gateway", "--id", "gw"), stdout=log, stderr=log) as gateway,
            ):
                try:
                    return 0 if measure(site, gateway) else 1
                finally:
                    gateway.terminate()
        finally:
            plc.terminate()


if __name__ == "__main__":
    sys.exit(main())
