"""Registers read per second by the Modbus source, against a bare pymodbus loop on the same server.

Both read the same holding registers in requests of 125 from a pymodbus server in a process of its own. The loop only receives
registers; the source also decodes them (float32 in two byte orders, scaled uint16, int32 as integers), judges and stamps every reading,
and the gateway's own parts condition them and write them to the edge journal: a sweep counts once it is durable (fsync included). Both use
one connection. They take turns, four sweeps over all registers each, so that whatever else the machine does slows both alike.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import structlog
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bench.harness import SHORT, machine
from trunkline.config.site import BufferConfig, LogConfig
from trunkline.gateway.clockwatch import uptime
from trunkline.gateway.conditioning import Conditioner
from trunkline.gateway.edge import EdgeWriter
from trunkline.log.codec.writer import TagSlot
from trunkline.log.opening import layout_of, open_edge_journal
from trunkline.model import times
from trunkline.model.scan import Scan
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.modbus.source import ModbusSource
from trunkline.sources.port import ReadBatch, SourceContext

REGISTERS = 2_500
REQUEST = 125
CONNECTIONS = 1
#: Times that each connection reads every register until it is the other side's turn.
SWEEPS = 20
GOAL = 0.8


async def serve() -> None:
    """Serve the registers on a free port, and print it."""
    values = [0x4248, 0x0000] * (REGISTERS // 2)
    device = SimDevice(1, simdata=[SimData(0, values=values, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]  # an asyncio server
    await server.serving


def section(port: int) -> dict[str, Any]:
    """Return the source's section of the site file: tags that fill every register, a quarter of the registers for each sort."""
    sorts: list[tuple[int, dict[str, Any]]] = [
        (2, {"time": "gateway", "format": "float32"}),
        (2, {"time": "gateway", "format": "float32", "word_order": "CDAB"}),
        (1, {"time": "gateway", "format": "uint16", "scale": 0.1, "offset": -40}),
        (2, {"time": "gateway", "format": "int32", "kind": "integer"}),
    ]
    tags: list[dict[str, Any]] = []
    for quarter, (width, more) in enumerate(sorts):
        first = quarter * REGISTERS // 4 // REQUEST * REQUEST
        last = (quarter + 1) * REGISTERS // 4 // REQUEST * REQUEST
        for block in range(first, last, REQUEST):
            starts = range(block, block + REQUEST - width + 1, width)
            tags += [{"path": f"PLANT01.AREA01.UNIT_01.R{at}", "address": f"holding:{at}", **more} for at in starts]
    return {"id": "bench", "type": "modbus", "host": "127.0.0.1", "port": port, "poll_interval_ms": 1, "timeout_ms": 10_000, "tags": tags}


async def sweep_bare(client: AsyncModbusTcpClient) -> int:
    """Read every register so many times with the library alone; return how many came."""
    read = 0
    for start in SWEEPS * list(range(0, REGISTERS, REQUEST)):
        reply = await client.read_holding_registers(start, count=REQUEST)
        read += len(reply.registers)
    return read


class Gateway:
    """What a gateway does with its sources: reading, conditioning and durable writes; the sources are read side by side."""

    def __init__(self, port: int, folder: Path) -> None:
        self.config = ModbusConfig.model_validate(section(port))
        self._sources = [ModbusSource(self.config, SourceContext("bench", folder, times.now, str)) for _ in range(CONNECTIONS)]
        self._conditioners = [self._conditioner(number) for number in range(CONNECTIONS)]
        self._journal = open_edge_journal(LogConfig(), folder, "bench")
        # a sweep is written at once: a linger would wait for readings of other sources, which do not exist here
        buffer = BufferConfig(batch_readings=len(self.config.tags))
        self._writer = EdgeWriter(self._journal, layout_of(LogConfig()), buffer, wrote=threading.Event())
        self._writer.start()

    def _conditioner(self, number: int) -> Conditioner:
        partitions = LogConfig().partitions
        slots = [(tag, TagSlot.of(tag.path, f"plc-{number}", tag.value_kind, partitions)) for tag in self.config.tags]
        return Conditioner(slots, self.config.stale_after, self.config.lost_after, uptime())

    async def connect(self) -> None:
        """Connect every source."""
        for source in self._sources:
            await source.connect()

    async def sweep(self) -> int:
        """Scan every source so many times and make all of it durable; return how many registers the readings cover."""
        await asyncio.gather(*map(self._scan, self._sources, self._conditioners))
        return CONNECTIONS * SWEEPS * sum(tag.layout.registers for tag in self.config.tags)

    async def _scan(self, source: ModbusSource, conditioner: Conditioner) -> None:
        """Read on while the scan before is made durable, as `trunkline.gateway.runner` does."""
        storing: asyncio.Task[None] | None = None
        for _ in range(SWEEPS):
            batch = await source.read()
            scan = batch.readings
            if not isinstance(scan, Scan) or len(scan) != len(self.config.tags) or scan.quality is not None:
                raise SystemExit("a reading is missing or not good")
            if storing is not None:
                await storing
            storing = asyncio.create_task(self._store(batch, scan, conditioner))
        if storing is not None:
            await storing

    async def _store(self, batch: ReadBatch, scan: Scan, conditioner: Conditioner) -> None:
        await self._writer.submit(conditioner.take_scan(scan, alive=batch.alive, now=uptime()))
        await batch.ack()

    async def close(self) -> int:
        """Close the sources and end the writer; return how many readings the journal has."""
        for source in self._sources:
            await source.close()
        self._writer.stop()
        self._journal.close()
        return self._writer.read_total


async def run(port: int, seconds: float) -> tuple[float, float]:
    """Return registers per second of the gateway and of the loop, in turn."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port, timeout=10) for _ in range(CONNECTIONS)]
    for client in clients:
        await client.connect()
    with tempfile.TemporaryDirectory(prefix="bench-modbus-") as folder:
        gateway = Gateway(port, Path(folder))
        await gateway.connect()
        turns = ours = peers = 0
        our_time = peer_time = 0.0
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            ours += await gateway.sweep()
            middle = time.perf_counter()
            peers += sum(await asyncio.gather(*map(sweep_bare, clients)))
            our_time += middle - start
            peer_time += time.perf_counter() - middle
            turns += 1
        for client in clients:
            client.close()
        if await gateway.close() != turns * CONNECTIONS * SWEEPS * len(gateway.config.tags):
            raise SystemExit("a reading is missing in the journal")
    return ours / our_time, peers / peer_time


async def compare(port: int, runs: int, seconds: float) -> list[tuple[float, float]]:
    """Return (source, loop) rates of several runs."""
    pairs = []
    for number in range(1, runs + 1):
        pairs.append(await run(port, seconds))
        print(f"run {number}: source {pairs[-1][0]:,.0f} registers/s, loop {pairs[-1][1]:,.0f}", file=sys.stderr)
    return pairs


def main() -> int:
    """Print the result as one JSON line; exit 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description="registers per second of the Modbus source")
    parser.add_argument("--runs", type=int, default=3 if SHORT else 5)
    parser.add_argument("--seconds", type=float, default=3.0 if SHORT else 6.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return 0
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with subprocess.Popen([sys.executable, "-m", "bench.source_modbus", "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            pairs = asyncio.run(compare(int(server.stdout.readline()), arguments.runs, arguments.seconds))
        finally:
            server.terminate()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ratio = statistics.median(ours / peer for ours, peer in pairs)
    result = {
        "bench": "source.modbus",
        "rate": round(statistics.median(ours for ours, _ in pairs)),
        "unit": "registers/s",
        "peer": "pymodbus-loop",
        "peer_rate": round(statistics.median(peer for _, peer in pairs)),
        "ratio": round(ratio, 3),
        "goal": GOAL,
        "runs": len(pairs),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "rss_mb": round(usage.ru_maxrss / 1024),
        "conditions": machine()
        | {"registers": REGISTERS, "request": REQUEST, "seconds": arguments.seconds, "connections": CONNECTIONS, "journaling": True},
        "passed": ratio >= GOAL,
    }
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
