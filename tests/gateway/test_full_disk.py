"""A disk that is full or read-only under the edge journal: a real file system in memory, mounted by a child process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("full_disk.py")


@pytest.mark.parametrize("scenario", ["full", "restarted", "read-only", "overflow"])
def test_a_disk_that_takes_no_more(tmp_path: Path, scenario: str) -> None:
    """PD-10, W-97, W-103, D-2: see `full_disk.py`. The mount is in a name space of its own and goes with the process."""
    private = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    command = [*private, sys.executable, str(CHILD), scenario, str(tmp_path / "disk")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90, cwd=CHILD.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{scenario}: passed"
