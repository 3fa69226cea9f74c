"""Figures about the API itself and the cluster that it looks at, in the Prometheus text format."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class Metrics:
    """Counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "trunkline_api_requests", "answers by route and status", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "trunkline_api_request_seconds",
            "time to answer",
            ("route",),
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self._registry,
        )
        self.clients = Gauge("trunkline_api_live_clients", "open live connections", registry=self._registry)
        self.frames = Counter("trunkline_api_live_frames", "frames sent to live clients", registry=self._registry)
        self.values = Counter("trunkline_api_live_values", "values sent to live clients", registry=self._registry)
        self.tags = Gauge("trunkline_api_live_tags", "tags with a live value", registry=self._registry)
        self.readings = Counter("trunkline_api_live_readings", "readings taken from the site log", registry=self._registry)
        self.damaged = Counter("trunkline_api_live_damaged_records", "records of the log that could not be read", registry=self._registry)
        self.delay = Gauge("trunkline_api_live_delay_seconds", "age of the newest reading when it became visible", registry=self._registry)
        self._brokers = Gauge("trunkline_kafka_brokers", "brokers in the cluster", ("state",), registry=self._registry)
        self._partitions = Gauge("trunkline_kafka_partitions", "partitions of the site in trouble", ("state",), registry=self._registry)
        self._behind = Gauge(
            "trunkline_kafka_behind_records", "records a group has yet to read", ("group", "topic"), registry=self._registry
        )
        self._kept = Gauge("trunkline_kafka_records", "records kept", ("topic",), registry=self._registry)
        self._rate = Gauge("trunkline_kafka_records_per_second", "records appended in the last minute", ("topic",), registry=self._registry)
        self._disk = Gauge("trunkline_kafka_topic_bytes", "bytes on the brokers' disks, all copies", ("topic",), registry=self._registry)
        self._free = Gauge(
            "trunkline_kafka_disk_free_bytes", "room left on a broker's volume", ("broker", "directory"), registry=self._registry
        )
        self._size = Gauge("trunkline_kafka_disk_bytes", "size of a broker's volume", ("broker", "directory"), registry=self._registry)

    def kafka(self, seen: Mapping[str, Any]) -> None:
        """Take over a look at the cluster; what could not be asked has no figure until it can be."""
        for gauge in (self._behind, self._kept, self._rate, self._disk, self._free, self._size):
            gauge.clear()
        self._brokers.labels("up").set(len(seen["brokers"]))
        self._brokers.labels("away").set(len(seen["brokers_away"]))
        for state in ("under_replicated", "under_min_isr", "offline"):
            self._partitions.labels(state).set(len(seen[state]))
        for topic in seen["topics"]:
            self._kept.labels(topic["topic"]).set(topic["records"])
            self._rate.labels(topic["topic"]).set(topic["records_per_s"])
            if topic["disk_bytes"] is not None:
                self._disk.labels(topic["topic"]).set(topic["disk_bytes"])
        for disk in seen["disks"]:
            if disk["total_bytes"] >= 0:
                self._free.labels(str(disk["broker"]), disk["directory"]).set(disk["free_bytes"])
                self._size.labels(str(disk["broker"]), disk["directory"]).set(disk["total_bytes"])
        for one in seen["groups"]:
            self._behind.labels(one["group"], one["topic"]).set(one["behind"])

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        # a made-up method must not make a series of its own
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self._registry)
