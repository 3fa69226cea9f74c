"""`trunkline kafka edge`: what it writes, runs, tells and stops, here without a centre."""

import os
import signal
import time
from pathlib import Path

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from tests.cli.support import trunkline

from trunkline.lab.kafka.ports import lasting_ports

SECONDS = 120.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    port, controller, central = lasting_ports(3)
    edge = {
        "controller_port": controller,
        "disk_bytes": 1_000_000_000,
        "central": {"bootstrap": f"127.0.0.1:{central}", "profile": "development", "insecure": True},
    }
    log = {
        "engine": "kafka",
        "bootstrap": f"127.0.0.1:{port}",
        "profile": "development",
        "insecure": True,
        "timeout_seconds": 2,
        "edge": edge,
    }
    path = tmp_path / "edge.yaml"
    path.write_text(yaml.safe_dump({"site": "rig-alpha", "log": log}))
    return path


def broker_of(file: Path) -> int | None:
    pid = trunkline("kafka", "edge", "status", file, "--json").documents[-1]["broker"]
    return pid if isinstance(pid, int) else None


def test_up_status_down(file: Path) -> None:
    """W-96, W-97, D-4: a broker of its own process, bounded by bytes; it is there whether the centre is or not, and comes back."""
    up = trunkline("kafka", "edge", "up", file, "--detach")
    try:
        assert up.code == 0, up.text
        first = broker_of(file)
        assert first is not None
        again = trunkline("kafka", "edge", "up", file, "--detach")
        assert (again.code, "already running" in again.text) == (2, True)
        address = yaml.safe_load(file.read_text())["log"]["bootstrap"]
        client = AdminClient({"bootstrap.servers": address})
        (asked,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, "telemetry.raw")]).values()
        found = {name: entry.value for name, entry in asked.result(SECONDS).items()}
        assert (found["retention.ms"], found["retention.bytes"]) == ("-1", str(750_000_000 // 4))
        assert "telemetry.clean" not in client.list_topics(timeout=SECONDS).topics
        said = trunkline("kafka", "edge", "status", file, "--json")
        assert (said.code, said.documents[-1]["passed"], bool(said.documents[-1]["problem"])) == (1, False, True)
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while broker_of(file) in (None, first):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        down = trunkline("kafka", "edge", "down", file)
    assert (down.code, down.text) == (0, "stopped")
    assert broker_of(file) is None


def test_a_site_without_an_edge_is_told_how_to_have_one(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: a\n")
    said = trunkline("kafka", "edge", "init", path)
    assert said.code == 2
    assert "has no 'log.edge' section: docs/how-to/kafka-edge.md has an example" in said.text


def test_the_units_run_what_is_written() -> None:
    """D-4: broker and mirror are units of their own, with the files of `trunkline kafka edge init`."""
    units = Path(__file__).parents[2] / "deploy" / "kafka" / "edge"
    broker = (units / "kafka-edge.service").read_text().replace("\\\n", " ")
    mirror = (units / "kafka-mirror.service").read_text().replace("\\\n", " ")
    started = {
        name: next(line for line in text.splitlines() if line.startswith("ExecStart=")) for name, text in (("b", broker), ("m", mirror))
    }
    assert started["b"].endswith("kafka.Kafka /var/lib/kafka-edge/server.properties")
    assert started["m"].endswith("org.apache.kafka.connect.mirror.MirrorMaker /var/lib/kafka-edge/mm2.properties")
