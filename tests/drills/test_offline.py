"""`trunkline drill offline`, as users call it, in its short form."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

#: A drill gives up by itself once nothing moves.
pytestmark = pytest.mark.timeout(310)

SITE = """\
site: rig
gateways:
  - id: rig-1
    buffer: {max_bytes: %d, reserved_bytes: 500000}
    sources:
      - id: plc
        type: simulated
        tags:
          - {path: RIG.PUMP.PRESSURE}
          - {path: RIG.PUMP.RUNS, kind: boolean, signal: {shape: square}}
          - {path: RIG.PUMP.STARTS, kind: integer, signal: {shape: counter}}
          - {path: RIG.PUMP.STATE, kind: text, signal: {shape: cycle}}
      - id: well
        type: simulated
        tags:
          - {path: RIG.WELL.FLOW, min: 0, max: 10}
"""


def drill(*arguments: str, name: str = "offline") -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "trunkline.cli.entry", "drill", name, "--virtual", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}, done.stderr


def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """W-16, W-100, W-101, P-118, PD-4, PD-6: offline with kills, live readings beside the backlog, the link cut twice more; a report."""
    report = tmp_path / "drill.html"
    code, told, text = drill("--days", "0.05", "--tags", "20", "--kills", "5", "--seed", "3", "--report", str(report))
    assert code == 0, (told, text)
    assert (told["seed"], told["kills"], told["cuts"], told["passed"]) == (3, 5, 2, True)
    assert told["readings"] == told["acknowledged"] == told["stored"] == 0.05 * 86_400 * 20 + told["live_readings"]
    assert told["live_readings"] > 0
    assert [told[name] for name in ("lost", "doubled", "invented", "changed", "dropped", "rejected")] == [0] * 6
    assert told["ledger_balanced"]
    assert "seed 3" in text
    page = report.read_text()
    assert f"{told['stored']:,} stored" in page
    assert page.count("<svg") == 5
    assert "http" not in page, "the page needs nothing from elsewhere"


def test_what_a_full_buffer_gives_up_is_exactly_what_is_missing(tmp_path: Path) -> None:
    """W-101, W-103, PD-10: on the user's own site file, with tags of every kind; nothing of the user's is touched."""
    file = tmp_path / "site.yaml"
    file.write_text(SITE % 2_000_000)
    code, told, text = drill(str(file), "--days", "1", "--kills", "2")
    assert code == 0, (told, text)
    assert told["dropped"] > 0
    assert told["stored"] + told["dropped"] == told["readings"]
    assert told["lost"] == told["doubled"] == told["changed"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


def test_a_deleted_segment_is_noticed() -> None:
    """The checker is shown a broken history, and names the tag."""
    code, told, _ = drill("--days", "0.02", "--tags", "5", "--kills", "0", "--sabotage", "segment")
    assert code == 0
    assert told["caught"]
    assert told["lost"] > 0
    assert told["lost"] == told["readings"] - told["stored"]
    assert told["problems"][0].startswith("DRILL.AREA00.UNIT_00.T")


def test_power_cuts_take_nothing_that_was_acknowledged() -> None:
    """D-2, W-16: what was not synced is lost or torn, at moments and in ways that the seed picks."""
    code, told, text = drill("--days", "0.05", "--tags", "20", "--cuts", "5", name="power-cut")
    assert code == 0, (told, text)
    assert (told["drill"], told["kills"], told["passed"]) == ("power-cut", 5, True)
    assert told["bytes_torn"] > 0
    assert told["readings"] == told["acknowledged"] == told["stored"]
    assert told["lost"] == told["doubled"] == told["changed"] == 0


def test_a_disk_that_lies_is_noticed() -> None:
    """The same, with a disk that says 'synced' of what it has not: acknowledged readings go, and the drill says so."""
    code, told, _ = drill("--days", "0.05", "--tags", "20", "--cuts", "5", "--sabotage", "lying-disk", name="power-cut")
    assert code == 0
    assert told["caught"]
    assert told["lost"] > 0


def test_a_killed_drill_leaves_nothing_running(tmp_path: Path) -> None:
    """What goes on beside the next drill would spoil it."""
    command = [
        sys.executable,
        "-m",
        "trunkline.cli.entry",
        "drill",
        "offline",
        "--days",
        "1",
        "--tags",
        "2",
        "--keep",
        str(tmp_path / "drill"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        held = tmp_path / "drill" / "data" / "run" / "gateway-edge-1.lock"
        while not (held.exists() and held.read_text().strip()):
            assert running.poll() is None
            time.sleep(0.05)
        edge = psutil.Process(int(held.read_text()))
        running.kill()
    edge.wait(30)


def test_a_gateway_without_tags_is_refused(tmp_path: Path) -> None:
    """What cannot be rehearsed is said before anything starts."""
    file = tmp_path / "site.yaml"
    file.write_text("site: rig\ngateways: [{id: one}, {id: two}]\n")
    code, _, text = drill(str(file))
    assert code == 2
    assert "name one with --gateway" in text.replace("\n", " ")
    code, _, text = drill(str(file), "--gateway", "one")
    assert code == 2
    assert "reads no tags" in text
