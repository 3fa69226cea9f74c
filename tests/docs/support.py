"""Tutorials as they are followed: their commands, and a folder that looks like the repository to them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.system.support import RunningSite

from trunkline.lab.ports import free_ports

ROOT = Path(__file__).parents[2]
_TESTED = re.compile(r"^<!-- test -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ANY = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_PORTS = re.compile(r"^( *(?:port|modbus_port|opcua_port|mqtt_port): )(\d+)", re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """Return the commands that a page marks as tested."""
    return _TESTED.findall(page.read_text())


def untested(page: Path) -> list[str]:
    """Return the other commands of a page."""
    return [block for block in _ANY.findall(page.read_text()) if block not in blocks(page)]


def with_free_ports(text: str) -> str:
    """Return the site file with other ports, each number replaced wherever it stands."""
    numbers = sorted({number for _, number in _PORTS.findall(text)})
    for number, free in zip(numbers, free_ports(len(numbers)), strict=True):
        text = re.sub(rf"\b{number}\b", str(free), text)
    return text


def stage(folder: Path, site: str, text: str) -> Path:
    """Write a site file where the repository has it, and the programs into .venv/bin; return the file."""
    file = folder / site
    file.parent.mkdir(parents=True)
    file.write_text(text)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in {"python": "", "trunkline": " -m trunkline.cli.entry"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (programs / name).chmod(0o755)
    return file


def run(plant: RunningSite, script: str) -> subprocess.CompletedProcess[str]:
    """Run a block of commands in the folder of a site that was staged."""
    folder = plant.file.parents[2]
    environment = {**os.environ, "PWD": str(folder)}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
