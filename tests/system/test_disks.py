"""Disks that are full, read-only or damaged, under a real gateway and a real site."""

import json
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.support import trunkline
from tests.system.disks import read_only, small_disk
from tests.system.support import PATIENCE, TRUNKLINE, RunningSite, until, write_simulated_site

from trunkline.config.loading import load
from trunkline.gateway.edge import edge_counts
from trunkline.lab.ports import free_ports
from trunkline.log.codec import columns as codec
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_journal, open_site_log
from trunkline.log.port import TopicPartition
from trunkline.model.reading import Category
from trunkline.sources.mqtt.tests.broker import Broker, Device
from trunkline.supervisor.wiring import account

MQTT = """\
site: test
log: {{partitions: 2}}
api: {{port: {api}}}
gateways:
  - id: gw1
    admin_port: {admin}
    sources:
      - id: broker
        type: mqtt
        host: 127.0.0.1
        port: {broker}
        stale_after: 86400
        lost_after: 172800
        tags:
          - {{path: P.A.U1.LEVEL, topic: level, time: gateway}}
"""


@contextmanager
def gateway(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the gateway's role alone; it is killed if the test has not ended it."""
    with (file.parent / "gateway.txt").open("ab") as output:
        process = subprocess.Popen([*TRUNKLINE, "run", "gateway", str(file), "--id", "gw1"], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def health(file: Path) -> dict[str, Any]:
    port = load(file).config.gateways[0].admin_port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            document: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        document = json.load(error)
    except OSError:
        return {"status": "away", "problems": [], "log_connection": None, "waiting_records": 0}
    return document


def raw_topic(file: Path) -> str:
    return layout_of(load(file).config.log).topic(Category.TELEMETRY, "raw")


def arrived(file: Path) -> codec.Columns:
    """Return what the site log holds of raw telemetry."""
    site = load(file)
    with closing(open_site_log(site.config.log, site.data_dir)) as log:
        topic = raw_topic(file)
        return codec.decode([record for at in log.bounds(topic) for record in log.read(at, 0, 100_000)])


def identities(columns: codec.Columns) -> Counter[int]:
    return Counter(columns.seq.tolist())


def spoil(path: Path, at: TopicPartition, journal: Journal) -> int:
    """Turn bits in the middle of a stored batch of a journal at rest; return the readings that were in it."""
    records = journal.read(at, journal.bounds(at.topic)[at][0] + 1, 1)
    readings = len(codec.decode(records))
    journal.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (frame,) = next(iter(row for row in db.execute("SELECT frame FROM batch") if holds(path, row[0])))
    content = path.read_bytes()
    place = content.index(frame[:64])
    path.write_bytes(content[: place + 20] + bytes(byte ^ 0xFF for byte in content[place + 20 : place + 40]) + content[place + 40 :])
    return readings


def holds(path: Path, frame: bytes) -> bool:
    return path.read_bytes().count(frame[:64]) == 1


def test_a_full_disk_at_the_edge(tmp_path: Path) -> None:
    """PD-6, W-43: nothing is acknowledged that is not durable; sources wait, health says so, and all of it arrives once there is room."""
    api, admin = free_ports(2)
    file = tmp_path / "site.yaml"
    with Broker() as broker, small_disk(tmp_path / "data" / "edge") as disk:
        file.write_text(MQTT.format(api=api, admin=admin, broker=broker.port))
        with gateway(file) as process, Device(broker.port) as device:
            until(lambda: health(file)["status"] == "healthy", "the gateway is well")
            device.send(*(("level", str(number)) for number in range(50)))
            until(lambda: len(arrived(file)) == 50, "readings arrive")
            disk.fill(process.pid)
            device.send(*(("level", str(number)) for number in range(50, 100)))
            told = until(lambda: (now := health(file))["status"] == "unhealthy" and now, "health tells")
            assert told
            assert any("the edge journal cannot be written" in problem and "full" in problem for problem in told["problems"])
            assert any("the disk of the edge journal is full" in problem for problem in told["problems"])
            assert told["buffer_max_bytes"] == 10**10
            device.send(*(("level", str(number)) for number in range(100, 150)))
            assert process.poll() is None
            disk.free(process.pid)
            until(lambda: len(arrived(file)) >= 150, "the rest arrives")
            until(lambda: health(file)["status"] == "healthy", "the gateway is well again")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
    columns = arrived(file)
    assert columns.number.tolist() == [float(number) for number in range(150)]
    assert set(identities(columns).values()) == {1}


@pytest.mark.parametrize("arguments", [["up"], ["run", "historian"], ["run", "gateway", "--id", "gw1"]])
def test_a_read_only_data_directory(tmp_path: Path, arguments: list[str]) -> None:
    """A sentence that names the directory and the mend, not a traceback."""
    file = write_simulated_site(tmp_path)
    command, *rest = arguments
    with read_only(tmp_path / "data"):
        said = trunkline(command, *rest[:1], file, *rest[1:]) if command == "run" else trunkline(command, file, "--headless")
        checked = trunkline("check", file)
    assert said.code == 2
    assert f"{tmp_path / 'data' / 'run'} cannot be written: " in said.text
    assert "choose another data_dir" in said.text
    assert checked.code == 1
    assert "is not writable" in checked.text


def test_damaged_journals_at_the_edge_and_at_the_site(tmp_path: Path) -> None:
    """What damage took is named; everything else arrives, and the ledger says what is missing instead of crashing."""
    file = write_simulated_site(tmp_path)
    site = load(file)
    blocked = site.data_dir / "site" / "journal.db"
    blocked.mkdir(parents=True)
    edge = site.data_dir / "edge" / "gw1" / "journal.db"
    topic = raw_topic(file)

    with gateway(file):
        until(lambda: health(file)["waiting_records"] > 40, "readings wait at the edge")
        assert "the site log is away; readings wait at the edge" in health(file)["problems"]
    blocked.rmdir()
    journal = open_edge_journal(site.config.log, site.data_dir, "gw1")
    lost_at_edge = spoil(edge, next(iter(journal.bounds(topic))), journal)

    with gateway(file) as process:
        until(lambda: (now := health(file))["log_connection"] == "ok" and now["waiting_records"] < 5, "the rest arrives")
        until(lambda: any("lost to damage" in problem for problem in health(file)["problems"]), "health tells of the damage")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert "records were lost to damage of the edge journal" in (tmp_path / "gateway.txt").read_text()
    *rows, _ = trunkline("outbox", "list", file, "--json").documents
    assert [row["status"] for row in rows] == ["LOST"]
    assert "LOST to damage at" in trunkline("outbox", "list", file).text
    columns = arrived(file)
    assert set(identities(columns).values()) == {1}
    with closing(open_edge_journal(site.config.log, site.data_dir, "gw1")) as journal:
        read = sum(cell.read for cell in edge_counts(journal.tallies()) if cell.category == "telemetry")
    assert 0 < read - len(columns) <= lost_at_edge * 3

    log = open_site_journal(site.config.log, site.data_dir)
    spoil(site.data_dir / "site" / "journal.db", next(iter(log.bounds(topic))), log)
    with RunningSite(file).start() as running:
        running.wait_until_stored(len(columns) // 2)
        until(lambda: "lost to damage" in trunkline("status", file).text, "status tells")
        status = trunkline("status", file)
        assert status.code == 1
        assert f"records of the site log, lost to damage: {topic}/" in status.text
        until(lambda: len(account(site, recount=False).holes) >= 2, "the ledger has found both holes")
        # at rest the counts are exact, too
        file.write_text(file.read_text().replace("type: simulated", "type: simulated\n        enabled: false"))
        running.restart_role("gateway:gw1")
        until(lambda: account(site, recount=False).totals["missing"] > 0, "the ledger counts what is missing")
        ledger = trunkline("ledger", file, "--json")
        summary = ledger.documents[-1]
        assert (ledger.code, summary["balanced"]) == (1, False)
        assert all(problem.startswith("gateway gw1, ") for problem in summary["problems"])
        assert {name: role.restarts for name, role in running.roles().items() if role.restarts} == {"gateway:gw1": 1}
