"""Brokers that the whole test session shares; `tests/conftest.py` makes the fixtures known to every test.

    kafka           one broker, plaintext, on loopback: a running `trunkline.lab.kafka.Cluster`
    secured_kafka   three brokers with TLS, SCRAM-SHA-512 and rights denied by default: likewise
    topic_prefix    what the names of a test's topics, groups and transactional ids begin with, so that tests do not meet

They start when the first test asks. A test that stops, kills or pauses brokers makes a `Cluster` of its own.
"""

import secrets
from collections.abc import Iterator
from typing import Final

import pytest

from trunkline.cli.kafka_cluster import secure
from trunkline.lab.kafka import Cluster

# members that died are noticed, and segments past their retention go, within what a test can wait for
IMPATIENT: Final = {
    "group.min.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "3000",
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "500",
}


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker, plaintext."""
    with Cluster(tmp_path_factory.mktemp("kafka"), settings=IMPATIENT) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, secured; `client_settings()` is the administrator's, other users are made by him."""
    directory = tmp_path_factory.mktemp("secured-kafka")
    cluster = Cluster(directory, 3, secure(directory, 3), settings=IMPATIENT)
    cluster.start()
    yield cluster
    for broker in cluster.brokers:  # in order it takes six seconds, and nobody wants what they have
        broker.kill()


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test has."""
    return f"t{secrets.token_hex(4)}."
