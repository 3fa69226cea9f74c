"""'Write a source in 15 minutes', word by word: every command that the page marks runs in a clean environment, in the order of the page."""

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.sources.support import PATIENCE, Environment
from tests.system.support import until

from trunkline.lab.ports import free_ports

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-source.md"
BLOCK = re.compile(r"^<!-- test(: runs on)? -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORTS = ("7007", "8080")


class Block(NamedTuple):
    """A block of commands; one that runs on is ended when the page is."""

    runs_on: bool
    script: str


def blocks() -> list[Block]:
    return [Block(bool(runs_on), script) for runs_on, script in BLOCK.findall(PAGE.read_text())]


class Reader:
    """Somebody who follows the page: an environment, a folder, terminals in which something runs on."""

    def __init__(self, folder: Path) -> None:
        self.environment = Environment(folder / ".venv")
        self.folder = folder
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.terminals: list[subprocess.Popen[bytes]] = []

    def command(self, script: str) -> list[str]:
        for number, free in self.ports.items():
            script = re.sub(rf"\b{number}\b", str(free), script)
        return ["bash", "-eo", "pipefail", "-c", script]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script),
            cwd=self.folder,
            env=self.environment.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )

    def leave_running(self, script: str) -> None:
        log = (self.folder / f"terminal-{len(self.terminals)}.log").open("wb")
        self.terminals.append(
            subprocess.Popen(
                self.command(f"exec env {script}"), cwd=self.folder, env=self.environment.variables, stdout=log, stderr=subprocess.STDOUT
            )
        )
        log.close()

    def close(self) -> None:
        for terminal in self.terminals:
            if terminal.poll() is None:
                terminal.kill()
            terminal.wait()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    somebody = Reader(tmp_path_factory.mktemp("write_a_source"))
    yield somebody
    somebody.close()


def test_the_page_is_tested_at_all() -> None:
    assert len(blocks()) >= 6
    assert sum(block.runs_on for block in blocks()) == 2
    tested = [block.script for block in blocks()]
    assert [script for script in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if script not in tested] == []


@pytest.mark.parametrize("number", range(len(blocks())))
def test_every_block_succeeds(reader: Reader, number: int) -> None:
    """W-56: in their order, as a page is read from the top."""
    block = blocks()[number]
    if block.runs_on:
        reader.leave_running(block.script)
        return
    result = reader.run(block.script)
    said = f"{result.stdout}\n{result.stderr}"
    assert result.returncode == 0, f"{block.script}\n{said}"
    for wanted, shown in (
        ("sources list", "trunkline-demo 0.1.0"),
        ("probe", "PLANT01.BOILERS.BOILER_1.STEAM_FLOW"),
        ("pytest", " passed in "),
    ):
        if wanted in block.script:
            assert shown in said


def answer(reader: Reader, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{reader.ports['8080']}{path}", timeout=10) as reply:
            return str(reply.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return ""


def test_what_runs_on_answers_and_stops_in_order(reader: Reader) -> None:
    """W-52, W-53, W-55: device and adapter have run all the while; the adapter is healthy, counts, and ends with status 0."""
    device, adapter = reader.terminals
    until(lambda: '"status": "healthy"' in answer(reader, "/health"), "the adapter is healthy")
    until(lambda: 'adapter_readings_total{pipeline_id="boiler"}' in answer(reader, "/metrics"), "the adapter counts")
    assert device.poll() is None
    assert adapter.poll() is None
    adapter.send_signal(signal.SIGTERM)
    assert adapter.wait(PATIENCE) == 0
