"""`source.isolated`: readings per processor second of a gateway whose source runs in a process of its own, beside the same one inside.

Two loads: `.scan`, a Modbus device of 1,555 tags read ten times a second, whose scans travel as columns; and `.single`, a source of 200
tags that hands over reading by reading fifty times a second. Both sides connect, condition and journal with the gateway's own parts
(fsync included); processor time is that of the gateway and of the source's process together, without their start. `facts` has the
microseconds of a reading and of a batch, and the resident memory of the source's process.
"""

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import structlog

from bench.harness import SHORT, Work, bench, wanted
from bench.source_modbus import section
from trunkline.config.site import BufferConfig, LogConfig
from trunkline.config.tags import SourceConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.isolation.proxy import IsolatedSource
from trunkline.gateway.runner import SourceRunner
from trunkline.log.opening import layout_of, open_edge_journal
from trunkline.model import times
from trunkline.sources.port import Source, SourceContext, plugin

SECONDS = 4.0 if SHORT else 10.0
GOAL = 0.7


def scanned(port: int) -> SourceConfig:
    """Return a Modbus source of 1,555 tags in 20 requests."""
    return plugin("modbus").config.model_validate({**section(port), "poll_interval_ms": 100})


def single(_port: int) -> SourceConfig:
    """Return a source that hands over its readings one by one."""
    tags = [{"path": f"PLANT01.AREA01.UNIT_01.T{n}", "signal": {"shape": "ramp"}} for n in range(200)]
    return plugin("simulated").config.model_validate({"id": "bench", "type": "simulated", "interval_ms": 20, "tags": tags})


def used(source: Source) -> tuple[float, float]:
    """Return processor seconds of this process and the source's own so far, and resident MB of the latter."""
    processes = [psutil.Process()]
    if isinstance(source, IsolatedSource) and (status := source.status()) is not None:
        processes.append(psutil.Process(status.pid))
    spent = sum(one.cpu_times().user + one.cpu_times().system for one in processes)
    return spent, processes[1].memory_info().rss / 2**20 if len(processes) > 1 else 0.0


async def drive(config: SourceConfig, folder: Path, *, isolated: bool) -> Work:
    """Run a source as the gateway does, and return readings and processor seconds."""
    context = SourceContext("bench", folder, times.now, str)
    source: Source = IsolatedSource(config, context) if isolated else plugin(config.type).create(config, context)
    layout = layout_of(LogConfig())
    journal = open_edge_journal(LogConfig(), folder, "bench")
    writer = EdgeWriter(journal, layout, BufferConfig(), wrote=threading.Event())
    writer.start()
    batches, warm = 0, asyncio.Event()
    read = source.read

    async def counted() -> Any:  # noqa: ANN401 - what the source gives
        nonlocal batches
        batch = await read()
        batches += 1
        if batches == 5:
            warm.set()
        return batch

    source.read = counted  # type: ignore[method-assign]
    runner = SourceRunner(config, source, writer, layout)
    running = asyncio.create_task(runner.run())
    await warm.wait()
    before, first, begun = used(source)[0], runner.readings_total, batches
    await asyncio.sleep(SECONDS)
    after, memory = used(source)
    readings, made = runner.readings_total - first, batches - begun
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    if isinstance(source, IsolatedSource):
        await source.end()
    writer.stop()
    journal.close()
    spent = after - before
    return Work(readings, spent, spent, memory, {"us_a_reading": spent / readings * 1e6, "us_a_batch": spent / made * 1e6})


def once(config: Callable[[int], SourceConfig], port: int, *, isolated: bool) -> Work:
    """Run one side once."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="bench-isolated-") as folder:
        return asyncio.run(drive(config(port), Path(folder), isolated=isolated))


def main() -> int:
    """Print both figures; exit 1 if one misses its goal."""
    passed = True
    with subprocess.Popen([sys.executable, "-m", "bench.source_modbus", "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            for name, config in (("scan", scanned), ("single", single)):
                if wanted(f"source.isolated.{name}"):
                    figure = bench(
                        f"source.isolated.{name}",
                        "readings/cpu-s",
                        partial(once, config, port, isolated=True),
                        peer=("in-process", partial(once, config, port, isolated=False)),
                        goal=GOAL,
                        runs=3 if SHORT else 5,
                        conditions={"seconds": SECONDS, "tags": len(config(port).tags), "journaling": True},
                        warm_up=False,
                    )
                    passed = passed and figure["passed"]
        finally:
            server.terminate()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
