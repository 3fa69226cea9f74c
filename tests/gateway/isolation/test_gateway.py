"""Isolated sources in a whole gateway, as its own process: the others go on, and nothing is left behind."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.gateway.isolation import unruly
from tests.gateway.test_role import LOG, Process, until

from trunkline.lab.ports import free_ports
from trunkline.ledger.status import GatewayStatus, decode_status
from trunkline.log.codec import columns as codec
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_site_journal
from trunkline.log.port import TopicPartition
from trunkline.model.reading import Category

SITE = """
site: test
log: {partitions: 2}
gateways:
  - id: gw1
    admin_port: %(port)d
    sources:
      - {id: calm, type: simulated, interval_ms: 50, tags: [{path: P.A.CALM.T}]}
      - {id: apart, type: simulated, interval_ms: 50, isolate: process, tags: [{path: P.A.APART.T}]}
"""


ODD = """\
      - id: %(id)s
        type: unruly
        isolate: process
        fault: %(fault)s
        after: 10
        resources: {cpu: 0.9, memory: 128M}
        marker: %(marker)s
        tags: [{path: P.A.%(tag)s.T}]
"""


def _odd(fault: str, marker: Path) -> str:
    name = fault or "odd"
    return ODD % {"id": name, "tag": name.upper(), "fault": fault or '""', "marker": marker}


@pytest.fixture
def site_log(tmp_path: Path) -> Iterator[Journal]:
    log = open_site_journal(LOG, tmp_path / "data")
    yield log
    log.close()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Process, int]]]:
    running: list[Process] = []
    unruly.install(tmp_path, monkeypatch)

    def make(*faults: str) -> tuple[Process, int]:
        (port,) = free_ports(1)
        file = tmp_path / "site.yaml"
        odd = [_odd(fault, tmp_path / "marker") for fault in faults]
        file.write_text(SITE % {"port": port} + "".join(odd))
        running.append(Process("gateway", str(file), "--id", "gw1"))
        return running[-1], port

    yield make
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.communicate()


def arrived(log: Journal, tag: str) -> list[int]:
    """Return the times of a tag's readings, in their order."""
    topic = layout_of(LOG).topic(Category.TELEMETRY, "raw")
    found = codec.decode([record for at in log.bounds(topic) for record in log.read(at, 0, 100_000)])
    mine = [found.tags[number] == tag for number in found.tag.tolist()]
    return [at for at, wanted in zip(found.time.tolist(), mine, strict=True) if wanted]


def newest(log: Journal) -> GatewayStatus | None:
    record = log.last(TopicPartition(layout_of(LOG).gateway_status, 0))
    return decode_status(record.value) if record else None


def children(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.popen.pid).children()


def pages(port: int, page: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return None


def deaths(marker: Path, fault: str) -> int:
    return len({line for line in marker.read_text().splitlines() if line.startswith(fault)}) if marker.exists() else 0


def test_others_go_on_while_sources_die(tmp_path: Path, site_log: Journal, start: Callable[..., tuple[Process, int]]) -> None:
    """W-36, W-39, W-57, D-7: sources crash in a loop, spin and eat memory; no other has a gap, in its process or in the gateway's."""
    marker = tmp_path / "marker"
    process, port = start("segfault", "spin", "leak")
    until(lambda: deaths(marker, "spin"), 60)
    spinning = {tag: len(arrived(site_log, f"P.A.{tag}.T")) for tag in ("CALM", "APART")}
    until(lambda: (now := newest(site_log)) and all(one.errors_total > 0 for one in now.sources if one.type == "unruly"), 90)
    # it took the gateway ten looks of a second to give the spinning one up: the others have read on as if nothing were
    for tag, count in spinning.items():
        assert len(arrived(site_log, f"P.A.{tag}.T")) > count + 20
    until(lambda: deaths(marker, "segfault") > 2, 60)
    assert json.loads(until(lambda: pages(port, "health")))["status"] in ("healthy", "degraded")
    code, output = process.end(signal.SIGTERM)
    assert code == 0
    lines = [json.loads(line) for line in output.splitlines()]
    away = {line["source"]: line["error"] for line in reversed(lines) if line["event"] == "source is away"}
    assert away.keys() == {"segfault", "spin", "leak"}
    assert "it was ended by SIGSEGV" in away["segfault"]
    assert "'resources.memory' allows" in away["leak"]
    assert "no sign of life" in away["spin"] or "'resources.cpu' allows 0.9" in away["spin"]


def test_an_orderly_stop_ends_the_processes_and_loses_nothing(site_log: Journal, start: Callable[..., tuple[Process, int]]) -> None:
    """W-40: SIGTERM; every reading that was acknowledged to a source arrives, and no process is left."""
    process, port = start("")
    status = until(lambda: (found := newest(site_log)) and all(one.state == "connected" for one in found.sources) and found)
    found = {one.id: one.process for one in status.sources}
    assert found["calm"] is None
    isolated = until(lambda: len(children(process)) == 2 and children(process))
    assert {found["odd"].pid, found["apart"].pid} == {one.pid for one in isolated}
    until(lambda: (now := newest(site_log)) and all(one.process is None or one.process.rss_bytes > 10_000_000 for one in now.sources))
    text = until(lambda: pages(port, "metrics"))
    for name in ("resident_bytes", "cpu", "restarts_total"):
        assert f'trunkline_source_process_{name}{{source="apart"}}' in text
    for one in isolated:
        one.send_signal(signal.SIGTERM)  # a service manager tells every process of the service: only the gateway heeds it
    count = len(arrived(site_log, "P.A.APART.T"))
    until(lambda: len(arrived(site_log, "P.A.APART.T")) > count + 20)
    assert {one.pid for one in children(process)} == {one.pid for one in isolated}
    code, output = process.end(signal.SIGTERM)
    assert code == 0
    assert not any(one.is_running() for one in isolated)
    assert not [line for line in output.splitlines() if json.loads(line)["event"] == "source is away"]
    last = newest(site_log)
    assert last is not None
    assert last.buffer.waiting == 0


def test_a_killed_gateway_leaves_no_process(tmp_path: Path, site_log: Journal, start: Callable[..., tuple[Process, int]]) -> None:
    """W-36: not even one that hangs in a library and sees nothing of its pipe."""
    process, _ = start("hang")
    until(lambda: deaths(tmp_path / "marker", "hang"))
    isolated = until(lambda: len(children(process)) == 2 and children(process))
    process.end(signal.SIGKILL)
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in isolated), 20)
