"""`trunkline up`: a plant over three real protocols, its summary, its end, its second life."""

import json
import os
import signal
from pathlib import Path

from tests.system.support import RunningSite, command, until, words, write_simulated_site

from trunkline.config.site import LabConfig
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text


def test_a_plant_on_three_protocols_for_a_while(tmp_path: Path) -> None:
    """The machine-readable summary: readings of every protocol, everything stored, the ledger balanced, exit status 0 (P-122)."""
    modbus, opcua, mqtt, api = free_ports(4)
    file = tmp_path / "site.yaml"
    file.write_text(
        site_text(SitePlan(LabConfig(units=3, period_ms=500, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt), api_port=api))
    )
    with RunningSite(file).start("--for", "5", "--json") as plant:
        until(plant.roles, "roles are started")
        code, output = plant.finish()
        left = plant.left_behind()
    summary = json.loads(output)
    assert output.count("\n") == 1
    assert code == 0, summary
    assert summary["passed"] is True
    assert summary["seconds"] >= 5
    assert set(summary["readings"]) == {"modbus", "opcua", "mqtt"}
    assert min(summary["readings"].values()) > 0
    ledger = summary["ledger"]
    assert (ledger["balanced"], ledger["quiet"], ledger["problems"]) == (True, True, [])
    assert (ledger["waiting"], ledger["missing"], ledger["surplus"]) == (0, 0, 0)
    assert ledger["read"] == summary["stored"] + summary["rejected"] + ledger["deduplicated"]
    assert summary["stored"] >= sum(summary["readings"].values()) - summary["rejected"] - ledger["deduplicated"]
    assert left == []


def test_ctrl_c_stops_all_in_order(tmp_path: Path) -> None:
    """W-16, W-55: nothing is left behind, and nobody had to be killed; SIGTERM is tried below."""
    with RunningSite(write_simulated_site(tmp_path)).start() as plant:
        plant.wait_until_stored()
        assert plant.end(signal.SIGINT) == 0
        assert plant.left_behind() == []
        assert {role.state for role in plant.roles().values()} == {"stopped"}
    assert "was killed" not in (tmp_path / "up.txt").read_text()


def test_a_killed_supervisor_leaves_no_orphans_and_a_second_one_loses_nothing(tmp_path: Path) -> None:
    """P-117: the roles notice that they are alone, let go of their places, and what was acknowledged arrives under the next supervisor."""
    with RunningSite(write_simulated_site(tmp_path)).start() as plant:
        before = plant.wait_until_stored().totals["stored"]
        until(lambda: len(plant.roles()) == 5, "every role is named")
        assert plant.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not plant.left_behind(), "the roles have ended by themselves")
    with RunningSite(plant.file).start() as plant:
        assert plant.wait_until_stored(before + 40).holes == []
        refused = command("up", plant.file, "--for", "1", "--headless", "--json")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "is in use by another 'trunkline up': stop it first" in words(refused.stderr)
        os.kill(plant.pid, 0)
        assert {role.restarts for role in plant.roles().values()} == {0}
        assert plant.end() == 0
        assert plant.left_behind() == []
