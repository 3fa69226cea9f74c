"""Clients that know nothing of the platform, over TLS and SCRAM, with the rights of their kind: their envelopes reach history."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from confluent_kafka import KafkaError, Message, Producer
from tests.system.support import RunningSite, command, until

from trunkline.cli.kafka_cluster import secure
from trunkline.config.secrets import SecretStore
from trunkline.lab.kafka import Cluster, Jars, Scram, write_client_settings
from trunkline.lab.ports import free_ports
from trunkline.model import times
from trunkline.model.identity import uuid7
from trunkline.supervisor.wiring import conninfo

RAW: Final = "scada.l2.telemetry.flow"
PRESSURE: Final = "scada.l3.telemetry.pressure"
CLEAN: Final = "scada.l3.telemetry.flow"
TAG: Final = "PLANT01.AREA02.UNIT_05.FLOW_RATE"
SECONDS: Final = 60.0
JVM: Final = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# a source that is not connected to tells the platform of the tags that others write
SITE: Final = """\
site: plant01
api: {{port: {api}}}
log:
  engine: kafka
  bootstrap: {bootstrap}
  profile: development
  layout: isa95
  partitions: 2
  form: json
  security: {{username: site, password: '${{secret:kafka-site}}', ca: {ca}}}
gateways:
  - id: others
    admin_port: {admin}
    sources:
      - id: nodes
        type: simulated
        enabled: false
        tags: [{{path: {tag}, unit: m³/h, min: 0, max: 120}}]
  - id: node-007
    admin_port: {other}
    sources:
      - id: sim
        type: simulated
        interval_ms: 100
        tags: [{{path: PLANT01.AREA02.UNIT_06.PRESSURE, unit: bar, signal: {{shape: sine}}}}]
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A secured broker of this test's own: topics of a site have no prefix."""
    directory = tmp_path / "kafka"
    directory.mkdir()
    with Cluster(directory, 1, secure(directory, 1)) as started:
        yield started


@pytest.fixture
def site_file(tmp_path: Path, cluster: Cluster) -> Path:
    """A site with topics, users and access lists as its administrator applies them, and one producer and one reader of others."""
    api, admin, other = free_ports(3)
    file = tmp_path / "site.yaml"
    assert cluster.security is not None
    file.write_text(SITE.format(api=api, admin=admin, other=other, bootstrap=cluster.bootstrap, ca=cluster.security.ca, tag=TAG))
    SecretStore(tmp_path / "data" / "secrets", tmp_path).put("kafka-admin", cluster.security.admin.password)
    applied = command("topics", "apply", file, "--as", "admin", "--producer", "node", "--reader", "mes")
    assert applied.returncode == 0, applied.stderr
    return file


def login(site_file: Path, user: str) -> Scram:
    return Scram(user, SecretStore(site_file.parent / "data" / "secrets", site_file.parent).resolve(f"${{secret:kafka-{user}}}"))


def envelope(event_id: UUID, value: float, time: int) -> bytes:
    """The message of plant.md, section 2, as a node of somebody else's makes it."""
    message = {
        "event_id": str(event_id),
        "timestamp": times.to_iso(time),
        "asset": {"plant": "PLANT01", "area": "AREA02", "unit": "UNIT_05"},
        "tag": "FLOW_RATE",
        "value": value,
        "unit_of_measure": "m³/h",
        "quality": "GOOD",
        "category": "telemetry",
        "node_id": 42,
    }
    return json.dumps(message).encode()


def produce(cluster: Cluster, user: Scram, topic: str, values: list[bytes]) -> list[KafkaError]:
    """Send with the vendor's client; return what brokers refused."""
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            refused.append(error)

    settings: dict[str, Any] = {**cluster.client_settings(user), "message.timeout.ms": int(SECONDS * 1000)}
    producer = Producer(settings)
    for value in values:
        producer.produce(topic, value, TAG.encode(), on_delivery=delivered)
    assert producer.flush(SECONDS) == 0
    return refused


def read(site_file: Path) -> list[dict[str, str]]:
    """Return what `trunkline read` prints."""
    found = command("read", site_file, TAG, "--from", "1h", "--format", "csv")
    rows = [line.split(",") for line in found.stdout.splitlines()]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] if rows else []


def consume(cluster: Cluster, settings: Path, topic: str, count: int) -> list[dict[str, Any]]:
    """Return what Java's console consumer reads: envelopes, one a line."""
    options: list[str | Path] = ["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--command-config", settings]
    options += ["--from-beginning", "--max-messages", str(count), "--group", f"reader-mes.{topic}"]
    command_line = Jars.find().command("org.apache.kafka.tools.consumer.ConsoleConsumer", options, JVM)
    seen = subprocess.run(command_line, timeout=100, check=False, capture_output=True)
    assert seen.returncode == 0, seen.stderr
    return [json.loads(line) for line in seen.stdout.splitlines()]


@pytest.mark.timeout(300)
def test_envelopes_of_others_reach_history(site_file: Path, cluster: Cluster, tmp_path: Path) -> None:
    """P-8, P-9, P-22, P-31, P-72, P-78, P-124, PD-14, PD-24: the vendor's producer and Java's console producer send, Java's consumer reads.

    What is refused on the way is a dead letter, not a gap; repeats of the sender's are dropped. The site itself writes
    envelopes as well, which the same consumer reads.
    """
    node, mes = login(site_file, "producer-node"), login(site_file, "reader-mes")
    now = times.now() - times.MINUTE
    ids = [UUID(str(uuid7())) for _ in range(4)]
    messages = [envelope(one, 50.5 + number, now + number * times.SECOND) for number, one in enumerate(ids)]
    java = write_client_settings(tmp_path / "java.properties", cluster, node)
    console: list[str | Path] = ["--bootstrap-server", cluster.bootstrap, "--topic", RAW, "--command-config", java]
    with RunningSite(site_file).start() as plant:
        assert produce(cluster, node, RAW, [*messages[:3], messages[2], envelope(UUID(str(uuid7())), 500.0, now)]) == []
        told = subprocess.run(
            Jars.find().command("org.apache.kafka.tools.ConsoleProducer", console, JVM),
            input=messages[3] + b"\n", timeout=100, check=False, capture_output=True,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        until(lambda: len(read(site_file)) == 4, "what others sent is in history")
        assert [(float(row["value"]), row["quality"], row["event_id"]) for row in read(site_file)] == [
            (50.5 + number, "GOOD", str(one)) for number, one in enumerate(ids)
        ]
        with psycopg.connect(conninfo(plant.site)) as database:
            view = "SELECT plant, area, unit_name, tag, value, unit_of_measure, node_id FROM plant.telemetry_of(%s)"
            assert database.execute(view, (ids[3],)).fetchall() == [("PLANT01", "AREA02", "UNIT_05", "FLOW_RATE", 53.5, "m³/h", 42)]
        assert [error.code() for error in produce(cluster, node, CLEAN, messages[:1])] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
        reading = write_client_settings(tmp_path / "reader.properties", cluster, mes)
        flow, pressure = consume(cluster, reading, RAW, 6), consume(cluster, reading, PRESSURE, 20)
        assert {str(one) for one in ids} <= {message["event_id"] for message in flow}
        assert {(one["tag"], one["node_id"], one["unit_of_measure"]) for one in pressure} == {("PRESSURE", 7, "bar")}
        assert len({one["event_id"] for one in pressure}) == 20
        assert plant.end() == 0
    with RunningSite(site_file).start("--for", "1", "--json") as again:
        code, output = again.finish()
    summary = json.loads(output)
    assert (code, summary["passed"], summary["ledger"]["balanced"], summary["rejected"]) == (0, True, True, 1), summary
