"""Three secured brokers: who is not known, or not allowed, gets nothing; losing one broker loses nothing."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from tests.lab.kafka.records import SECONDS, consume, create_topic, produce

from trunkline.cli.kafka_cluster import secure
from trunkline.lab.kafka import Cluster, ClusterSecurity, Jars, Scram, write_client_settings
from trunkline.model.errors import Misconfigured


def hears(settings: Mapping[str, str], code: int) -> bool:
    """Return whether a client with these settings is told `code`, and nothing else of the cluster, before long."""
    heard: list[KafkaError] = []
    client = AdminClient({**settings, "error_cb": cast("Any", heard.append), "log_level": "0"})
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and code not in {error.code() for error in heard}:
        with pytest.raises(KafkaException):
            client.list_topics(timeout=0.2)
        client.poll(0)
    return code in {error.code() for error in heard}


def test_strangers_stay_outside(secured_kafka: Cluster) -> None:
    """P-94, PD-12: plaintext, no certificate authority, a wrong password, and a mechanism that is not allowed."""
    right = secured_kafka.client_settings()
    assert hears({"bootstrap.servers": secured_kafka.bootstrap}, KafkaError._ALL_BROKERS_DOWN)
    assert hears({key: value for key, value in right.items() if key != "ssl.ca.location"}, KafkaError._SSL)
    assert hears({**right, "sasl.password": "wrong"}, KafkaError._AUTHENTICATION)
    assert hears({**right, "sasl.mechanism": "PLAIN"}, KafkaError._AUTHENTICATION)


def test_a_known_user_may_do_nothing_that_was_not_granted(secured_kafka: Cluster, topic_prefix: str) -> None:
    """PD-13: denied unless an access list allows it."""
    topic, user = f"{topic_prefix}closed", Scram(f"{topic_prefix}user", "its-password")
    create_topic(secured_kafka, topic, replicas=3)
    admin = AdminClient({**secured_kafka.client_settings()})
    credential = UserScramCredentialUpsertion(
        user.username, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), user.password.encode()
    )
    admin.alter_user_scram_credentials([credential])[user.username].result(SECONDS)
    answers: list[int] = []
    producer = Producer({**secured_kafka.client_settings(user), "message.timeout.ms": "30000"})
    producer.produce(topic, b"x", on_delivery=lambda error, _: answers.append(error.code() if error else 0))
    producer.flush(SECONDS)
    assert answers == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def test_an_independent_client_reads_and_writes(secured_kafka: Cluster, topic_prefix: str, tmp_path: Path) -> None:
    """E-69: the console tools that Kafka brings, over TLS and SCRAM."""
    topic, jars = f"{topic_prefix}java", Jars.find()
    create_topic(secured_kafka, topic, replicas=3)
    settings = write_client_settings(tmp_path / "client.properties", secured_kafka)
    common: list[str | Path] = ["--bootstrap-server", secured_kafka.bootstrap, "--topic", topic, "--command-config", settings]
    flags = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    produced = jars.command("org.apache.kafka.tools.ConsoleProducer", common, flags)
    subprocess.run(produced, input="from Java\n", text=True, timeout=100, check=True, capture_output=True)
    assert consume(secured_kafka, topic, 1) == [b"from Java"]
    consumed = jars.command("org.apache.kafka.tools.consumer.ConsoleConsumer", [*common, "--from-beginning", "--max-messages", "1"], flags)
    said = subprocess.run(consumed, text=True, timeout=100, check=True, capture_output=True)
    assert said.stdout == "from Java\n"


def test_one_broker_lost_is_full_service(secured_kafka: Cluster, topic_prefix: str) -> None:
    """PD-20: three replicas, two of them in sync: writes go on without one broker, and it comes back by itself."""
    topic = f"{topic_prefix}kept"
    create_topic(secured_kafka, topic, partitions=3, replicas=3)
    produce(secured_kafka, topic, [b"1", b"2"])
    secured_kafka.kill(1)
    try:
        produce(secured_kafka, topic, [b"3", b"4"])
    finally:
        secured_kafka.restart(1)
    assert sorted(consume(secured_kafka, topic, 4)) == [b"1", b"2", b"3", b"4"]


def test_what_cannot_be_secured_is_refused(tmp_path: Path) -> None:
    security = secure(tmp_path, 1)
    with pytest.raises(Misconfigured, match="3 nodes need as many certificates; there are 1"):
        Cluster(tmp_path, 3, security)
    strange = ClusterSecurity(security.ca, security.nodes, security.inter_broker, Scram("admin", "a,b]"))
    with pytest.raises(Misconfigured, match="user 'admin': names and passwords") as told, Cluster(tmp_path, 1, strange):
        pass
    assert "a,b]" not in str(told.value)
