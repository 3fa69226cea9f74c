"""`trunkline journal`: looking, checking, salvaging, carrying by hand, on real journals."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.support import trunkline
from tests.gateway.edge_support import CHURN, alarm, fill, positions, readings

from trunkline.config.loading import load
from trunkline.config.site import BufferConfig
from trunkline.gateway.buffer import BufferKeeper
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.forwarder import Forwarder
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus, encode_status
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import edge_journal, layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Record
from trunkline.model import times

SITE = """\
site: test
log: {partitions: 3}
gateways:
  - id: gw1
    sources:
      - {id: plc, type: simulated, tags: [{path: P.A.U1.FLOW}]}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    return file


@pytest.fixture
async def filled(site: Path) -> Path:
    """Fill the gateway's journal and close it; return its file."""
    one = load(site)
    layout = layout_of(one.config.log)
    with open_edge_journal(one.config.log, one.data_dir, "gw1") as journal:
        await fill(journal, layout, *(readings(start, 60) for start in range(0, 1200, 60)), events=[alarm()])
        journal.append(layout.platform_log, [Record(b"line")])
        journal.store.checkpoint()
    return edge_journal(one.data_dir, "gw1")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_show_tells_what_a_journal_holds_and_changes_nothing(site: Path, filled: Path) -> None:
    """W-97, PD-10, PD-31."""
    before = contents(filled.parent)
    by_gateway = trunkline("journal", "show", site, "--gateway", "gw1", "--json")
    assert contents(filled.parent) == before
    assert by_gateway.code == 0
    *topics, summary = by_gateway.documents
    found = {topic["topic"]: topic for topic in topics}
    assert found["telemetry.raw"]["class"] == "telemetry"
    assert found["telemetry.raw"]["records"] == found["telemetry.raw"]["waiting"] == 60
    assert found["telemetry.raw"]["oldest_us"] < found["telemetry.raw"]["newest_us"]
    assert {topic["class"] for topic in topics} == {"telemetry", "event", "alarm", "platform"}
    assert summary["file_bytes"] == filled.stat().st_size
    assert (summary["lost"], summary["set_aside"], summary["shrinks"]) == ([], [], True)
    by_file = trunkline("journal", "show", filled)
    assert "telemetry.raw" in by_file.text
    assert summary["id"] in by_file.text
    one = load(site)
    with open_edge_journal(one.config.log, one.data_dir, "gw1") as journal:
        layout = layout_of(one.config.log)
        forwarder = Forwarder(journal, lambda: open_site_log(one.config.log, one.data_dir), layout)
        keeper = BufferKeeper(journal, forwarder, layout, BufferConfig(), Confirmed(journal, layout))
        now = times.now()
        for second in range(0, 120, 5):
            journal.append("telemetry.raw", [Record(bytes(200), partition=0)])
            keeper.tend(now + second * times.SECOND)
        beside = trunkline("journal", "show", filled, "--json").documents[-1]
    assert beside["buffer"]["full_in_s"] > 0
    assert beside["as_of_us"] == now + 115 * times.SECOND
    assert beside["held_bytes"] == keeper.room.held > 0
    later = trunkline("journal", "show", filled)
    assert "at that rate" in later.text
    assert "reserved for alarms" in later.text
    assert trunkline("journal", "show", site, "--gateway", "gw2").code == 2
    nothing = trunkline("journal", "show", site.parent / "nothing.db")
    assert (nothing.code, "there is no journal" in nothing.text) == (2, True)
    assert "is no journal" in trunkline("journal", "show", _other(site.parent)).text


def _other(folder: Path) -> Path:
    path = folder / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    return path


def test_check_passes_a_whole_journal_also_beside_its_gateway(site: Path, filled: Path) -> None:
    before = contents(filled.parent)
    said = trunkline("journal", "check", filled, "--json")
    assert contents(filled.parent) == before
    assert (said.code, said.documents[-1]["passed"], said.documents[-1]["records"]) == (0, True, 62)
    with Journal(filled) as journal:
        journal.append("logs.platform" if "logs.platform" in journal.topics() else next(iter(journal.topics())), [Record(b"more")])
        said = trunkline("journal", "check", site, "--gateway", "gw1", "--json")
        assert (said.code, said.documents[-1]["records"]) == (0, 63)


def test_check_beside_a_writer_that_deletes_and_gives_back(tmp_path: Path) -> None:
    """Nothing is taken for damage that only moves."""
    path = tmp_path / "journal.db"
    script = tmp_path / "churn.py"
    script.write_text(CHURN)
    process = subprocess.Popen([sys.executable, script, path, "3"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for _ in range(6):
            while not process.stdout.readline().startswith("given"):
                pass
            said = trunkline("journal", "check", path, "--json")
            assert (said.code, said.documents[:-1]) == (0, [])
            assert said.documents[-1]["records"] > 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("sql", "place", "problem"),
    [
        ("UPDATE batch SET frame = zeroblob(LENGTH(frame)) WHERE id = (SELECT MIN(id) + 5 FROM batch)", "telemetry.raw/0@5", "checksum"),
        ("UPDATE batch SET newest = newest + 1 WHERE id = (SELECT MIN(id) FROM batch)", "telemetry.raw/0@0", "checksum"),
        ("DELETE FROM batch WHERE id = (SELECT MIN(id) + 3 FROM batch)", "telemetry.raw/0@3", "missing"),
        ("DELETE FROM batch WHERE id = (SELECT MIN(id) + 19 FROM batch)", "telemetry.raw/0@19", "missing"),
        ("UPDATE lane SET next = next - 1 WHERE lane = 1", "telemetry.raw/0@19", "beyond"),
        ("UPDATE lane_copy SET bytes = 1 WHERE lane = 2", "table 'lane'", "copy"),
        ("DROP TRIGGER tally_insert", "structure", "description"),
    ],
)
def test_check_names_what_is_wrong_and_where(filled: Path, sql: str, place: str, problem: str) -> None:
    """PD-10: exit 1, the place with its offset."""
    with closing(sqlite3.connect(filled)) as db:
        db.execute(sql)
        db.commit()
    said = trunkline("journal", "check", filled, "--json")
    assert said.code == 1
    *flaws, summary = said.documents
    assert (summary["passed"], summary["problems"]) == (False, len(flaws))
    assert any(flaw["place"].startswith(place) and problem in flaw["problem"] for flaw in flaws), flaws


def test_check_and_show_of_garbage(filled: Path) -> None:
    content = bytearray(filled.read_bytes())
    content[: 3 * 4096] = bytes(range(256)) * 48
    filled.write_bytes(content)
    assert trunkline("journal", "check", filled).code == 1
    shown = trunkline("journal", "show", filled)
    assert (shown.code, "journal check" in shown.text) == (1, True)


def test_salvage_into_a_new_file_says_what_is_carried_over_and_what_is_lost(filled: Path, tmp_path: Path) -> None:
    """The damaged file stays as it is; nothing is salvaged under a running gateway."""
    content = filled.read_bytes()
    with closing(sqlite3.connect(filled)) as db:
        (frame,) = db.execute("SELECT frame FROM batch WHERE id = (SELECT MIN(id) + 4 FROM batch)").fetchone()
    place = content.index(frame)
    damaged = content[: place + 30] + b"\xff" * 40 + content[place + 70 :]
    filled.write_bytes(damaged)
    target = tmp_path / "new" / "journal.db"
    target.parent.mkdir()
    holder = "import sys, time; from pathlib import Path; from trunkline.log.journal.journal import Journal\n"
    holder += "journal = Journal(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    busy = tmp_path / "busy" / "journal.db"
    with Journal(busy):
        pass
    process = subprocess.Popen([sys.executable, "-c", holder, busy], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        refused = trunkline("journal", "salvage", busy, "--to", target)
        assert (refused.code, "is in use: stop its gateway first" in refused.text) == (2, True)
        assert not target.exists()
    finally:
        process.kill()
        process.wait()

    said = trunkline("journal", "salvage", filled, "--to", target, "--json")
    assert said.code == 0
    lost, summary = said.documents
    assert lost["lost"].startswith("telemetry.raw/0@4")
    assert (summary["records"], summary["lost_ranges"], summary["partitions"]["telemetry.raw/0"]) == (61, 1, 19)
    assert filled.read_bytes() == damaged
    assert trunkline("journal", "check", target).code == 0
    assert trunkline("journal", "salvage", filled, "--to", target).code == 2
    with Journal(target) as journal:
        assert journal.id == summary["id"]


def test_status_tells_the_forecast_and_what_waits_long(site: Path) -> None:
    """PD-31, P-51: in words for people, as figures for machines."""
    one = load(site)
    now = times.now()
    buffer = BufferStatus(101, 5, now - 2 * times.HOUR, 10**10, 10**8, 7 * 10**6, 31 * 3600.0)
    report = GatewayStatus("gw1", "o", now, "1", [], buffer, LinkStatus("down", now, "away"), [])
    with closing(open_site_log(one.config.log, one.data_dir)) as log:
        log.append(layout_of(one.config.log).gateway_status, [Record(encode_status(report), key=b"gw1")])
    said = trunkline("status", site)
    assert "gw1: the edge buffer is full in 31.0 hours at this rate" in said.text
    assert "gw1: 101 records wait at the edge, the oldest for 2.0 hours" in said.text
    assert "7.0 MB of 10.0 GB" in said.text
    (told,) = [document for document in trunkline("status", site, "--json").documents if document.get("gateway") == "gw1"]
    assert (told["buffer"]["full_in_s"], told["buffer"]["reserved_bytes"]) == (31 * 3600.0, 10**8)


def test_export_and_import_on_the_command_line(site: Path, filled: Path, tmp_path: Path) -> None:
    """See tests/gateway/test_copy_out.py for what is promised; here the doors."""
    assert filled.exists()
    stick = tmp_path / "stick"
    assert "is the stick mounted?" in trunkline("journal", "export", site, "--gateway", "gw1", "--to", stick).text
    stick.mkdir()
    said = trunkline("journal", "export", site, "--gateway", "gw1", "--to", stick, "--json")
    assert (said.code, said.documents[-1]["records"]) == (0, 61)
    told = trunkline("journal", "import", site, stick, "--json")
    assert (told.code, told.documents[-1]["records"]) == (0, 61)
    one = load(site)
    with open_site_log(one.config.log, one.data_dir) as log:  # type: ignore[attr-defined]
        assert positions(log, layout_of(one.config.log)) == list(range(1200))
    assert trunkline("journal", "import", site, stick).code == 0
    (file,) = stick.glob("*/000001.tlk")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused = trunkline("journal", "import", site, stick)
    assert refused.code == 1
    assert f"{file}, byte " in refused.text.replace(" byte", " byte")
    assert trunkline("journal", "import", site, tmp_path / "nowhere").code == 2
    bad = trunkline("journal", "export", site, "--gateway", "gw1", "--to", stick, "--from", "yesterday")
    assert (bad.code, "is no time" in bad.text) == (2, True)
    assert json.loads((file.parent / "manifest.json").read_text())["gateway"] == "gw1"
