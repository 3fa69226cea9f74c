"""One process per role and data directory; no role outlives its supervisor."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from trunkline.model.errors import Misconfigured
from trunkline.supervisor.holding import SUPERVISED, hold_place

PATIENCE = 30.0

HOLDER = """
import sys, time
from pathlib import Path
from trunkline.supervisor.holding import hold_place
file = hold_place(Path(sys.argv[1]), "historian")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""

PARENT = """
import os, subprocess, sys, time
from trunkline.supervisor.holding import SUPERVISED
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env={**os.environ, SUPERVISED: str(os.getpid())})
print(child.pid, flush=True)
time.sleep(600)
"""

CHILD = """
import time
from trunkline.supervisor.holding import follow_supervisor
follow_supervisor()
time.sleep(600)
"""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        running.append(subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_place_is_held_by_one_process(tmp_path: Path, spawn: Callable[..., subprocess.Popen[str]]) -> None:
    holder = spawn(HOLDER, str(tmp_path), "600")
    assert first_line(holder) == "held"
    with pytest.raises(Misconfigured, match=f"role 'historian' of .* is already running as process {holder.pid}: stop that one first"):
        hold_place(tmp_path, "historian")
    with hold_place(tmp_path, "worker:worker-0"), hold_place(tmp_path, "gateway:gw1"):
        pass


def test_a_killed_holder_holds_nothing(tmp_path: Path, spawn: Callable[..., subprocess.Popen[str]]) -> None:
    """P-117: the lock dies with the process; no file has to be removed by hand."""
    holder = spawn(HOLDER, str(tmp_path), "600")
    assert first_line(holder) == "held"
    holder.kill()
    holder.wait()
    with hold_place(tmp_path, "historian") as file:
        file.seek(0)
        assert file.read() == f"{os.getpid()}\n"


def test_a_supervised_role_waits_for_its_forerunner(
    tmp_path: Path, spawn: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier process of the role may still be writing what it has."""
    holder = spawn(HOLDER, str(tmp_path), "1")
    assert first_line(holder) == "held"
    monkeypatch.setenv(SUPERVISED, str(os.getpid()))
    with hold_place(tmp_path, "historian"):
        assert holder.wait(PATIENCE) == 0


def test_an_orphan_ends_by_itself(spawn: Callable[..., subprocess.Popen[str]]) -> None:
    parent = spawn(PARENT, CHILD)
    child = psutil.Process(int(first_line(parent)))
    assert child.is_running()
    parent.kill()
    parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the orphan has ended")


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Misconfigured, match=r"data/run cannot be written: .*: choose another data_dir"):
        hold_place(tmp_path / "data", "historian")
