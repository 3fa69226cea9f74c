"""Runs a command beside a freshly started demonstration plant: `tools/with_plant.py COMMAND…`.

The command finds the page's address in TRUNKLINE_URL, the administrator's password in TRUNKLINE_PASSWORD and the site file in
TRUNKLINE_SITE. The plant lives in a folder of its own on free ports and is taken down afterwards. With LOG=kafka in the environment its log
is a real broker.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from trunkline.config.loading import Site, load
from trunkline.config.site import LabConfig
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text
from trunkline.security.users import ensure_administrator

START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 60.0


def make_site(directory: Path) -> Site:
    """Write and load the site file."""
    modbus, opcua, mqtt, api, broker = free_ports(5)
    lab = LabConfig(units=10, seed=7, period_ms=1000, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt)
    file = directory / "site.yaml"
    file.write_text(site_text(SitePlan(lab, api_port=api, kafka_ports=(broker,) if os.environ.get("LOG") == "kafka" else ())))
    return load(file)


def wait_for_page(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the API says that it is well."""
    deadline = time.monotonic() + START_SECONDS
    answer = "nothing"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/v1/health", timeout=5) as response:
                answer = json.load(response)["status"]
                if answer == "ok":
                    return
        except (urllib.error.URLError, OSError) as error:
            answer = str(error)
        time.sleep(0.5)
    raise SystemExit(f"the plant did not come up: {answer}")


def wait_for_history(site: Site) -> None:
    """Return once the ledger balances with something stored in it."""
    deadline = time.monotonic() + START_SECONDS
    command = [sys.executable, "-m", "trunkline.cli.entry", "ledger", str(site.file), "--json"]
    while time.monotonic() < deadline:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode == 0 and json.loads(asked.stdout.splitlines()[-1])["stored"] > 500:
            return
        time.sleep(1.0)
    raise SystemExit(f"nothing was stored in time: {asked.stderr}")


def main() -> int:
    """Start, run, stop."""
    with tempfile.TemporaryDirectory(prefix="trunkline-plant-") as folder:
        site = make_site(Path(folder))
        password = ensure_administrator(site.data_dir) or ""
        url = f"http://127.0.0.1:{site.config.api.port}"
        command = [sys.executable, "-m", "trunkline.cli.entry", "up", str(site.file), "--headless"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        try:
            wait_for_page(url, process)
            wait_for_history(site)
            environment = {**os.environ, "TRUNKLINE_URL": url, "TRUNKLINE_PASSWORD": password, "TRUNKLINE_SITE": str(site.file)}
            code = subprocess.run(sys.argv[1:], env=environment, check=False).returncode
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
        if code:
            for log in sorted((site.data_dir / "logs").glob("*.log")):
                sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}\n")
        return code


if __name__ == "__main__":
    raise SystemExit(main())
