"""The demonstration plant's alarms, as an operator meets them on the command line."""

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.system.support import RunningSite, command, lines, until

from trunkline.config.site import LabConfig
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    modbus, opcua, mqtt, api = free_ports(4)
    lab = LabConfig(units=6, period_ms=200, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt)
    file = tmp_path / "site.yaml"
    file.write_text(site_text(SitePlan(lab, api_port=api)))
    return file


def standing(file: Path, *states: str) -> list[dict[str, Any]]:
    """Alarms in one of these states."""
    return [one for one in lines(command("alarms", "list", file, "--json")) if one["state"] in states]


def act(file: Path, action: str, key: str, *options: str) -> dict[str, Any]:
    (answer,) = lines(command("alarms", action, file, key, "--actor", "north", "--json", *options))
    return answer


@pytest.mark.timeout(300)
def test_alarms_rise_are_acknowledged_clear_shelve_and_expire(site_file: Path) -> None:
    """W-133 to W-139, G-43: also when the alarm step is killed in between."""
    with RunningSite(site_file).start() as plant:
        first = until(lambda: standing(site_file, "UNACKNOWLEDGED", "RETURNED_UNACKNOWLEDGED"), "an alarm stands")[0]
        assert act(site_file, "ack", first["key"])["outcome"] == "done"
        assert all(one["alarm_id"] != first["alarm_id"] for one in standing(site_file, "UNACKNOWLEDGED"))
        second = until(lambda: standing(site_file, "RETURNED_UNACKNOWLEDGED"), "an alarm went unseen")[0]
        shelved = act(site_file, "shelve", second["key"], "--for", "6s", "--reason", "works")
        assert shelved["outcome"] == "done"
        plant.restart_role("evaluate", signal.SIGKILL)
        until(lambda: not [one for one in standing(site_file, "SHELVED") if one["key"] == second["key"]], "the shelf expires")
        assert act(site_file, "ack", second["key"])["outcome"] in {"done", "refused"}
        stale = act(site_file, "reset", second["key"])
        assert stale["outcome"] == "refused"
        assert stale["text"]
        until(lambda: lines(command("alarms", "report", site_file, "--from", "1h", "--json"))[0]["annunciations"], "history has them")
        assert plant.end() == 0
