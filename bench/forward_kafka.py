"""`forward.kafka`: a gateway's backlog from the edge journal to Kafka, beside a bare confluent-kafka producer of the same bytes.

The forwarder reads blocks from the journal, appends them durably (acks from all replicas, idempotent), counts them for the ledger and
stores its progress in the journal, step by step. The producer has the same records in memory and the same settings, and waits for every
delivery report. Both are connected, with a first record acknowledged, before their clock starts.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.harness import SHORT, Work, bench, stopwatch
from bench.peers import readings, topics
from bench.peers.stage import JVM, PARTITIONS, TAGS
from trunkline.config.site import LogConfig
from trunkline.gateway.forwarder import Forwarder
from trunkline.lab.kafka import Cluster
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Record
from trunkline.model.reading import Category

READINGS: Final = 200_000 if SHORT else 2_000_000
RUNS: Final = 3
GOAL: Final = 0.7
GATEWAY: Final = "g1"
BARE: Final = "bare"
#: Blocks appended to the journal in one transaction while it is filled.
_BATCH: Final = 200


def config_of(cluster: Cluster) -> LogConfig:
    """Return the site log's configuration."""
    return LogConfig(engine="kafka", bootstrap=cluster.bootstrap, partitions=PARTITIONS, profile="development", insecure=True)


def end_of(cluster: Cluster, topic: str) -> int:
    """Return how many records a topic has taken, transaction markers included."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "bench"})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, partition))[1] for partition in range(PARTITIONS)]
    consumer.close()
    return sum(ends)


def ours(cluster: Cluster, records: list[Record]) -> Work:
    """Forward a backlog."""
    config = config_of(cluster)
    layout = layout_of(config)
    topic = layout.topic(Category.TELEMETRY, "raw")
    with tempfile.TemporaryDirectory(prefix="bench-forward-") as folder:
        journal = open_edge_journal(config, Path(folder), GATEWAY)
        forwarder = Forwarder(journal, partial(open_site_log, config, Path(folder)), layout)
        journal.append(topic, records[:1])
        while forwarder.step():
            pass
        for start in range(1, len(records), _BATCH):
            journal.append(topic, records[start : start + _BATCH])
        before = end_of(cluster, topic)
        with stopwatch() as watch:
            while forwarder.step():
                pass
        forwarder.stop()
        journal.close()
        taken = end_of(cluster, topic) - before
    if forwarder.forwarded_records != len(records) or taken < len(records) - 1:
        raise RuntimeError(f"{forwarder.forwarded_records} of {len(records)} blocks were forwarded, Kafka took {taken}")
    return Work(READINGS, watch.seconds)


def bare(cluster: Cluster, records: list[Record]) -> Work:
    """Produce the same records."""
    before = end_of(cluster, BARE)
    producer = Producer(topics.PRODUCER | {"bootstrap.servers": cluster.bootstrap})
    topics.produce(producer, BARE, records[:1])
    with stopwatch() as watch:
        topics.produce(producer, BARE, records[1:])
    if (taken := end_of(cluster, BARE) - before) != len(records):
        raise RuntimeError(f"Kafka took {taken} of {len(records)} records")
    return Work(READINGS, watch.seconds)


def main() -> int:
    """Run the bench; return 1 if the goal was missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    records = list(readings.blocks(readings.make(READINGS, TAGS, PARTITIONS)))
    conditions: dict[str, Any] = {
        "readings": READINGS,
        "block": readings.BLOCK,
        "records": len(records),
        "megabytes": round(sum(len(record.value) for record in records) / 1e6, 1),
        "partitions": PARTITIONS,
        "kafka": "4.3.1, one KRaft node; acks all, idempotent, lz4",
    }
    with tempfile.TemporaryDirectory(prefix="bench-forward-") as folder, Cluster(Path(folder), jvm=JVM) as cluster:
        open_site_log(config_of(cluster), Path(folder)).close()
        topics.create(cluster.bootstrap, BARE, PARTITIONS)
        result = bench(
            "forward.kafka",
            "readings/s",
            partial(ours, cluster, records),
            peer=("confluent-kafka", partial(bare, cluster, records)),
            goal=GOAL,
            runs=RUNS,
            conditions=conditions,
        )
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
