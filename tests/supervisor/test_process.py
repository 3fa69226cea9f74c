"""Roles as processes: started, started again with growing pauses, stopped in order, killed if they must be."""

import itertools
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from trunkline.supervisor.process import FIRST_PAUSE, RoleProcess

PATIENCE = 30.0


def tend_until(role: RoleProcess, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, role.last_words()
        role.tend()
        time.sleep(0.01)


def test_a_role_that_dies_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    """Each pause is at least twice the one before: a role that cannot start must not keep the machine busy."""
    starts = tmp_path / "starts"
    code = f"import time; print(time.monotonic(), file=open({str(starts)!r}, 'a')); print('no such device'); raise SystemExit(3)"
    role = RoleProcess("gateway:gw1", [sys.executable, "-c", code], tmp_path / "role.log")
    assert (role.state, role.pid) == ("starting", None)
    tend_until(role, lambda: role.restarts == 1)
    assert (role.state, role.pid) == ("failing", None)
    tend_until(role, lambda: role.restarts == 4)
    times = [float(line) for line in starts.read_text().split()]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(times) == 4
    assert all(gap >= FIRST_PAUSE * 2**number for number, gap in enumerate(gaps))
    assert role.last_exit == 3
    assert role.last_words(1) == "no such device"
    assert role.stop(1.0)
    assert role.state == "stopped"
    role.tend()
    assert role.pid is None


def test_a_role_may_let_others_go_first(tmp_path: Path) -> None:
    begin = tmp_path / "begin"
    code = f"import time; print(time.monotonic(), file=open({str(begin)!r}, 'w'), flush=True); time.sleep(600)"
    made = time.monotonic()
    role = RoleProcess("api", [sys.executable, "-c", code], tmp_path / "role.log", delay=0.5)
    tend_until(role, lambda: begin.exists() and bool(begin.read_text()))
    assert float(begin.read_text()) - made >= 0.5
    assert (role.state, role.restarts) == ("running", 0)
    assert role.stop(10.0)


def test_a_role_may_wait_for_a_file_at_its_first_start(tmp_path: Path) -> None:
    ready = tmp_path / "kafka.ready"
    role = RoleProcess("worker", ["sleep", "600"], tmp_path / "role.log", after=ready)
    for _ in range(3):
        role.tend()
        assert (role.state, role.pid) == ("starting", None)
    ready.touch()
    tend_until(role, lambda: role.state == "running")
    ready.unlink()
    assert role.pid is not None
    psutil.Process(role.pid).kill()
    tend_until(role, lambda: role.restarts == 1 and role.state == "running")
    assert role.stop(PATIENCE)


def test_a_killed_role_comes_back_with_a_new_process(tmp_path: Path) -> None:
    """P-117."""
    role = RoleProcess("historian", ["sleep", "600"], tmp_path / "role.log")
    tend_until(role, lambda: role.state == "running")
    first = role.pid
    assert first is not None
    assert role.rss_bytes() > 0
    psutil.Process(first).kill()
    tend_until(role, lambda: role.restarts == 1 and role.state == "running")
    assert role.pid not in {None, first}
    assert role.last_exit == -signal.SIGKILL
    assert role.stop(PATIENCE)
    assert role.rss_bytes() == 0


def test_a_role_that_does_not_listen_is_killed_in_the_end(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    role = RoleProcess("deaf", [sys.executable, "-c", code], tmp_path / "role.log")
    tend_until(role, lambda: "deaf" in role.last_words())
    pid = role.pid
    assert pid is not None
    assert not role.stop(0.1)
    assert (role.last_exit, role.state) == (-signal.SIGKILL, "stopped")
    assert not psutil.pid_exists(pid)


def test_last_words_of_a_role_that_never_spoke(tmp_path: Path) -> None:
    assert RoleProcess("silent", ["true"], tmp_path / "none.log").last_words() == ""


@pytest.mark.parametrize("lines", [1, 8])
def test_last_words_are_the_end_of_the_log(tmp_path: Path, lines: int) -> None:
    log = tmp_path / "role.log"
    log.write_bytes(b"\xff broken\n" + b"".join(b"line %d\n" % number for number in range(20)))
    assert RoleProcess("x", ["true"], log).last_words(lines).splitlines() == [f"line {number}" for number in range(20 - lines, 20)]
