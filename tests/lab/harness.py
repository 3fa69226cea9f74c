"""A plant as a process of its own, as users and the supervisor run it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.lab.control import Endpoints, read_endpoints
from trunkline.lab.truth import Truth
from trunkline.model.errors import Misconfigured

PATIENCE = 30.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds; fails naming `what`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:g} s: {what}")
        time.sleep(0.02)


class PlantProcess:
    """`trunkline lab plant` in a directory; may be killed and started again."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.truth_file = directory / "truth.jsonl"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> Endpoints:
        """Start it and wait until everything can be reached."""
        code = "from trunkline.lab.cli import app; app(prog_name='trunkline lab')"
        arguments = ["plant", "--directory", str(self.directory), "--truth", "truth.jsonl", *self._options, *more]
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "output.txt").open("ab") as output:
            self._process = process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=output, stderr=output)

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the plant ended: {self.output}")
            try:
                return read_endpoints(self.directory).pid == process.pid
            except Misconfigured:
                return False

        eventually(ready, "the plant is ready")
        return read_endpoints(self.directory)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process and self._process.poll() is None:
            self.end()

    @property
    def output(self) -> str:
        return (self.directory / "output.txt").read_text()

    def truth(self) -> Truth:
        """The ground truth so far; while the plant runs, the last line may be half written."""
        return Truth.load(self.truth_file)


def spared_ports() -> list[str]:
    return ["--modbus-port", "0", "--opcua-port", "0", "--mqtt-port", "0"]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
