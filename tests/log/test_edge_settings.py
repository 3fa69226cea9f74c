"""What is written for an edge with a Kafka of its own: topics, server.properties, mm2.properties, the login, and the example."""

import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from trunkline.cli.kafka_edge_files import write_files
from trunkline.config.edge import EdgeKafka
from trunkline.config.loading import check, load
from trunkline.config.problems import errors, render
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.log.kafka.edge import edge_topics, mirrored, returned
from trunkline.log.kafka.mirror import Login, broker_settings, central_login, java_properties, mirror_settings
from trunkline.log.opening import kafka_topics
from trunkline.log.topics import TABLES, Layout
from trunkline.model.errors import Misconfigured
from trunkline.model.reading import Category

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "edge-kafka"
LAYOUT: Final = Layout("gateway", 12)
CENTRAL: Final[dict[str, Any]] = {"bootstrap": "kafka-1:9092", "security": {"username": "mirror-rig-alpha", "password": "${env:P}"}}
LOG: Final[dict[str, Any]] = {"engine": "kafka", "bootstrap": "127.0.0.1:9092", "profile": "development", "insecure": True}
HERE, OUT, BACK = "edge-rig-alpha", "edge-rig-alpha->central", "central->edge-rig-alpha"


def edge_log(central: dict[str, Any] = CENTRAL, **edge: Any) -> tuple[LogConfig, EdgeKafka]:
    log = LogConfig(**LOG, edge={"central": central, **edge})
    assert log.edge is not None
    return log, log.edge


def mirror(central: dict[str, Any] = CENTRAL) -> dict[str, str]:
    log, edge = edge_log(central)
    store = SecretStore(Path("/site/secrets"), Path("/site"), {"P": "pass"})
    return mirror_settings("rig-alpha", log, edge, central_login(edge.central, store, Path("/edge/secrets")), Path("/edge/secrets"))


# --- topics


def test_what_gateways_write_is_mirrored_and_nothing_else() -> None:
    """W-99, D-20: telemetry, events, alarms, logs, dead letters and gateway metrics; what is made at the centre is not in the list."""
    names = [spec.name for spec in mirrored(LAYOUT)]
    assert names == [
        "telemetry.raw",
        "events.raw",
        "alarms.raw",
        "logs.adapters",
        "logs.gateway",
        "logs.sinks",
        "dlq.invalid_telemetry",
        "dlq.invalid_events",
        "dlq.invalid_alarms",
        "dlq.buffer_overflow",
        "metrics.gateways",
    ]
    assert [spec.name for spec in returned(LAYOUT)] == ["metrics.historian"]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_topic_goes_round_in_a_circle(name: str) -> None:
    """Names are equal on both sides, so that MirrorMaker could not tell."""
    layout = Layout(name, 4)
    assert not set(mirrored(layout)) & set(returned(layout))
    assert {layout.gateway_status, layout.overflow, layout.platform_log} < {spec.name for spec in mirrored(layout)}
    assert [spec.name for spec in returned(layout)] == [layout.confirmations]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_bytes_bound_the_edge_and_never_hours(name: str) -> None:
    """W-97, W-102, D-19, D-23: the disk is split over partitions; alarms have no limit; one copy (D-5)."""
    layout, disk = Layout(name, 4), 10_000_000_000
    _, edge = edge_log(disk_bytes=disk)
    topics = edge_topics(layout, edge)
    bounded = 0
    for topic in topics:
        assert topic.settings["retention.ms"] == "-1"
        assert topic.replication == int(topic.settings["min.insync.replicas"]) == 1
        if (limit := int(topic.settings["retention.bytes"])) > 0:
            bounded += (limit + int(topic.settings["segment.bytes"])) * topic.partitions
    unlimited = {topic.name for topic in topics if topic.settings["retention.bytes"] == "-1"}
    assert {layout.overflow, *layout.topics(Category.ALARM, "raw"), *layout.topics(Category.ALARM, "dead")} <= unlimited
    assert not unlimited & {*layout.topics(Category.TELEMETRY, "raw"), *layout.topics(Category.EVENT, "raw"), layout.platform_log}
    assert disk * 0.89 < bounded < disk


def test_an_edge_opens_with_its_own_topics() -> None:
    log, edge = edge_log()
    assert kafka_topics(log) == edge_topics(LAYOUT, edge)


# --- server.properties


def test_the_broker_is_one_node_on_loopback() -> None:
    """W-96: KRaft, node id 1, both roles, 9092 and 9093; D-5: nothing asks for three copies."""
    found = broker_settings(*edge_log(), Path("/edge"))
    assert (found["node.id"], found["process.roles"], found["log.dirs"]) == ("1", "broker,controller", "/edge/data")
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert {value for key, value in found.items() if key.endswith((".replication.factor", ".min.isr"))} == {"1"}
    assert (found["auto.create.topics.enable"], found["log.retention.ms"]) == ("false", "-1")


def test_what_a_power_cut_may_take_is_stated() -> None:
    """D-2: a flush setting at the edge; 0 flushes every append."""
    assert broker_settings(*edge_log(flush_ms=250), Path("/edge"))["log.flush.interval.ms"] == "250"
    every = broker_settings(*edge_log(flush_ms=0), Path("/edge"))
    assert every["log.flush.interval.messages"] == "1"
    assert "log.flush.interval.ms" not in every


# --- mm2.properties


def test_names_stay_and_settings_of_topics_are_left_alone() -> None:
    """D-20: identity policy; retention at the centre is not overwritten by the edge's."""
    found = mirror()
    assert found["replication.policy.class"].endswith("IdentityReplicationPolicy")
    assert found["sync.topic.configs.enabled"] == found["sync.topic.acls.enabled"] == "false"
    assert found["config.properties.exclude"] == ".*"
    assert found[f"{OUT}.topics"].split(",") == [spec.name.replace(".", r"\.") for spec in mirrored(LAYOUT)]
    assert found[f"{BACK}.topics"] == r"metrics\.historian"


def test_books_are_at_the_centre_in_three_copies() -> None:
    """W-99: replication factor 3, checkpoints in 3, a flush of offsets every 10 s; D-20: bookkeeping at the target."""
    found = mirror()
    assert found[f"{OUT}.offset-syncs.topic.location"] == "target"
    for key in ("replication.factor", "checkpoints.topic.replication.factor", "offset-syncs.topic.replication.factor"):
        assert found[f"{OUT}.{key}"] == "3"
    for storage in ("config", "offset", "status"):
        assert found[f"central.{storage}.storage.replication.factor"] == "3"
        assert found[f"{HERE}.{storage}.storage.replication.factor"] == "1"
    assert found["central.offset.flush.interval.ms"] == "10000"
    small = mirror({**CENTRAL, "profile": "development"})
    assert {value for key, value in small.items() if key.endswith("replication.factor")} == {"1"}


def test_only_whole_transactions_are_mirrored() -> None:
    found = mirror()
    assert found[f"{HERE}.consumer.isolation.level"] == "read_committed"
    assert found["central.producer.acks"] == "all"
    assert found["central.exactly.once.source.support"] == "enabled"


def test_at_least_once_is_a_choice() -> None:
    """A transaction that a dying link leaves open holds back other readers: who minds that more than repeats says so."""
    log, edge = edge_log(exactly_once=False)
    found = mirror_settings("rig-alpha", log, edge, Login({}, {}), Path("/edge/secrets"))
    assert found["central.exactly.once.source.support"] == "disabled"
    assert not any("transaction" in key for key in found)


def test_no_secret_is_in_the_settings() -> None:
    """MirrorMaker stores its settings in a topic at the centre: there they are references, too."""
    found = mirror()
    assert found["central.security.protocol"] == "SASL_SSL"
    assert found["central.sasl.jaas.config"] == "${directory:/edge/secrets:central.jaas}"
    assert not any("pass" in value for value in found.values())


def test_the_login_is_quoted_as_java_reads_it() -> None:
    _, edge = edge_log()
    login = central_login(edge.central, SecretStore(Path("/s"), Path("/s"), {"P": 'a"b\\c'}), Path("/edge/secrets"))
    assert login.files["central.jaas"].endswith(r'required username="mirror-rig-alpha" password="a\"b\\c";')
    with pytest.raises(Misconfigured, match="line break"):
        central_login(edge.central, SecretStore(Path("/s"), Path("/s"), {"P": "a\nb"}), Path("/edge/secrets"))


def test_properties_are_latin_and_keep_their_backslashes() -> None:
    assert java_properties({"a": r"x\.y", "b": "温 \n"}, ["c"]) == "# c\na=x\\\\.y\nb=\\u6e29 \\n\n"


# --- the site file


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"bootstrap": "127.0.0.1:9092,127.0.0.1:9192"}, "one broker on this machine"),
        ({"profile": "production"}, "write 'profile: development' beside 'edge'"),
        ({"edge": {"central": CENTRAL, "controller_port": 9092}}, "another 'controller_port'"),
        ({"edge": {"central": {"bootstrap": "kafka-1:9092"}}}, "not secured"),
        ({"edge": {"central": {"bootstrap": "kafka-1:9092", "insecure": True}}}, "plain text to kafka-1"),
        ({"edge": {"central": {"bootstrap": "127.0.0.1:9092", "insecure": True}}}, "names the edge's own broker"),
        ({"edge": {"central": CENTRAL, "disk_bytes": 1000}}, "disk_bytes"),
    ],
)
def test_half_an_edge_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LogConfig(**{**LOG, "edge": {"central": CENTRAL}, **keys})


def test_partitions_are_those_of_the_centre() -> None:
    """PD-18: MirrorMaker keeps the partition of each record."""
    assert edge_log()[0].partitions == 12
    assert edge_log({**CENTRAL, "profile": "development"})[0].partitions == 4


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example with the secret and the certificate that its machine would have."""
    shutil.copy(EXAMPLE / "edge.yaml", tmp_path)
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.pem").write_text("")
    SecretStore(tmp_path / "data" / "secrets", tmp_path).put("kafka-mirror-rig-alpha", "from-the-centre")
    return tmp_path / "edge.yaml"


def test_the_example_is_accepted(example: Path) -> None:
    problems = check(example)
    assert errors(problems) == [], render(problems)


def test_what_the_machine_lacks_is_told(example: Path) -> None:
    (example.parent / "certs" / "ca.pem").unlink()
    (problem,) = errors(check(example))
    assert (problem.path, "ca.pem cannot be read" in problem.message) == ("log.edge.central.security.ca", True)


def test_secrets_are_for_their_owner_only(example: Path, tmp_path: Path) -> None:
    """W-167: everything else may be read by anyone; written again, it holds the new password."""
    directory = tmp_path / "kafka"
    site = load(example)
    files = {path.name: path for path in write_files(site, directory)}
    assert set(files) == {"server.properties", "mm2.properties", "log4j2.properties", "central.jaas"}
    assert files["central.jaas"].stat().st_mode & 0o077 == files["central.jaas"].parent.stat().st_mode & 0o077 == 0
    assert "from-the-centre" in files["central.jaas"].read_text()
    assert not any("from-the-centre" in path.read_text() for name, path in files.items() if name != "central.jaas")
    site.secrets.put("kafka-mirror-rig-alpha", "another", overwrite=True)
    write_files(load(example), directory)
    assert "another" in files["central.jaas"].read_text()


def test_a_principal_without_rights_is_refused_before_anything_starts(example: Path, tmp_path: Path) -> None:
    example.write_text(example.read_text().replace("username: mirror-rig-alpha", "username: mirror-rig-beta"))
    with pytest.raises(Misconfigured, match="write 'username: mirror-rig-alpha'"):
        write_files(load(example), tmp_path / "kafka")
