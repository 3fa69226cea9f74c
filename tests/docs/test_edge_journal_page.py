"""The page of the edge journal shows what the product says: its figures, metrics and commands, the latter run as they stand."""

import re
import shlex
import subprocess
from pathlib import Path

from prometheus_client.metrics_core import Metric
from tests.cli.support import trunkline

from trunkline.cli.edge_key import open_journal
from trunkline.config.loading import check, load
from trunkline.config.site import BufferConfig
from trunkline.gateway.admin import StatusCollector
from trunkline.gateway.buffer import HIGH_MARK, LOW_MARK
from trunkline.gateway.deliveries import Deliveries
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import edge_journal, open_edge_journal

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "edge-journal.md"
SITE = "site: test\ngateways: [{id: gw1, sources: [{id: plc, type: simulated, tags: [{path: P.A.U1.FLOW}]}]}]\n"


def test_figures_are_the_defaults() -> None:
    """W-97, W-101."""
    text = PAGE.read_text()
    config = BufferConfig()
    shown = f"buffer: {{max_bytes: {config.max_bytes}, reserved_bytes: {config.reserved_bytes}, retention_days: {config.retention_days:g}}}"
    assert shown in text
    assert f"{HIGH_MARK:.0%}".replace("%", " %") in text
    assert f"{LOW_MARK:.0%}".replace("%", " %") in text


def test_metrics_exist() -> None:
    """PD-31."""
    status = GatewayStatus("gw1", "o", 2, "1", [], BufferStatus(1, 2, 1, 3, 4, 5, None), LinkStatus("up", 1, None), [])
    collected: list[Metric] = list(StatusCollector(lambda: status, Deliveries()).collect())
    known = {metric.name: metric.samples[0].value for metric in collected if metric.samples}
    shown = set(re.findall(r"`(trunkline_edge_\w+)`", PAGE.read_text()))
    assert len(shown) == 7
    assert shown <= known.keys()
    assert known["trunkline_edge_full_in_seconds"] == float("inf")


def seal(file: Path) -> None:
    """Encrypt the journal as the page says, then name another key in the site file."""
    text = PAGE.read_text()
    (make,) = re.findall(r"^    (\(umask .*\))$", text, re.MULTILINE)
    (buffer,) = re.findall(r"^        (buffer: {encryption: .*})$", text, re.MULTILINE)
    for name in ("gw1-journal", "gw1-journal-2"):
        subprocess.run(["sh", "-c", make.replace("gw1-journal", name)], cwd=file.parent, check=True, capture_output=True)
        file.write_text(SITE.replace("id: gw1", "id: gw1, " + buffer.replace("gw1-journal", name)))
        assert check(file) == []
        if name == "gw1-journal":
            open_journal(load(file), "gw1").close()


def test_commands_work_as_shown(tmp_path: Path) -> None:
    """Every command of the page in its order, with the reader's own paths put in."""
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    site = load(file)
    open_edge_journal(site.config.log, site.data_dir, "gw1").close()
    stick = tmp_path / "stick"
    stick.mkdir()
    own = {"SITE.yaml": str(file), "/media/stick": str(stick), "/tmp/saved.db": str(tmp_path / "saved.db")}
    commands = [shlex.split(line)[1:] for line in re.findall(r"^    (trunkline journal .*)$", PAGE.read_text(), re.MULTILINE)]
    assert [command[1] for command in commands] == ["show", "export", "import", "check", "salvage", "rekey"]
    for command in commands:
        if command[1] == "rekey":
            seal(file)
        said = trunkline(*(own.get(word, word) for word in command))
        assert said.code == 0, said.text
    journal = edge_journal(site.data_dir, "gw1")
    for suffix in ("", ".marks"):
        (tmp_path / f"saved.db{suffix}").replace(journal.with_name(f"journal.db{suffix}"))
    with Journal(journal) as mended:
        assert {one.kind for one in mended.quarantined()} <= {"skipped"}
