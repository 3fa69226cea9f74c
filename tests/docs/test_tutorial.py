"""The tutorial, word by word: every command that it marks as tested runs against a plant started as it says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.support import RunningSite, until

from trunkline.lab.ports import free_ports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-plant.md"
SITE = "examples/plant/site.yaml"
BLOCK = re.compile(r"^<!-- test -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORTS = re.compile(r"^( *(?:port|modbus_port|opcua_port|mqtt_port): )(\d+)", re.MULTILINE)


def blocks() -> list[str]:
    return BLOCK.findall(PAGE.read_text())


def with_free_ports(text: str) -> str:
    """Return the site file with other ports, each number replaced wherever it stands."""
    numbers = sorted({number for _, number in PORTS.findall(text)})
    for number, free in zip(numbers, free_ports(len(numbers)), strict=True):
        text = re.sub(rf"\b{number}\b", str(free), text)
    return text


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A folder that looks like the repository to the commands: the site file, and the programs in .venv/bin."""
    folder = tmp_path_factory.mktemp("tutorial")
    file = folder / SITE
    file.parent.mkdir(parents=True)
    file.write_text(with_free_ports((ROOT / SITE).read_text()))
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in {"python": "", "trunkline": " -m trunkline.cli.entry"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (programs / name).chmod(0o755)
    with RunningSite(file).start() as running:
        until(lambda: flowing(running), "every source has been read and stored")
        yield running


def flowing(plant: RunningSite) -> bool:
    """What a reader sees before going on: every source gives readings, and history has the tag that the tutorial reads."""
    status = run(plant, f".venv/bin/trunkline status {SITE}")
    read = run(plant, f".venv/bin/trunkline read {SITE} PLANT01.AREA01.UNIT_01.FLOW_RATE --from 1m")
    return status.returncode == read.returncode == 0


def run(plant: RunningSite, script: str) -> subprocess.CompletedProcess[str]:
    folder = plant.file.parents[2]
    environment = {**os.environ, "PWD": str(folder)}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_tutorial_is_tested_at_all() -> None:
    assert len(blocks()) >= 7
    untested = [block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if block not in blocks()]
    assert untested == ["make up\n"]


@pytest.mark.parametrize("number", range(len(blocks())))
def test_every_block_succeeds(plant: RunningSite, number: int) -> None:
    """In their order: a page is read from the top."""
    restarts = plant.role("historian").restarts
    block = blocks()[number]
    result = run(plant, block)
    assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"
    if "kill -9" in block:
        until(lambda: plant.role("historian").restarts > restarts, "the historian's restarts go up by one")
