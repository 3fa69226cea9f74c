"""`start.first_reading`: seconds from the start of `trunkline up` in a fresh data directory to the first reading in the historian's table.

Within that time the database is made, started and migrated, every role comes up, devices are reached on three protocols, and a reading
goes all the way. The devices (the lab's plant) run already, as those of a real plant do. `up` with the simulated devices among its roles,
as in the demonstration, is told beside it: there the devices, too, have to start on the same cores.
"""

import re
import socket
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
from bench.plants import lab_document, role_command, write_site
from bench.processes import total, tree
from trunkline.config.loading import Site
from trunkline.supervisor.status import read_status
from trunkline.supervisor.supervisor import run_directory
from trunkline.supervisor.wiring import embedded_server

UNITS: Final = 10
RUNS: Final = 1 if SHORT else 5
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


def start(site: Site) -> tuple[float, dict[str, float]]:
    """Start the site once; return the seconds to the first stored reading, and the processor seconds of each process until then."""
    server = embedded_server(site)
    with (site.directory / "up.log").open("wb") as log:
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
    raise RuntimeError(f"nothing was stored: {(site.directory / 'up.log').read_text(errors='replace')[-2000:]}")


def run(folder: Path, *, devices_first: bool) -> tuple[float, dict[str, float]]:
    """Start a site in a fresh folder, once."""
    document = lab_document(UNITS, period_ms=1000)
    if not devices_first:
        return start(write_site(folder, document))
    devices = write_site(folder / "devices", document)
    del document["lab"]
    with (folder / "lab.log").open("wb") as log, subprocess.Popen(role_command(devices, "lab"), stdout=log, stderr=log) as lab:
        try:
            wait_for(int(document["gateways"][0]["sources"][0]["port"]), lab)
            return start(write_site(folder / "site", document))
        finally:
            lab.terminate()


def wait_for(port: int, lab: subprocess.Popen[bytes]) -> None:
    """Return once something listens on the port, and a moment later, so that the devices are at rest."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and lab.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(2.0)
            return
        time.sleep(0.05)
    raise RuntimeError("the devices do not start")


def tell(site: Site) -> None:
    """Say which troubles the roles had on the way."""
    for file in sorted((site.data_dir / "logs").glob("*.log")):
        words = re.findall(r'"event": ?"([^"]+)"', file.read_text(errors="replace"))
        print(f"  {file.stem}: {'; '.join(dict.fromkeys(words)) or '-'}", file=sys.stderr)


def repeat(count: int, *, devices_first: bool) -> tuple[list[float], list[dict[str, float]]]:
    """Start so many times; return seconds and costs."""
    found = []
    for number in range(count):
        with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
            Path(folder).chmod(0o711)
            found.append(run(Path(folder), devices_first=devices_first))
        seconds, spent = found[-1]
        print(f"run {number + 1}: {seconds:.2f} s, {sum(spent.values()):.2f} s of processor time: {spent}", file=sys.stderr)
    return [seconds for seconds, _ in found], [spent for _, spent in found]


def main() -> int:
    """Run the bench; return 1 if the limit was missed."""
    seconds, spent = repeat(RUNS, devices_first=True)
    with_lab, _ = repeat(RUNS, devices_first=False)
    conditions: dict[str, Any] = {
        "units": UNITS,
        "tags": 7 * UNITS,
        "seconds": [round(one, 2) for one in seconds],
        "seconds_with_devices": [round(one, 2) for one in with_lab],
        "cpu_s_by_process": spent[-1],
    }
    cpu_s = statistics.median(sum(one.values()) for one in spent)
    median = statistics.median(seconds)
    figure = at_most("start.first_reading", median, "s", LIMIT_SECONDS, conditions=conditions, runs=RUNS, cpu_s=cpu_s)
    return 0 if figure["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
