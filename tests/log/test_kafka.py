"""Apache Kafka: the behaviour of every log."""

import pytest
from tests.log.behaviour import LogBehaviour, log
from tests.log.kafka_engine import KafkaEngine

from trunkline.lab.kafka import Cluster

__all__ = ["log"]


@pytest.fixture
def engine(kafka: Cluster, topic_prefix: str) -> KafkaEngine:
    return KafkaEngine(kafka.bootstrap, topic_prefix)


class TestKafka(LogBehaviour):
    """The suite of all engines, on a real broker."""
