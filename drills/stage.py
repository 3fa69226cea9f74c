"""A plant on free ports in a folder of its own, supervised by the drill itself, so that it knows every process by id."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.cli.status import gateway_statuses
from trunkline.cli.up import drain
from trunkline.config.loading import Site, load
from trunkline.config.site import LabConfig
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text
from trunkline.ledger.balance import Balance
from trunkline.log.opening import layout_of, open_site_log
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.supervisor.supervisor import Supervisor

TRUTH = "truth.jsonl"


def say(text: str) -> None:
    """Tell people."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def make_site(directory: Path, *, units: int, period_ms: int, seed: int) -> Site:
    """Write a site file for a lab plant with ground truth and without deadbands, and load it."""
    modbus, opcua, mqtt, api = free_ports(4)
    lab = LabConfig(units=units, seed=seed, period_ms=period_ms, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt, truth=TRUTH)
    file = directory / "site.yaml"
    file.write_text(site_text(SitePlan(lab, api_port=api, deadbands=False)))
    return load(file)


class Stage:
    """A running plant."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.supervisor = Supervisor(site)

    @property
    def truth(self) -> Path:
        """The lab's ground truth."""
        return self.site.data_dir / "lab" / TRUTH

    def tend(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Keep the roles running for a while, or until something holds; return whether it held."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.supervisor.tend()
            if until():
                return True
            time.sleep(0.05)
        return until()

    def wait_until_flowing(self, seconds: float = 60.0) -> None:
        """Return once validation and the historian have read something and every gateway reports connected sources."""

        def flowing() -> bool:
            log = open_site_log(self.site.config.log, self.site.data_dir)
            try:
                layout = layout_of(self.site.config.log)
                return bool(log.committed("historian")) and sum(end for _, end in log.bounds(layout.gateway_status).values()) > 2
            except RetryLater:
                return False
            finally:
                log.close()

        if not self.tend(seconds, flowing):
            raise RuntimeError(f"the plant did not start within {seconds:g} s: see {self.site.data_dir / 'logs'}")

    def recover(self, steady_seconds: float = 8.0, seconds: float = 180.0) -> None:
        """Return once every role and source has been up for a while: after the last kill everything gets the chance to catch up."""

        def steady() -> bool:
            now = times.now()
            since = [role.since_us for role in self.supervisor.roles.values()]
            states = [role.state == "running" for role in self.supervisor.roles.values()]
            for status in gateway_statuses(self.site).values():
                since += [source.since_us for source in status.sources]
                states += [source.state == "connected" for source in status.sources]
                states.append(now - status.at_us < steady_seconds * times.SECOND)
            return all(states) and now - max(since) > steady_seconds * times.SECOND

        if not self.tend(seconds, steady):
            raise RuntimeError(f"not every role and source is up {seconds:g} s after the last kill: see {self.site.data_dir / 'logs'}")

    def finish(self) -> Balance:
        """Stop the sources, let everything settle, and balance the ledger. The historian's database still runs."""
        return drain(self.site, self.supervisor, say)


@contextmanager
def stage(directory: Path, *, units: int, period_ms: int, seed: int) -> Iterator[Stage]:
    """Set up a plant and take it down, whatever happens in between."""
    directory.mkdir(parents=True, exist_ok=True)
    plant = Stage(make_site(directory, units=units, period_ms=period_ms, seed=seed))
    try:
        yield plant
    finally:
        plant.supervisor.stop()
        plant.supervisor.close()


__all__ = ["Stage", "make_site", "say", "stage"]
