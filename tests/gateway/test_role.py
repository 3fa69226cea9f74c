"""A gateway as its own process, with real sources, killed and stopped for real."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trunkline.config.site import LogConfig
from trunkline.gateway.adapter import read_config
from trunkline.gateway.confirmed import Confirmed
from trunkline.ledger.confirmation import Confirmation, ConfirmedLane, encode_confirmation
from trunkline.ledger.coverage import Coverage
from trunkline.ledger.status import GatewayStatus, decode_status
from trunkline.log.codec import columns as codec
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_journal
from trunkline.log.port import Record, TopicPartition
from trunkline.model.errors import Misconfigured
from trunkline.model.reading import Category

SITE = """
site: test
log: {partitions: 2}
gateways:
  - id: gw1
    admin_port: %d
    sources:
      - id: sim
        type: simulated
        interval_ms: 20
        tags:
          - {path: P.A.U1.SINE, signal: {shape: sine}}
          - {path: P.A.U2.COUNT, kind: integer, signal: {shape: counter}}
      - id: dead-plc
        type: modbus
        host: 127.0.0.1
        port: 1
        tags:
          - {path: P.A.U3.FLOW, address: "holding:0", format: float32, time: gateway}
"""
LOG = LogConfig(partitions=2)


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError("it did not come about in time")


class Process:
    """A role under test."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "trunkline.cli.entry", "run", *arguments]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment})

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.popen.send_signal(how)
        output, _ = self.popen.communicate(timeout=40)
        return self.popen.returncode, output.decode()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def make(*arguments: str, **environment: str) -> Process:
        running.append(Process(*arguments, **environment))
        return running[-1]

    yield make
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.communicate()


@pytest.fixture
def free_port() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def file(tmp_path: Path, free_port: int) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE % free_port)
    return path


@pytest.fixture
def site_log(tmp_path: Path) -> Iterator[Journal]:
    log = open_site_journal(LOG, tmp_path / "data")
    yield log
    log.close()


def newest_status(log: Journal) -> GatewayStatus | None:
    record = log.last(TopicPartition(layout_of(LOG).gateway_status, 0))
    return decode_status(record.value) if record else None


def arrived(log: Journal) -> codec.Columns:
    topic = layout_of(LOG).topic(Category.TELEMETRY, "raw")
    return codec.decode([record for at in log.bounds(topic) for record in log.read(at, 0, 100_000)])


def more_than(log: Journal, count: int) -> bool:
    return len(arrived(log)) > count


def test_kills_and_an_orderly_stop_lose_and_double_nothing(file: Path, site_log: Journal, start: Callable[..., Process]) -> None:
    """P-117, W-16: what the edge acknowledged arrives, over SIGKILLs; SIGTERM drains."""
    for target in (50, 100, 150):
        process = start("gateway", str(file), "--id", "gw1")
        until(partial(more_than, site_log, target))
        process.end(signal.SIGKILL)
    process = start("gateway", str(file), "--id", "gw1")
    until(lambda: len(arrived(site_log)) > 200)
    code, _ = process.end(signal.SIGTERM)
    assert code == 0
    columns = arrived(site_log)
    reports = [decode_status(record.value) for record in site_log.read(TopicPartition(layout_of(LOG).gateway_status, 0), 0, 100_000)]
    # a report tells the counts that changed since the one before
    newest = {(cell.source, cell.category, cell.hour): cell for report in reports for cell in report.counts}
    counted = [cell for (source, category, _), cell in newest.items() if (source, category) == ("sim", "telemetry")]
    assert reports[-1].buffer.waiting == 0
    distinct = {(columns.heads[block].origin, seq) for block, seq in zip(columns.block.tolist(), columns.seq.tolist(), strict=True)}
    assert len({origin for origin, _ in distinct}) == 1
    assert sum(cell.read for cell in counted) == sum(cell.forwarded for cell in counted) == len(distinct)
    for at in site_log.bounds(layout_of(LOG).topic(Category.TELEMETRY, "raw")):
        heads = codec.decode(site_log.read(at, 0, 100_000)).heads
        assert Coverage((head.lo, head.hi) for head in heads).holes() == ()


def test_a_gateway_hears_what_the_historian_confirms(tmp_path: Path, file: Path, site_log: Journal, start: Callable[..., Process]) -> None:
    """PD-10: on its own, through the site log; other origins' words are not for it."""
    start("gateway", str(file), "--id", "gw1")
    status = until(lambda: newest_status(site_log))
    layout = layout_of(LOG)
    at = TopicPartition(layout.topic(Category.TELEMETRY, "raw"), 1)
    for origin, end in ((status.origin, 3), ("another", 50)):
        told = Confirmation(origin, status.at_us, [ConfirmedLane(at.topic, at.partition, [(0, end)])])
        site_log.append(layout.confirmations, [Record(encode_confirmation(told), key=origin.encode())])
    with open_edge_journal(LOG, tmp_path / "data", "gw1") as edge:
        assert until(lambda: Confirmed(edge, layout).reach(at, 0)) == 3


def test_one_bad_source_slows_no_other_and_is_shown(file: Path, site_log: Journal, start: Callable[..., Process], free_port: int) -> None:
    """W-39, W-52, W-53, D-10."""
    start("gateway", str(file), "--id", "gw1")
    until(lambda: len(arrived(site_log)) > 100)

    def degraded() -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            return None

    health = until(degraded)
    assert health["status"] == "degraded"
    assert "source dead-plc is away" in health["problems"]
    assert health["errors_last_minute"] >= 1
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'adapter_readings_total{pipeline_id="sim"}' in text
    assert "# HELP adapter_errors_total" in text
    for sample in ('append_seconds{quantile="0.99"}', "append_seconds_count", 'forwarded_records_total{topic="telemetry.raw"}'):
        assert f"trunkline_edge_{sample} " in text
    status = until(lambda: (found := newest_status(site_log)) and found.link.append_ms and found)
    assert status.link.append_ms == sorted(status.link.append_ms)
    assert len(status.link.append_ms) == 3  # p50, p95, p99: issue 4, item 5
    states = {source.id: source.state for source in status.sources}
    assert states["sim"] == "connected"
    assert states["dead-plc"] in {"connecting", "backing_off"}


def test_a_second_process_of_the_same_gateway_is_refused(file: Path, site_log: Journal, start: Callable[..., Process]) -> None:
    first = start("gateway", str(file), "--id", "gw1")
    until(lambda: len(arrived(site_log)) > 10)
    second = start("gateway", str(file), "--id", "gw1")
    output, _ = second.popen.communicate(timeout=40)
    assert second.popen.returncode == 2
    assert f"already running as process {first.popen.pid}" in " ".join(output.decode().split())


def test_two_gateways_of_one_name_are_noticed(
    tmp_path: Path, file: Path, site_log: Journal, start: Callable[..., Process], free_port: int
) -> None:
    """PD-14: their readings are kept apart by origin, and both say so."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").mkdir()
    (other / "data" / "site").symlink_to(tmp_path / "data" / "site")
    (other / "site.yaml").write_text(SITE % 0)
    start("gateway", str(file), "--id", "gw1")
    start("gateway", str(other / "site.yaml"), "--id", "gw1")

    def problems() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health", timeout=5) as answer:
                return any("another gateway uses the id" in problem for problem in json.load(answer)["problems"])
        except (urllib.error.URLError, ConnectionError):
            return False

    until(problems)
    assert len({head.origin for head in arrived(site_log).heads}) == 2


def test_the_adapter_contract(tmp_path: Path, site_log: Journal, start: Callable[..., Process], free_port: int) -> None:
    """W-45, W-46, W-47, W-52 to W-55, D-6: CONFIG_JSON, /health, /metrics, JSON logs, SIGTERM."""
    document = {
        "pipeline_id": "boiler",
        "adapter_id": "adapter-sim-001",
        "admin_port": free_port,
        "source": {"type": "simulated", "interval_ms": 20, "tags": [{"path": "P.A.U.SINE", "signal": {"shape": "sine"}}]},
        "output": {"data_dir": str(tmp_path / "data"), "log": {"partitions": 2}},
    }
    process = start("adapter", CONFIG_JSON=base64.b64encode(json.dumps(document).encode()).decode())
    until(lambda: len(arrived(site_log)) > 20)
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health", timeout=5) as answer:
        health = json.load(answer)
    assert health["status"] == "healthy"
    assert health["last_reading_at"].endswith("Z")
    assert health["errors_last_minute"] == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=5) as answer:
        assert 'adapter_readings_total{pipeline_id="boiler"}' in answer.read().decode()
    code, output = process.end(signal.SIGTERM)
    assert code == 0
    events = [json.loads(line)["event"] for line in output.splitlines()]
    assert events[-1] == "gateway has stopped"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not set"),
        ("%%%", "neither JSON nor base64"),
        ("{", "is no JSON"),
        ('{"pipeline_id": "a"}', "adapter_id: Field required"),
        ('{"pipeline_id": "a", "password": "hunter22"}', "password: Extra inputs are not permitted"),
    ],
)
def test_bad_adapter_configuration_says_what_is_wrong_and_no_secret(text: str, says: str) -> None:
    """D-6; no secret in an exception."""
    with pytest.raises(Misconfigured) as caught:
        read_config({"CONFIG_JSON": text})
    assert says in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_a_mounted_file_may_hold_the_configuration(tmp_path: Path) -> None:
    """D-6: for documents larger than a variable may be; as JSON, or as base64 in lines."""
    file = tmp_path / "adapter.json"
    with pytest.raises(Misconfigured, match=r"CONFIG_FILE: .*adapter.json cannot be read: .*No such file"):
        read_config({"CONFIG_FILE": str(file)})
    tags = [{"path": f"P.A.U{number}.SINE"} for number in range(5000)]
    document = {
        "pipeline_id": "boiler",
        "adapter_id": "adapter-1",
        "source": {"type": "simulated", "tags": tags},
        "output": {"data_dir": "data"},
    }
    text = json.dumps(document)
    assert len(text) > 128 * 1024
    for written in (text, base64.encodebytes(text.encode()).decode()):
        file.write_text(written)
        assert len(read_config({"CONFIG_FILE": str(file)}).source["tags"]) == len(tags)
    with pytest.raises(Misconfigured, match="both set"):
        read_config({"CONFIG_FILE": str(file), "CONFIG_JSON": "{}"})
