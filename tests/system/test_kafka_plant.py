"""The plant with Apache Kafka as its site log: the same file with another `log:` section, on a real broker."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.support import RunningSite, command, lines

from trunkline.config.site import LabConfig
from trunkline.lab.kafka import Cluster
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text

LOG = """
log:
  engine: kafka
  bootstrap: {bootstrap}
  profile: development
  insecure: true
historian: {{members: 2}}
validation: {{members: 2}}
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Cluster]:
    """A broker of this test's own: a site's topics have no prefix."""
    with Cluster(tmp_path / "kafka") as cluster:
        yield cluster


@pytest.fixture
def site_file(tmp_path: Path, broker: Cluster) -> Path:
    modbus, opcua, mqtt, api = free_ports(4)
    lab = LabConfig(units=3, period_ms=500, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt)
    file = tmp_path / "site.yaml"
    file.write_text(site_text(SitePlan(lab, api_port=api)) + LOG.format(bootstrap=broker.bootstrap))
    return file


@pytest.mark.timeout(300)
def test_a_plant_whose_roles_and_broker_are_killed(site_file: Path, broker: Cluster) -> None:
    """P-115, P-117, P-122, PD-21: SIGKILL of members of both steps and of the broker; all is stored once, the ledger balances."""
    with RunningSite(site_file).start() as plant:
        stored = plant.wait_until_stored(20).totals["stored"]
        for role in ("worker", "worker:worker-1", "historian", "historian:historian-1"):
            plant.restart_role(role, signal.SIGKILL)
        broker.kill(1)
        broker.restart(1)
        plant.wait_until_stored(stored + 20)
        assert set(lines(command("status", site_file, "--json"))[-1]["behind"]) == {"validate", "historian"}
        assert plant.end() == 0
    with RunningSite(site_file).start("--for", "2", "--json") as plant:
        code, output = plant.finish()
        left = plant.left_behind()
    summary = json.loads(output)
    assert code == 0, summary
    assert summary["passed"] is True
    assert set(summary["readings"]) == {"modbus", "opcua", "mqtt"}
    assert min(summary["readings"].values()) > 0
    ledger = summary["ledger"]
    assert (ledger["balanced"], ledger["quiet"], ledger["problems"]) == (True, True, [])
    assert (ledger["waiting"], ledger["missing"], ledger["surplus"]) == (0, 0, 0)
    assert left == []
