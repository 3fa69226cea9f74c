"""`start.first_reading`: seconds from the start of `trunkline up` in a fresh data directory to the first reading in the historian's table.

The plant of the lab on its three protocols is part of the site, so the database is made, migrated and started, every role and every
device comes up, a device is polled, the reading is journaled, forwarded, validated and stored within that time.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.harness import SHORT
from bench.limits import at_most
from bench.plants import lab_document, write_site
from bench.processes import total, tree
from trunkline.cli.wiring import embedded_server
from trunkline.config.loading import Site
from trunkline.supervisor.status import read_status
from trunkline.supervisor.supervisor import run_directory

UNITS: Final = 10
RUNS: Final = 1 if SHORT else 3
LIMIT_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 90.0


def stored(conninfo: str) -> bool:
    """Return whether a reading is in the historian's table; False as well while there is no database."""
    with suppress(psycopg.Error), psycopg.connect(conninfo, connect_timeout=1) as connection:
        return connection.execute("SELECT 1 FROM historian.segment LIMIT 1").fetchone() is not None
    return False


def spent_by(site: Site, supervisor: int, server: int | None) -> dict[str, float]:
    """Return the processor seconds of each process so far."""
    status = read_status(run_directory(site.data_dir))
    pids = {role.role: role.pid for role in status.roles if role.pid} if status else {}
    pids |= {"supervisor": supervisor} | ({"postgres": server} if server else {})
    return {name: round(total(tree(pid) if name == "postgres" else [pid]).cpu_s, 2) for name, pid in pids.items()}


def run(folder: Path) -> tuple[float, dict[str, float]]:
    """Start the site once; return the seconds to the first stored reading, and the processor seconds of each process until then."""
    site = write_site(folder, lab_document(UNITS, period_ms=1000))
    server = embedded_server(site)
    with (folder / "up.log").open("wb") as log:
        started = time.perf_counter()
        command = [sys.executable, "-m", "trunkline.cli.entry", "up", str(site.file), "--headless"]
        with subprocess.Popen(command, stdout=log, stderr=log) as plant:
            try:
                while time.perf_counter() - started < PATIENCE_SECONDS and plant.poll() is None:
                    if server.pid() is not None and stored(server.conninfo):
                        seconds = time.perf_counter() - started
                        cost = spent_by(site, plant.pid, server.pid())
                        tell(site)
                        return seconds, cost
                    time.sleep(0.02)
            finally:
                plant.terminate()
    raise RuntimeError(f"nothing was stored: {(folder / 'up.log').read_text(errors='replace')[-2000:]}")


def tell(site: Site) -> None:
    """Say which troubles the roles had on the way."""
    for file in sorted((site.data_dir / "logs").glob("*.log")):
        words = re.findall(r'"event": ?"([^"]+)"', file.read_text(errors="replace"))
        print(f"  {file.stem}: {'; '.join(dict.fromkeys(words)) or '-'}", file=sys.stderr)


def main() -> int:
    """Run the bench; return 1 if the limit was missed."""
    seconds: list[float] = []
    cpu: list[dict[str, float]] = []
    for number in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
            Path(folder).chmod(0o711)
            one, spent = run(Path(folder))
        print(f"run {number + 1}: {one:.2f} s, {sum(spent.values()):.2f} s of processor time: {spent}", file=sys.stderr)
        seconds.append(one)
        cpu.append(spent)
    conditions: dict[str, Any] = {
        "units": UNITS,
        "tags": 7 * UNITS,
        "seconds": [round(one, 2) for one in seconds],
        "cpu_s_by_process": cpu[-1],
    }
    figure = at_most(
        "start.first_reading",
        statistics.median(seconds),
        "s",
        LIMIT_SECONDS,
        conditions=conditions,
        runs=RUNS,
        cpu_s=statistics.median(sum(one.values()) for one in cpu),
    )
    return 0 if figure["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
