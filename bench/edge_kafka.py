"""`edge.kafka`: from a gateway to the centre by a Kafka of the edge's own and MirrorMaker 2, beside the edge journal and its forwarder.

Both write the same blocks of readings, one after the other, and wait until a consumer at the centre has each: the 99th percentile of that
time is the figure, its limit W-100's second. Told beside it: the median, the time from the start to the first block at the centre, and
the memory of the edge's broker and of MirrorMaker 2; the journal is part of every gateway's process and needs no other.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import structlog
import yaml
from confluent_kafka import Consumer, TopicPartition

from bench.harness import SHORT
from bench.limits import at_most
from bench.peers import readings
from bench.processes import MEGABYTE, cost_of
from trunkline.cli.kafka_edge_files import centre_of, write_files
from trunkline.config.loading import Site, load
from trunkline.gateway.forwarder import Forwarder
from trunkline.lab.kafka import Cluster, Edge
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Log, Record
from trunkline.model.reading import Category

BLOCKS: Final = 50 if SHORT else 200
PARTITIONS: Final = 4
LIMIT_MS: Final = 1000.0
#: The lab's brokers count as dead after a second, which is too short beside other brokers on two cores.
PATIENT: Final = {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000"}
_PATIENCE: Final = 120.0

Write = Callable[[Record], object]


class Centre:
    """A consumer of the centre's raw telemetry, from its present end on."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench", "isolation.level": "read_committed", "fetch.wait.max.ms": 10}
        )
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        ends = [self._consumer.get_watermark_offsets(place, timeout=_PATIENCE)[1] for place in places]
        self._consumer.assign([TopicPartition(topic, place.partition, end) for place, end in zip(places, ends, strict=True)])
        self._consumer.poll(1.0)

    def wait(self, record: Record) -> None:
        """Wait for this record. Raises RuntimeError when it does not come."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.05)
            if message is not None and message.error() is None and message.value() == record.value:
                return
        raise RuntimeError(f"a block did not reach the centre in {_PATIENCE:.0f} s")

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()


def site_of(folder: Path, centre: Cluster) -> Site:
    """Return an edge whose centre is a broker on this machine."""
    port, controller = lasting_ports(2)
    central = {"bootstrap": centre.bootstrap, "profile": "development", "insecure": True}
    own = {"engine": "kafka", "bootstrap": f"127.0.0.1:{port}", "profile": "development", "insecure": True, "partitions": PARTITIONS}
    file = folder / "edge.yaml"
    log = own | {"edge": {"central": central, "controller_port": controller}}
    file.write_text(yaml.safe_dump({"site": "bench", "data_dir": "data", "log": log}))
    return load(file)


def timed(centre: Centre, write: Write, blocks: Iterator[Record]) -> tuple[float, float]:
    """Write blocks one by one; return the median and the 99th percentile of the milliseconds until each is at the centre."""
    found = []
    for _ in range(BLOCKS):
        block = next(blocks)
        began = time.perf_counter()
        write(block)
        centre.wait(block)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found), statistics.quantiles(found, n=100, method="inclusive")[98]


@contextmanager
def by_mirror(site: Site) -> Iterator[tuple[Write, Edge]]:
    """Run the edge's broker and MirrorMaker 2; yields what writes a block at the edge."""
    log: Log | None = None
    topic = layout_of(site.config.log).topic(Category.TELEMETRY, "raw")
    with Edge(site.data_dir / "kafka-edge", int(site.config.log.bootstrap.rpartition(":")[2])) as edge:
        try:
            log = open_site_log(site.config.log, site.data_dir, site.secrets)
            opened = log
            yield lambda block: opened.append(topic, [block]), edge
        finally:
            if log is not None:
                log.close()


@contextmanager
def by_journal(site: Site) -> Iterator[Write]:
    """Run an edge journal and its forwarder; yields what writes a block durably."""
    config = centre_of(site).config.log
    layout = layout_of(config)
    journal = open_edge_journal(config, site.data_dir, "bench")
    forwarder = Forwarder(journal, lambda: open_site_log(config, site.data_dir), layout)
    topic = layout.topic(Category.TELEMETRY, "raw")
    forwarder.start()

    def write(block: Record) -> None:
        journal.append(topic, [block])
        forwarder.wake.set()

    try:
        yield write
    finally:
        forwarder.stop()
        journal.close()


def compare(folder: Path, centre: Cluster) -> dict[str, Any]:
    """Measure both; return the figure."""
    site = site_of(folder, centre)
    write_files(site, site.data_dir / "kafka-edge")
    open_site_log(centre_of(site).config.log, folder).close()
    sink = Centre(centre.bootstrap, layout_of(site.config.log).topic(Category.TELEMETRY, "raw"))
    blocks = (block for seed in count() for block in readings.blocks(readings.make(20_000, 1000, PARTITIONS, seed)))
    began = time.perf_counter()
    with by_journal(site) as write:
        write(first := next(blocks))
        sink.wait(first)
        journal_start = time.perf_counter() - began
        journal_p50, journal_p99 = timed(sink, write, blocks)
    began = time.perf_counter()
    with by_mirror(site) as (write, edge):
        write(first := next(blocks))
        sink.wait(first)
        start = time.perf_counter() - began
        p50, p99 = timed(sink, write, blocks)
        broker, mirror = cost_of(edge.broker.pid or 0), cost_of(edge.mirror.pid or 0)
    sink.close()
    conditions = {
        "blocks": BLOCKS,
        "p50_ms": round(p50, 1),
        "start_s": round(start, 2),
        "broker_mb": round(broker.rss / MEGABYTE),
        "mirror_mb": round(mirror.rss / MEGABYTE),
        "journal_p50_ms": round(journal_p50, 1),
        "journal_start_s": round(journal_start, 2),
        "kafka": "4.3.1, -Xmx256m for each; centre: one KRaft node on the same machine",
    }
    memory = (broker.peak + mirror.peak) / MEGABYTE
    return at_most(
        "edge.kafka",
        p99,
        "ms",
        LIMIT_MS,
        conditions=conditions | {"journal_p99_ms": round(journal_p99, 1)},
        cpu_s=broker.cpu_s + mirror.cpu_s,
        rss_mb=memory,
    )


def main() -> int:
    """Run the bench; return 1 if the limit was missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as folder, Cluster(Path(folder) / "centre", settings=PATIENT) as centre:
        return 0 if compare(Path(folder), centre)["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
