"""Brokers that are away, die in a transaction or refuse: what a runtime sees, and that nothing is lost or doubled."""

import signal
import threading
from pathlib import Path

import pytest
from tests.log.behaviour import eventually, everything
from tests.log.kafka_engine import config_of

from trunkline.config.kafka import KafkaSecurity
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.lab.kafka import Cluster
from trunkline.lab.ports import free_ports
from trunkline.log.kafka.engine import KafkaLog
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import Fenced, Misconfigured, NotConnected, RetryLater


def test_a_broker_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    """Every call comes back within the configured time, and works again when the broker does."""
    (port,) = free_ports(1)
    with KafkaLog(config_of(f"127.0.0.1:{port}", timeout=1.0)) as log:
        for call in (
            log.topics,
            lambda: log.create([Topic("a")]),
            lambda: log.append("a", [Record(b"1")]),
            lambda: log.bounds("a"),
            lambda: log.committed("g"),
            lambda: log.consumer("g", ["a"], "one"),
        ):
            with pytest.raises(NotConnected, match="no broker answers"):
                call()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_bounces_in_transactions(tmp_path: Path, how: signal.Signals) -> None:
    """P-117: a step goes on as its runtime makes it: joins again after RetryLater. Everything is copied once, in order.

    A broker killed alone leaves a confirmed transaction undecided about every second time (KAFKA-20734, decision 0010).
    """
    with Cluster(tmp_path / "kafka", settings={"group.min.session.timeout.ms": "1000"}) as cluster:
        with KafkaLog(config_of(cluster.bootstrap)) as log:
            log.create([Topic("in"), Topic("out")])
            log.append("in", [Record(b"%d" % i) for i in range(600)])
        copied = threading.Event()

        def copy() -> None:
            done = 0
            while done < 600:
                try:
                    with (
                        KafkaLog(config_of(cluster.bootstrap, timeout=5.0)) as site,
                        site.consumer("copy", ["in"], "one", appends=["out"]) as member,
                    ):
                        while (done := site.committed("copy").get(TopicPartition("in", 0), 0)) < 600:
                            batch = member.poll(5, 0.2)
                            member.commit(batch.positions, with_appends={"out": [Record(one.value) for one in batch.records]})
                            if done > 50:
                                copied.set()
                except (RetryLater, Fenced):
                    continue

        step = threading.Thread(target=copy)
        step.start()
        assert copied.wait(60)
        cluster.kill(1, how)
        cluster.restart(1)
        step.join(100)
        assert not step.is_alive()
        with KafkaLog(config_of(cluster.bootstrap)) as log:
            assert [record.value for record in everything(log, "out")[0]] == [b"%d" % i for i in range(600)]


# ---------------------------------------------------------------------- refused


def secured(cluster: Cluster, user: str, password: str, ca: str, *, bootstrap: str = "") -> KafkaLog:
    security = KafkaSecurity(username=user, password=password, ca=ca)
    config = LogConfig(engine="kafka", bootstrap=bootstrap or cluster.bootstrap, security=security, timeout_seconds=5.0)
    return KafkaLog(config, SecretStore(Path("/"), Path("/")))


def test_refusals_name_principal_resource_and_mend(secured_kafka: Cluster, topic_prefix: str) -> None:
    """PD-13, ED-4: a wrong password, a strange authority, a client in plain text."""
    settings = secured_kafka.client_settings()
    ca, user, password = settings["ssl.ca.location"], settings["sasl.username"], settings["sasl.password"]
    name = f"{topic_prefix}a"
    with secured(secured_kafka, user, password, ca) as log:
        log.create([Topic(name)])
        log.append(name, [Record(b"1")])
        eventually(lambda: log.bounds(name)[TopicPartition(name, 0)] == (0, 1))
    with secured(secured_kafka, user, "wrong", ca) as log, pytest.raises(Misconfigured, match=f"User:{user}: set its password anew"):
        log.topics()
    with secured(secured_kafka, user, password, "") as log, pytest.raises(Misconfigured, match=r"unknown authority.*'log.security.ca'"):
        log.topics()
    with (
        KafkaLog(config_of(secured_kafka.bootstrap, timeout=5.0)) as log,
        pytest.raises(Misconfigured, match=r"speaks plain text: add a 'log\.security' section"),
    ):
        log.topics()
    with pytest.raises(Misconfigured, match="PEM files"):
        secured(secured_kafka, user, password, "/nosuch.pem")
