"""The production files of deploy/kafka: three nodes are formatted and run from them; ports, hosts and folders are replaced."""

import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from tests.lab.kafka.records import SECONDS, create_topic, produce

from trunkline.lab.kafka import Cluster, Jars, Jvm, archive
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.lab.kafka.security import ClusterSecurity, Scram
from trunkline.lab.kafka.settings import NodePorts
from trunkline.security.pki import CertificateAuthority

FILES: Final = Path(__file__).parents[3] / "deploy" / "kafka"
PASSWORDS: Final = {"broker": "of-brokers-0123456789", "admin": "of-the-administrator-0123456789"}
NODES: Final = (1, 2, 3)


def replaced(text: str, root: Path, node: int, ports: list[NodePorts]) -> str:
    """Return a file of node `node` with loopback, free ports and folders under `root` in place of a plant's."""
    mine = ports[node - 1]
    for number, other in enumerate(ports, 1):
        text = text.replace(f"{number}@kafka-{number}:9094", f"{number}@127.0.0.1:{other.controller}")
    listeners = {"CLIENT": (9092, mine.client), "INTERNAL": (9093, mine.internal), "CONTROLLER": (9094, mine.controller)}
    for name, (old, new) in listeners.items():
        text = text.replace(f"{name}://:{old}", f"{name}://127.0.0.1:{new}").replace(
            f"{{env:KAFKA_HOST}}:{old}", f"{{env:KAFKA_HOST}}:{new}"
        )
    text = text.replace("KAFKA_NODE_ID=1", f"KAFKA_NODE_ID={node}").replace("KAFKA_HOST=kafka-1", "KAFKA_HOST=127.0.0.1")
    text = text.replace("KAFKA_HEAP=1g", "KAFKA_HEAP=256m").replace("broker.password=\n", f"broker.password={PASSWORDS['broker']}\n")
    return text.replace("/etc/kafka", str(root / "etc")).replace("/var/lib/kafka", str(root / "state"))


def environment(etc: Path) -> dict[str, str]:
    """Return the variables of node.env as systemd reads them."""
    lines = (etc / "node.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def started_by_systemd(etc: Path, jars: Jars) -> list[str]:
    """Return the command of kafka.service, variables put in, as `env NAME=value … program …`."""
    unit = (etc / "kafka.service").read_text().replace("\\\n", " ")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=")
    variables = environment(etc)
    for name, value in variables.items():
        line = line.replace(f"${{{name}}}", value)
    line = line.replace("/usr/bin/java", str(jars.java)).replace("/opt/kafka/libs", str(jars.folder))
    return ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items()), *shlex.split(line)]


def quickened(command: list[str], etc: Path, jars: Jars) -> list[str]:
    """Return a command with the lab's flags of Java: one node shows that the unit's are right, the others need not compile for a year."""
    words = [word for word in command if not word.startswith(("-X", "-D"))]
    at = words.index(str(jars.java)) + 1
    class_path = words.index("-cp") + 1
    words[class_path] = os.pathsep.join(map(str, jars.libs))
    return [*words[:at], *Jvm().flags(etc / "log4j2.properties", archive.loaded_classes(jars)), *words[at:]]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory, jars = tmp_path_factory.mktemp("deployed"), Jars.find()
    authority = CertificateAuthority.create(directory / "ca", "plant")
    found = lasting_ports(9)
    ports = [NodePorts(*found[3 * node : 3 * node + 3]) for node in range(3)]
    admin = directory / "admin"
    admin.write_text(PASSWORDS["admin"] + "\n")
    tool = {**os.environ, "KAFKA_LIBS": str(jars.folder), "JAVA": str(jars.java)}
    cluster_id = subprocess.check_output([FILES / "format-node", "random-id"], env=tool, text=True).strip()
    for node in NODES:
        root = directory / f"node-{node}"
        etc = root / "etc"
        etc.mkdir(parents=True)
        for file in filter(Path.is_file, FILES.iterdir()):
            (etc / file.name).write_text(replaced(file.read_text(), root, node, ports))
        authority.issue("kafka-broker", hosts=["127.0.0.1"], server=True).write(etc / "node.pem")
        shutil.copy(authority.trust_file, etc)
        subprocess.run([FILES / "format-node", cluster_id, admin], env={**tool, "KAFKA_ETC": str(etc)}, check=True, capture_output=True)
        for file in (root / "state" / "data").iterdir():
            assert PASSWORDS["admin"].encode() not in file.read_bytes()
    security = ClusterSecurity(
        authority.trust_file,
        [directory / f"node-{node}" / "etc" / "node.pem" for node in NODES],
        Scram("broker", PASSWORDS["broker"]),
        Scram("admin", PASSWORDS["admin"]),
    )
    cluster = Cluster(directory, 3, security, ports=ports)
    for broker in cluster.brokers:
        broker.command = started_by_systemd(broker.directory / "etc", jars)
        if broker.node_id > 1:
            broker.command = quickened(broker.command, broker.directory / "etc", jars)
        broker.spawn()
    try:
        cluster.wait_ready()
        yield cluster
    finally:
        for broker in cluster.brokers:
            broker.kill()


def settings_of(client: AdminClient, kind: ResourceType, name: str) -> dict[str, str]:
    found = client.describe_configs([ConfigResource(kind, name)])
    return {key: str(entry.value) for key, entry in next(iter(found.values())).result(SECONDS).items()}


def test_three_nodes_run_from_the_production_files(deployed: Cluster) -> None:
    """P-22 to P-26, P-94, PD-12, PD-13: three copies, two in sync; records pass over TLS and SCRAM."""
    create_topic(deployed, "first", partitions=3, replicas=-1)
    produce(deployed, "first", [b"1", b"2"])
    client = AdminClient({**deployed.client_settings()})
    partitions = client.list_topics("first", timeout=SECONDS).topics["first"].partitions.values()
    assert [len(one.replicas) for one in partitions] == [3, 3, 3]
    topic = settings_of(client, ResourceType.TOPIC, "first")
    assert (topic["min.insync.replicas"], topic["unclean.leader.election.enable"]) == ("2", "false")
    broker = settings_of(client, ResourceType.BROKER, "1")
    assert broker["auto.create.topics.enable"] == "false"
    assert broker["transaction.state.log.min.isr"] == broker["share.coordinator.state.topic.min.isr"] == "2"


def test_a_weak_password_is_refused(tmp_path: Path) -> None:
    """PD-15: no default, nothing that Kafka's tool would read otherwise."""
    (tmp_path / "secrets.properties").write_text((FILES / "secrets.properties").read_text())
    (tmp_path / "admin").write_text("of-the-administrator")
    environment = {**os.environ, "KAFKA_ETC": str(tmp_path)}
    said = subprocess.run([FILES / "format-node", "id", tmp_path / "admin"], env=environment, check=False, capture_output=True, text=True)
    assert said.returncode == 2
    assert "at least 16 letters" in said.stderr


def test_the_script_may_be_run() -> None:
    assert (FILES / "format-node").stat().st_mode & stat.S_IXUSR
