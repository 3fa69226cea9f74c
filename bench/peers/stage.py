"""What a figure runs on: a broker with the readings in its topics, the same readings as a CSV file, an embedded PostgreSQL.

Filling topics takes longer than reading them, so brokers' folders are kept under build/bench and used again while neither the load nor the
code that makes it has changed. `make clean` removes them.
"""

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from bench.harness import SHORT, stopwatch
from bench.peers import readings as making
from bench.peers import topics
from bench.peers.readings import Readings
from trunkline.historian.role import GROUP
from trunkline.historian.server import EmbeddedServer
from trunkline.lab.kafka import Cluster, Jvm
from trunkline.log.codec import columns, schemas
from trunkline.log.port import Record

TAGS: Final = 1000
PARTITIONS: Final = 6
_FORGET_SECONDS: Final = 90.0
READINGS: Final = 200_000 if SHORT else 2_000_000
KEPT: Final = Path(__file__).parents[2] / "build" / "bench" / "kafka"
#: One record a reading, as JSON: what the tutorial's consumer reads.
JSON_TOPIC: Final = "peer.json"
#: Room for compiled code and page cache as on a server of its own, not the lab's quick start.
JVM: Final = Jvm(heap_mb=1024, quick=False)

Maker = Callable[[Readings], Iterable[Record]]


class Load(NamedTuple):
    """Topics of one broker.

    Attributes:
        name: of the load; a folder is named after it.
        makers: per topic, what makes its records of the readings.
        readings: how many.
        partitions: of every topic.
        order: topic of one record a reading, whose order of delivery the CSV file has; None keeps the order of time.
    """

    name: str
    makers: dict[str, Maker]
    readings: int = READINGS
    partitions: int = PARTITIONS
    order: str | None = JSON_TOPIC


@dataclass(frozen=True, slots=True)
class Stage:
    """A broker and a PostgreSQL server that run.

    Attributes:
        readings: what is in every topic of the load.
        partitions: of every topic.
        csv: file of the same readings, in the order in which Kafka delivers them (`Load.order`).
        scratch: folder for files of a run; removed at the end.
    """

    cluster: Cluster
    server: EmbeddedServer
    readings: Readings
    partitions: int
    csv: Path
    scratch: Path

    @property
    def bootstrap(self) -> str:
        """Address of the broker."""
        return self.cluster.bootstrap


@contextmanager
def stage(load: Load) -> Iterator[Stage]:
    """Start a broker with the load in its topics, and a PostgreSQL server with nothing in it."""
    folder, readings = fill(load)
    with tempfile.TemporaryDirectory(prefix="bench-kafka-") as name:
        scratch = Path(name)
        scratch.chmod(0o711)
        with Cluster(folder / "kafka", jvm=JVM) as cluster, EmbeddedServer(scratch / "pg") as server:
            await_empty_group(cluster)
            yield Stage(cluster, server, readings, load.partitions, folder / "readings.csv", scratch)


def await_empty_group(cluster: Cluster) -> None:
    """Wait until the group has forgotten the members of the last figure: they keep their share for the session's time."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    deadline = time.monotonic() + _FORGET_SECONDS
    while time.monotonic() < deadline:
        groups = admin.list_consumer_groups().result().valid or []
        if not any(one.group_id == GROUP and one.state != ConsumerGroupState.EMPTY for one in groups):
            return
        time.sleep(0.5)
    raise RuntimeError(f"group {GROUP} has members that nobody runs")


def fill(load: Load) -> tuple[Path, Readings]:
    """Fill the topics unless that is done; return the load's folder, and its readings."""
    readings = making.make(load.readings, TAGS, load.partitions)
    folder = KEPT / f"{load.name}-{load.readings}-{_digest(load)}"
    if not folder.exists():
        _fill(folder, load, readings)
    return folder, readings


def _digest(load: Load) -> str:
    """Return a name for the code that makes a load."""
    digest = hashlib.sha256(repr((TAGS, load.partitions, sorted(load.makers))).encode())
    for module in (making, topics, columns, schemas, *(sys.modules[make.__module__] for make in load.makers.values())):
        digest.update(Path(module.__file__ or "").read_bytes())
    return digest.hexdigest()[:10]


def _fill(folder: Path, load: Load, readings: Readings) -> None:
    for stale in KEPT.glob(f"{load.name}-{load.readings}-*"):
        shutil.rmtree(stale)
    fresh = folder.with_name(f"{folder.name}.filling")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with stopwatch() as watch, Cluster(fresh / "kafka", jvm=JVM) as cluster:
        for topic, make in load.makers.items():
            topics.create(cluster.bootstrap, topic, load.partitions)
            topics.fill(cluster.bootstrap, topic, make(readings))
        order = topics.delivery_order(cluster.bootstrap, load.order, readings) if load.order else readings.time.argsort()
        making.write_csv(readings, order, fresh / "readings.csv")
    fresh.rename(folder)
    print(f"load {load.name}: {len(readings):,} readings in {len(load.makers)} topics, {watch.seconds:.0f} s", file=sys.stderr)
