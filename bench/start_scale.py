"""How long a large site takes to start.

- `start.load`: seconds to read and check a site file of 50,000 Modbus tags in 200 sources, which every role does when it starts.
- `start.large`: seconds from `trunkline up` with that file, in a fresh data directory, to the first reading in the historian's table. The
  devices run already (`bench.gateway_scale`). Every role reads the file, on the same cores.
"""

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.gateway_scale import Size, devices, modbus
from bench.harness import SHORT, Run, Work, measure, wanted
from bench.limits import at_most
from bench.plants import write_site
from bench.start import start
from trunkline.config.loading import load
from trunkline.lab.ports import free_ports

SIZE: Final = Size(20, 50) if SHORT else Size(200, 250)
POLL_MS: Final = 5000
RUNS: Final = 3
LOAD_SECONDS: Final = 3.0
START_SECONDS: Final = 30.0


def document(ports: list[int]) -> dict[str, Any]:
    """Return the site file."""
    (api,) = free_ports(1)
    return {"site": "bench", "api": {"port": api}, "gateways": [{"id": "gw", "sources": modbus(SIZE, ports, POLL_MS)}]}


def read(file: Path) -> Work:
    """Read the file once."""
    began, cpu = time.perf_counter(), time.process_time()
    tags = len(load(file).tags())
    return Work(tags, time.perf_counter() - began, time.process_time() - cpu)


def load_time() -> bool:
    """Measure reading alone."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        site = write_site(Path(folder), document([1502, 1503]))
        size_mb = site.file.stat().st_size / 1e6
        runs: list[Run] = [measure(partial(read, site.file)) for _ in range(RUNS)]
    seconds = [SIZE.tags / run.rate for run in runs]
    conditions = {"tags": SIZE.tags, "sources": SIZE.sources, "file_mb": round(size_mb, 1), "seconds": [round(one, 2) for one in seconds]}
    cpu_s, rss_mb = statistics.median(run.cpu_s for run in runs), statistics.median(run.rss_mb for run in runs)
    median = statistics.median(seconds)
    figure = at_most("start.load", median, "s", LOAD_SECONDS, conditions=conditions, runs=RUNS, cpu_s=cpu_s, rss_mb=rss_mb)
    return bool(figure["passed"])


def start_time() -> bool:
    """Measure a whole start."""
    found = []
    with devices(SIZE) as ports:
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
                Path(folder).chmod(0o711)
                found.append(start(write_site(Path(folder), document(ports))))
            print(f"  {found[-1]}", file=sys.stderr)
    seconds = [one for one, _ in found]
    conditions = {
        "tags": SIZE.tags,
        "sources": SIZE.sources,
        "seconds": [round(one, 2) for one in seconds],
        "cpu_s_by_process": found[-1][1],
    }
    cpu_s = statistics.median(sum(spent.values()) for _, spent in found)
    median = statistics.median(seconds)
    figure = at_most("start.large", median, "s", START_SECONDS, conditions=conditions, runs=RUNS, cpu_s=cpu_s)
    return bool(figure["passed"])


def main() -> int:
    """Run what is wanted; return 1 if a limit was missed."""
    passed = True
    if wanted("start.load"):
        passed &= load_time()
    if wanted("start.large"):
        passed &= start_time()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
