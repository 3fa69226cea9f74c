"""Site files of simulated plants on free ports, for benches that run whole roles."""

import sys
from pathlib import Path
from typing import Any

import yaml

from trunkline.config.loading import Site, load
from trunkline.config.site import LabConfig
from trunkline.lab.ports import free_ports
from trunkline.lab.site import SitePlan, site_text


def lab_document(units: int, period_ms: int) -> dict[str, Any]:
    """Return the site file, as plain data, of a lab plant that reads every value of every unit."""
    modbus, opcua, mqtt, api = free_ports(4)
    lab = LabConfig(units=units, seed=7, period_ms=period_ms, modbus_port=modbus, opcua_port=opcua, mqtt_port=mqtt)
    document: dict[str, Any] = yaml.safe_load(site_text(SitePlan(lab, api_port=api, deadbands=False)))
    return document


def write_site(directory: Path, document: dict[str, Any]) -> Site:
    """Write a site file into a new folder and load it."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "site.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    return load(file)


def role_command(site: Site, role: str, *arguments: str) -> list[str]:
    """Return the command that runs one role as the supervisor would."""
    return [sys.executable, "-m", "trunkline.cli.entry", "run", role, str(site.file), *arguments]
