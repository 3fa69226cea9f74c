"""Limits of an isolated source: sizes as they are written, control groups, and what a look at a process tells."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.config.tags import Resources, SourceConfig
from trunkline.gateway.isolation.limits import Group, Meter, delegated

M = 1024**2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cpu": 0.5, "memory": "256M"}, (0.5, 256 * M)),
        ({"cpu_limit": "0.5", "memory_limit": "256M"}, (0.5, 256 * M)),
        ({"memory": "1.5G"}, (None, 1536 * M)),
        ({"memory": "131072 KiB"}, (None, 128 * M)),
        ({"memory": 128 * M}, (None, 128 * M)),
        ({}, (None, None)),
    ],
)
def test_limits_are_read(given: dict[str, Any], expected: tuple[float | None, int | None]) -> None:
    """W-57: the names of containers' limits are accepted, in their units."""
    resources = Resources.model_validate(given)
    assert (resources.cpu, resources.memory) == expected


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"memory": "much"}, "write bytes, or a number with K, M or G"),
        ({"memory": "1M"}, "greater than or equal to"),
        ({"cpu": 0}, "greater than 0"),
        ({"cpu": 1, "cpu_limit": 1}, "either 'cpu' or 'cpu_limit'"),
        ({"disk": 1}, "disk"),
    ],
)
def test_wrong_limits_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Resources.model_validate(given)


def test_limits_without_a_process_are_refused() -> None:
    with pytest.raises(ValidationError, match="add 'isolate: process'"):
        SourceConfig.model_validate({"id": "a", "type": "simulated", "resources": {"cpu": 1}})


@pytest.fixture
def cgroups(tmp_path: Path) -> tuple[Path, Path]:
    """A directory in place of the file system of control groups (cgroup v2), which cannot be had here; and the gateway's entry in it."""
    service = tmp_path / "system.slice" / "trunkline.service"
    (service / "gateway").mkdir(parents=True)
    (service / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    (service / "cgroup.subtree_control").write_text("")
    (service / "cgroup.procs").write_text("")
    own = tmp_path / "own"
    own.write_text("0::/system.slice/trunkline.service/gateway\n")
    return tmp_path, own


def test_the_kernel_holds_a_source_where_groups_are_delegated(cgroups: tuple[Path, Path]) -> None:
    """W-57, with a directory in place of the kernel: which files are written, and with what."""
    parent = delegated(*cgroups)
    assert parent == cgroups[0] / "system.slice" / "trunkline.service"
    group = Group(parent, "plc", Resources.model_validate({"cpu": 0.5, "memory": "256M"}), 4711)
    made = parent / f"source-plc-{os.getpid()}"
    assert (parent / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert {file.name: file.read_text() for file in made.iterdir()} == {
        "memory.max": str(256 * M),
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
        "cgroup.procs": "4711",
    }
    assert not group.out_of_memory()
    (made / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n")
    assert group.out_of_memory()


@pytest.mark.parametrize("what", ["controllers", "version 1", "root"])
def test_nothing_is_delegated_elsewhere(cgroups: tuple[Path, Path], what: str) -> None:
    root, own = cgroups
    if what == "controllers":
        (root / "system.slice" / "trunkline.service" / "cgroup.controllers").write_text("pids")
    else:
        own.write_text("4:memory:/somewhere\n" if what == "version 1" else "0::/\n")
    assert delegated(root, own) is None


def test_a_look_at_a_process_tells_what_it_uses() -> None:
    meter = Meter(os.getpid(), Resources.model_validate({"memory": "64M"}), held=False)
    hoard = bytearray(b"x" * (80 * M))
    says = meter.look(1000.0)
    assert says is not None
    assert "'resources.memory' allows 64M" in says
    assert meter.use.rss_bytes > len(hoard)
    held = Meter(os.getpid(), Resources.model_validate({"memory": "64M"}), held=True)
    assert held.look(1000.0) is None
    assert held.use.rss_bytes > len(hoard)
    assert Meter(2**22 + 1, Resources(), held=False).look(0.0) is None
