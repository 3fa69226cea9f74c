"""A whole site for the API's tests: real log, real database, real server on a free port of this machine."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn

from trunkline.api.serve import close_services, open_services, server_of
from trunkline.api.services import Services
from trunkline.config.loading import load
from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.flush import EventRecord, Flush
from trunkline.historian.writer import Writer
from trunkline.ledger.status import GatewayStatus, encode_status
from trunkline.log.codec.columns import decode
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Category, Kind, Reading
from trunkline.security.roles import Role
from trunkline.security.users import ensure_administrator

PARTITIONS = 2
ORIGIN = "edge-journal-1"
KINDS = {"COUNTER": Kind.INTEGER, "RUNNING": Kind.BOOLEAN, "MODE": Kind.TEXT}


def kind_of(tag: str) -> Kind:
    return KINDS.get(tag.rpartition(".")[2], Kind.DOUBLE)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait until something is true; under load it may take long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.02)


@dataclass
class Feeder:
    """Stands for gateway, validation and historian: puts clean records into the site log and stores them."""

    services: Services
    conninfo: str
    seq: int = 0
    covered: dict[int, int] = field(default_factory=dict)
    forms: Forms = field(default_factory=Forms)

    @property
    def layout(self) -> Layout:
        return self.services.layout

    def feed(self, readings: Sequence[Reading], *, store: bool = False) -> None:
        """Append readings to the clean topic; with `store` also write everything of the log into the historian."""
        slots = [(TagSlot.of(one.tag, "plc", kind_of(one.tag), PARTITIONS), one) for one in readings]
        records, self.seq = write_blocks(ORIGIN, self.seq, self.covered, slots)
        for record in records:
            assert record.partition is not None
            self.covered[record.partition] = self.seq
        topic = self.layout.topic(Category.TELEMETRY, "clean")
        blocks = [StoredRecord(topic, one.partition or 0, 0, times.now(), one.key, one.value, one.headers) for one in records]
        self.services.log.append(topic, [record for several in self.forms.telemetry(blocks) for record in several])
        if store:
            self.store()

    def status(self, status: GatewayStatus) -> None:
        self.services.log.append(self.layout.gateway_status, [Record(encode_status(status), status.gateway.encode())])

    def store(
        self, events: Sequence[Event] = (), statuses: Sequence[GatewayStatus] = (), infos: dict[str, SeriesInfo] | None = None
    ) -> None:
        """Write what the log has beyond the historian's positions, as the historian's role does."""
        topic = self.layout.topic(Category.TELEMETRY, "clean")
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        with Writer(self.conninfo, infos) as writer:
            positions = writer.take_over(places)
            records = [record for place in places for record in self.services.log.read(place, positions[place], 10_000)]
            ends = {place: positions[place] for place in places}
            for record in records:
                ends[TopicPartition(record.topic, record.partition)] = record.offset + 1
            origins = [TopicPartition(record.topic, record.partition) for record in records]
            event_place = TopicPartition(self.layout.topic(Category.EVENT, "clean"), 0)
            told = [EventRecord(event, None, event_place, Category.EVENT) for event in events]
            writer.write(Flush(decode(records), origins, ends, events=told, statuses=list(statuses)))


@dataclass
class Plant:
    """A running site.

    Attributes:
        url: of the server.
        password: of the user 'admin'.
        token: an API token of a viewer.
    """

    services: Services
    feeder: Feeder
    url: str
    password: str
    token: str

    def client(self, *, token: bool = True) -> httpx.Client:
        """Return a client, which sends the API token unless told otherwise."""
        headers = {"Authorization": f"Bearer {self.token}"} if token else {}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)


def site_file(folder: Path, extra: str = "") -> Path:
    path = folder / "site.yaml"
    path.write_text(f"site: plant-1\ntitle: Test plant\ntimezone: Europe/Oslo\nlog: {{partitions: {PARTITIONS}}}\n{extra}", "utf-8")
    return path


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """Run a server in a thread and yield its address."""
    thread = threading.Thread(target=server.run, name="api-under-test")
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive(), "the server listens")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def plant_at(folder: Path, conninfo: str, *, static_dir: Path | None = None, extra: str = "") -> Iterator[Plant]:
    """Run a site whose data are below `folder`."""
    site = load(site_file(folder, extra))
    password = ensure_administrator(site.data_dir)
    assert password is not None
    services = open_services(site, conninfo)
    try:
        token = services.door.create_token("tests", Role.VIEWER)
        server = server_of(services, host="127.0.0.1", port=0, static_dir=static_dir or folder / "static")
        with running(server) as url:
            yield Plant(services, Feeder(services, conninfo), url, password, token)
    finally:
        close_services(services)
