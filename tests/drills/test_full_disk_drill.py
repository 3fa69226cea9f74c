"""`trunkline drill disk-full`, as users call it, in its short form."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.drills.support import drill
from tests.drills.test_offline import SITE

#: A drill gives up by itself once nothing moves.
pytestmark = pytest.mark.timeout(310)

SHORT = ("--disk-mb", "32", "--alarms", "40")


def wrong(told: dict[str, Any]) -> list[str]:
    """Return what did not agree; how long telemetry took to go on is for a machine that does nothing else."""
    return [words for words in told["problems"] if "are promised" not in words]


def nothing_is_lost(told: dict[str, Any]) -> bool:
    kinds = ("lost", "doubled", "invented", "changed", "rejected", "alarms_lost", "alarms_doubled", "alarms_changed", "alarms_disordered")
    return not any(told[kind] for kind in kinds) and told["alarms"] == told["alarms_stored"] > 0 and told["ledger_balanced"]


def test_telemetry_waits_and_alarms_get_in(tmp_path: Path) -> None:
    """W-102, D-2, D-24, P-118, PD-10: another program fills the disk, the gateway is killed meanwhile; its file goes, and all is there."""
    report = tmp_path / "drill.html"
    _, told, text = drill("disk-full", *SHORT, "--tags", "20", "--seed", "3", "--report", str(report))
    assert wrong(told) == [], text
    assert (told["drill"], told["seed"], told["noticed"]) == ("disk-full", 3, True)
    assert nothing_is_lost(told)
    assert told["readings"] == told["acknowledged"] == told["stored"]
    assert told["dropped"] == 0, "a full disk below the bound gives nothing up"
    if told["disk"] == "mounted":
        assert told["kills"] == 2
        assert told["alarms_while_full"] >= 40
        assert "Room left on the disk" in report.read_text()
    assert told["live_readings"] > 0
    assert "Alarms so far" in report.read_text()
    assert "seed 3" in text


def test_a_bound_below_the_disk_gives_up_telemetry_and_no_alarm(tmp_path: Path) -> None:
    """W-101, W-102, W-103, D-24, PD-10: what is missing is what the events say, and alarms are not in it; so small a bound is told."""
    file = tmp_path / "site.yaml"
    file.write_text(SITE % 2_000_000)
    _, told, text = drill("disk-full", str(file), *SHORT)
    assert all("held on the disk for alarms are too few" in words for words in wrong(told)), text
    assert bool(wrong(told)) == (told["disk"] == "mounted")
    assert nothing_is_lost(told)
    assert told["dropped"] > 0
    assert told["stored"] + told["dropped"] == told["readings"]


def test_a_deleted_alarm_is_noticed_and_files_that_may_not_grow_are_a_full_disk() -> None:
    """PD-10: who may not mount gets a limit on the size of files; the checker is shown a history that lacks an alarm."""
    code, told, text = drill("disk-full", *SHORT, "--tags", "20", "--no-mount", "--sabotage", "alarm")
    assert code == 0, text
    assert (told["disk"], told["noticed"], told["caught"]) == ("limited", True, True)
    assert wrong(told) == [f"1 of {told['alarms']} alarms lost"]
    assert told["alarms_stored"] == told["alarms"] - 1
    assert told["readings"] == told["stored"]


def test_a_killed_drill_leaves_no_disk_behind(tmp_path: Path) -> None:
    """What was mounted for it is seen by its own processes alone, and goes with them."""
    command = [sys.executable, "-m", "trunkline.cli.entry", "drill", "disk-full", *SHORT, "--keep", str(tmp_path / "drill")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        held = tmp_path / "drill" / "data" / "run" / "gateway-edge-1.lock"
        while not (held.exists() and held.read_text().strip()):
            assert running.poll() is None
            time.sleep(0.05)
        edge = psutil.Process(int(held.read_text()))
        inside = Path(f"/proc/{edge.pid}/mounts").read_text()
        running.kill()
    assert (str(tmp_path) in inside) == (os.geteuid() == 0)
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    edge.wait(30)
