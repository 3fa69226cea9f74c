"""An edge with a Kafka of its own: a real broker, a real MirrorMaker 2 and a secured centre, with the cable between them pulled."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from tests.cli.support import trunkline
from tests.log.edge_link import LAYOUT, PASSWORD, SITE, Link, centre_behind_a_link, edge_site

from trunkline.cli.kafka_edge_files import centre_of, write_files
from trunkline.cli.kafka_login import browsing
from trunkline.config.kafka import addresses
from trunkline.config.loading import Site
from trunkline.lab.kafka import Cluster, Edge
from trunkline.log.kafka.plan import wanted_topics
from trunkline.log.kafka.progress import MirrorBooks, waiting
from trunkline.log.opening import open_site_log
from trunkline.log.port import Log, Record, TopicPartition

TOPIC: Final = "telemetry.raw"
SECONDS: Final = 120.0
PARTITIONS: Final = 2
LARGE: Final = 2_000_000


class Sent(NamedTuple):
    """What a record is beside its place in time."""

    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Setting(NamedTuple):
    """Edge and centre while they run."""

    site: Site
    edge: Edge
    log: Log
    centre: Cluster
    link: Link
    arrivals: "Arrivals"
    every: set[Sent]


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    root = tmp_path_factory.mktemp("edge")
    with centre_behind_a_link(root / "centre") as (centre, link):
        site = edge_site(root / "edge", centre, link)
        directory = root / "edge" / "kafka"
        write_files(site, directory)
        ((_, port),) = addresses(site.config.log.bootstrap)
        edge = Edge(directory, port)
        try:
            edge.start()
            log = open_site_log(site.config.log, site.data_dir, site.secrets)
            arrivals = Arrivals(centre, TOPIC)
            yield Setting(site, edge, log, centre, link, arrivals, set())
            arrivals.close()
            log.close()
        finally:  # in order it takes five seconds, and nobody wants what they have
            edge.mirror.kill()
            edge.broker.kill()


class Arrivals:
    """Everything that a topic of the centre has, as it comes."""

    def __init__(self, centre: Cluster, topic: str) -> None:
        self._consumer = Consumer({**centre.client_settings(), "group.id": "test", "isolation.level": "read_committed"})
        self._consumer.assign([At(topic, partition, 0) for partition in range(PARTITIONS)])
        self.found: list[Sent] = []

    def look(self, seconds: float = 0.2) -> set[Sent]:
        """Take what has come meanwhile; return everything that has come."""
        for message in self._consumer.consume(1000, seconds):
            assert message.error() is None, message.error()
            self.found.append(_sent(message))
        return set(self.found)

    def wait(self, every: set[Sent]) -> None:
        """Look until every record has come at least once, and nothing else."""
        until(lambda: every <= self.look(), lambda: f"{len(every - set(self.found))} of {len(every)} did not come")
        assert set(self.found) == every

    def close(self) -> None:
        self._consumer.close()

    @property
    def repeats(self) -> int:
        """How many came more than once."""
        return sum(Counter(self.found).values()) - len(set(self.found))


def _sent(message: Message) -> Sent:
    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
    return Sent(message.partition() or 0, message.key(), message.value() or b"", tuple(headers))


def until(seen: Callable[[], object], what: Callable[[], str]) -> None:
    """Look until something is so."""
    deadline = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def send(setting: Setting, numbers: Sequence[int]) -> None:
    """Append numbered records, one a partition in turn; some are larger than clients take by default."""
    made = [
        Sent(one % PARTITIONS, b"key-%d" % (one % 7), b"%d " % one + bytes(LARGE if one % 97 == 5 else 0), (("number", b"%d" % one),))
        for one in numbers
    ]
    setting.log.append(TOPIC, [Record(one.value, one.key, one.headers, partition=one.partition) for one in made])
    setting.every.update(made)


def numbers_of(found: Sequence[Sent], partition: int) -> list[int]:
    """Return the numbers of a partition's records in the order in which each came first."""
    return list(dict.fromkeys(int(one.value.split()[0]) for one in found if one.partition == partition))


def assert_in_order(found: Sequence[Sent]) -> None:
    for partition in range(PARTITIONS):
        numbers = numbers_of(found, partition)
        assert numbers == sorted(numbers)


def test_what_waited_for_the_link_follows_by_itself(setting: Setting) -> None:
    """W-96, W-98, W-99, W-100, D-20: names, keys, partitions and headers are the same; each partition is in order, and nothing waits."""
    send(setting, range(100))
    setting.arrivals.wait(setting.every)
    setting.link.cut()
    for start in range(100, 400, 50):
        send(setting, range(start, start + 50))
    assert len(setting.arrivals.look(1.0)) == 100
    setting.link.mend()
    setting.arrivals.wait(setting.every)
    assert_in_order(setting.arrivals.found)
    assert setting.arrivals.repeats == 0
    with browsing(centre_of(setting.site)) as centre:
        books = MirrorBooks(centre, SITE)
        until(lambda: waiting(setting.log, [TOPIC], books.positions()) == {TOPIC: 0}, lambda: str(books.positions()))
        until(lambda: {part.state for part in books.parts()} == {"RUNNING"}, lambda: str(books.parts()))


def test_a_mirror_that_was_killed_goes_on_where_its_books_are(setting: Setting) -> None:
    """W-100: records and positions are one transaction at the centre: nothing is lost, nothing comes twice."""
    send(setting, range(1000, 1050))
    setting.arrivals.wait(setting.every)
    setting.edge.mirror.kill()
    send(setting, range(1050, 1100))
    setting.edge.mirror.spawn()
    setting.arrivals.wait(setting.every)
    assert_in_order(setting.arrivals.found)
    assert setting.arrivals.repeats == 0


def test_status_tells_that_all_is_well(setting: Setting) -> None:
    """W-100: nothing waits, and every part of MirrorMaker 2 runs."""
    words = ("kafka", "edge", "status", setting.site.file, "--dir", setting.edge.directory, "--json")
    until(lambda: trunkline(*words).code == 0, lambda: trunkline(*words).text)
    *topics, whole = trunkline(*words).documents
    assert {"topic": TOPIC, "waiting": 0} in topics
    assert (whole["broker"], whole["mirror"], whole["waiting"]) == (setting.edge.broker.pid, setting.edge.mirror.pid, 0)


def test_what_the_historian_stored_is_told_at_the_edge(setting: Setting) -> None:
    """P-67, PD-10: confirmations come back, so that the edge journal lets go what the centre has, and only that."""
    at = TopicPartition(LAYOUT.confirmations, 0)
    producer = Producer({**setting.centre.client_settings(), "acks": "all"})
    producer.produce(at.topic, b"stored", b"origin")
    assert producer.flush(SECONDS) == 0
    until(lambda: setting.log.read(at, 0), lambda: "no confirmation came")
    (record,) = setting.log.read(at, 0)
    assert (record.key, record.value) == (b"origin", b"stored")


def test_the_centre_keeps_its_settings_and_learns_no_secret(setting: Setting) -> None:
    """D-20: retention at the centre is the centre's; MirrorMaker's own settings are in a topic there, without the password."""
    client = AdminClient({**setting.centre.client_settings()})
    wanted = {topic.name: topic for topic in wanted_topics(LAYOUT, "development")}
    (asked,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, TOPIC)]).values()
    found = {name: str(entry.value) for name, entry in asked.result(SECONDS).items()}
    assert wanted[TOPIC].settings.items() <= found.items()
    ours = {name for name in client.list_topics(timeout=SECONDS).topics if not name.startswith("__")} - wanted.keys()
    alias = f"edge-{SITE}"
    assert ours == {
        *(f"mm2-{book}.{alias}.internal" for book in ("configs", "offsets", "status", "offset-syncs")),
        f"{alias}.checkpoints.internal",
    }
    consumer = Consumer({**setting.centre.client_settings(), "group.id": "test", "enable.partition.eof": True})
    consumer.assign([At(f"mm2-configs.{alias}.internal", 0, 0)])
    said = b""
    while (message := consumer.poll(SECONDS)) and message.error() is None:
        said += message.value() or b""
    consumer.close()
    assert b"central.jaas" in said
    assert PASSWORD.encode() not in said
    assert b"password" not in said.replace(b"ssl.key.password", b"")
