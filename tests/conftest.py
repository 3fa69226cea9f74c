"""Fixtures of every test."""

from tests.lab.kafka.fixtures import kafka, topic_prefix

__all__ = ["kafka", "topic_prefix"]
