"""A plant on free ports in a folder of its own, supervised by the drill itself, so that it knows every process by id."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from trunkline.cli.kafka_role import prepare
from trunkline.cli.status import gateway_statuses
from trunkline.cli.up import drain
from trunkline.config.loading import Site, load
from trunkline.config.site import LabConfig
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text
from trunkline.ledger.balance import Balance
from trunkline.log.opening import layout_of
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.supervisor import Supervisor
from trunkline.supervisor.wiring import conninfo, site_log

TRUTH = "truth.jsonl"
#: Between two looks that cost something: connections to brokers or the database.
_LOOK_SECONDS = 1.0
#: What an outage left at the edge is forwarded within seconds; brokers may still be starting.
_FORWARD_SECONDS = 180.0


def say(text: str) -> None:
    """Tell people."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def make_site(directory: Path, *, units: int, period_ms: int, seed: int, brokers: int = 0) -> Site:
    """Write a site file for a lab plant with ground truth and without deadbands, and load it; with brokers, the log is Kafka."""
    modbus, opcua, mqtt, api = free_ports(4)
    lab = LabConfig(units=units, seed=seed, period_ms=period_ms, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt, truth=TRUTH)
    file = directory / "site.yaml"
    file.write_text(site_text(SitePlan(lab, api_port=api, deadbands=False, kafka_ports=tuple(lasting_ports(brokers)))))
    site = load(file)
    prepare(site)
    return site


class Stage:
    """A running plant."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.supervisor = Supervisor(site)

    @property
    def truth(self) -> Path:
        """The lab's ground truth."""
        return self.site.data_dir / "lab" / TRUTH

    def tend(self, seconds: float, until: Callable[[], bool] = lambda: False, every: float = 0.05) -> bool:
        """Keep the roles running for a while, or until something holds, looked at `every` so many seconds; return whether it held."""
        deadline = time.monotonic() + seconds
        look = 0.0
        while time.monotonic() < deadline:
            self.supervisor.tend()
            if time.monotonic() >= look:
                if until():
                    return True
                look = time.monotonic() + every
            time.sleep(min(every, 0.05))
        return until()

    def wait_until_flowing(self, seconds: float = 60.0) -> None:
        """Return once validation and the historian have read something and every gateway reports connected sources."""
        layout = layout_of(self.site.config.log)

        def flowing() -> bool:
            try:
                with site_log(self.site) as log:
                    return bool(log.committed("historian")) and sum(end for _, end in log.bounds(layout.gateway_status).values()) > 2
            except (RetryLater, Misconfigured):  # brokers are not there yet, or do not know this site yet
                return False

        if not self.tend(seconds, flowing, _LOOK_SECONDS):
            raise RuntimeError(f"the plant did not start within {seconds:g} s: see {self.site.data_dir / 'logs'}")

    def stored_readings(self) -> int:
        """Return how many readings the historian has, texts left out; -1 while the database is away."""
        try:
            with psycopg.connect(conninfo(self.site), autocommit=True, connect_timeout=5) as connection:
                row = connection.execute("SELECT coalesce(sum(n), 0)::int8 FROM historian.segment").fetchone()
        except psycopg.OperationalError:
            return -1
        assert row is not None, "an aggregate has one row"
        return int(row[0])

    def recover(self, steady_seconds: float = 8.0, seconds: float = 180.0) -> None:
        """Return once every role and source has been up for a while: after the last kill everything gets the chance to catch up."""

        def steady() -> bool:
            now = times.now()
            since = [role.since_us for role in self.supervisor.roles.values()]
            states = [role.state == "running" for role in self.supervisor.roles.values()]
            try:
                statuses = gateway_statuses(self.site)
            except (RetryLater, Misconfigured):  # brokers are not there again yet, or do not know this site again yet
                return False
            for status in statuses.values():
                since += [source.since_us for source in status.sources]
                states += [source.state == "connected" for source in status.sources]
                states.append(now - status.at_us < steady_seconds * times.SECOND)
            return all(states) and now - max(since) > steady_seconds * times.SECOND

        if not self.tend(seconds, steady, _LOOK_SECONDS):
            raise RuntimeError(f"not every role and source is up {seconds:g} s after the last kill: see {self.site.data_dir / 'logs'}")

    def waiting(self) -> int:
        """Return how many records wait at the edge; its own journal says so, whatever is away."""
        command = [sys.executable, "-m", "trunkline.cli.entry", "outbox", "list", str(self.site.file), "--json"]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(json.loads(told.stdout.splitlines()[-1])["pendingCount"])

    def finish(self) -> Balance:
        """Stop the sources, let everything settle, and balance the ledger. The historian's database still runs.

        The devices stop first, so that the gateways have time to forward what they acknowledged: on a loaded machine a gateway may be
        killed when it does not stop in time. What it still has then is safe, but would look lost.
        """
        self.supervisor.stop(["lab"])
        if not self.tend(_FORWARD_SECONDS, lambda: self.waiting() == 0, _LOOK_SECONDS):
            raise RuntimeError(f"{self.waiting()} records still wait at the edge {_FORWARD_SECONDS:g} s after the devices stopped")
        balance = drain(self.site, self.supervisor, say)
        if left := self.waiting():
            raise RuntimeError(f"{left} records still wait at the edge: a gateway did not stop in time, nothing can be compared")
        return balance


@contextmanager
def stage(directory: Path, *, units: int, period_ms: int, seed: int, brokers: int = 0) -> Iterator[Stage]:
    """Set up a plant and take it down, whatever happens in between."""
    directory.mkdir(parents=True, exist_ok=True)
    plant = Stage(make_site(directory, units=units, period_ms=period_ms, seed=seed, brokers=brokers))
    try:
        yield plant
    finally:
        plant.supervisor.stop()
        plant.supervisor.close()


__all__ = ["Stage", "make_site", "say", "stage"]
