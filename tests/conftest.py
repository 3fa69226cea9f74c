"""Fixtures of every test."""

from tests.lab.kafka.fixtures import kafka, secured_kafka, topic_prefix

__all__ = ["kafka", "secured_kafka", "topic_prefix"]
