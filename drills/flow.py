"""Known readings through validation and historians on a real broker: what the drills of members and of poison run on.

One broker, PostgreSQL and the roles as `trunkline up` runs them, without gateways: the drill itself writes the raw topic, so that it knows
every reading that was acknowledged, whatever the broker says later.
"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Final

import psycopg
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench.peers import readings as making
from drills.stage import Stage, say
from trunkline.config.loading import Site, load
from trunkline.historian.account import HISTORIAN_GROUP, VALIDATE_GROUP
from trunkline.historian.reader import Reader
from trunkline.lab.kafka import Cluster
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, encode_status
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.kafka.errors import answer
from trunkline.log.opening import layout_of
from trunkline.log.port import Positions, Record
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.reading import Category
from trunkline.supervisor.process import RoleProcess
from trunkline.supervisor.supervisor import role_commands
from trunkline.supervisor.wiring import conninfo, embedded_server, site_log

PARTITIONS: Final = 10
GATEWAY: Final = "drill"
#: A member that is silent for so long gives its share to the others.
SESSION_SECONDS: Final = 6
#: Short, so that every second has its transactions to disturb.
_FLUSH_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.5
_TURN_SECONDS: Final = 0.1
_SECTIONS: Final = {"historian": "historian", "worker": "validation"}
_GROUPS: Final = {"historian": HISTORIAN_GROUP, "worker": VALIDATE_GROUP}


#: What runs a role: from its name and the command of `trunkline up`.
Command = Callable[[str, list[str]], list[str]]


class Writer(threading.Thread):
    """Appends records to a topic at a pace until it is told to end or has no more.

    Attributes:
        written: records that were acknowledged, in order.
        failed: what ended it, if anything did.
    """

    def __init__(self, site: Site, topic: str, records: Iterator[Record], records_per_second: float) -> None:
        super().__init__(name="drill-writer", daemon=True)
        self._site = site
        self._topic = topic
        self._records = records
        self._turn = max(1, round(records_per_second * _TURN_SECONDS))
        self._enough = threading.Event()
        self.written: list[Record] = []
        self.failed: Exception | None = None

    def run(self) -> None:
        """Write."""
        due = time.monotonic()
        try:
            with site_log(self._site) as log:
                while some := list(islice(self._records, self._turn)):
                    log.append(self._topic, some, atomic=False)
                    self.written += some
                    due = max(due + _TURN_SECONDS, time.monotonic() - 1.0)
                    if self._enough.wait(max(0.0, due - time.monotonic())):
                        return
        except Exception as error:  # noqa: BLE001 - the drill tells what it was
            self.failed = error

    def finish(self) -> list[Record]:
        """End, and return what was acknowledged. Raises what went wrong."""
        self._enough.set()
        self.join()
        if self.failed is not None:
            raise self.failed
        return self.written


class Flow:
    """A site whose roles are supervised by the drill.

    Args:
        folder: of the drill's files.
        bootstrap: address of the broker.
        tags: of the readings that the drill will write.
        command: what runs each role.

    Attributes:
        plant: the supervised roles.
    """

    def __init__(self, folder: Path, bootstrap: str, tags: Sequence[str], command: Command) -> None:
        self.folder = folder
        self._tags = tags
        self._bootstrap = bootstrap
        self._command = command
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._members = {"historian": 1, "worker": 1}
        self.plant = Stage(self._site())
        roles = self.plant.supervisor.roles
        for name in ("api", f"gateway:{GATEWAY}"):
            del roles[name]
        for name, role in roles.items():
            role.command = command(name, role.command)

    @property
    def site(self) -> Site:
        """The site as it was at first."""
        return self.plant.site

    def _site(self) -> Site:
        """Write the site file with the present numbers of members, and load it."""
        log = {"engine": "kafka", "bootstrap": self._bootstrap, "profile": "development", "insecure": True, "partitions": PARTITIONS}
        log |= {"session_seconds": SESSION_SECONDS, "retention_hours": 1_000_000}
        sections: dict[str, dict[str, float]] = {_SECTIONS[role]: {"members": count} for role, count in self._members.items()}
        sections["historian"]["flush_seconds"] = _FLUSH_SECONDS
        source = {"id": making.SOURCE, "type": "simulated", "tags": [{"path": tag} for tag in self._tags]}
        whole = {"site": "drill", "log": log, "gateways": [{"id": GATEWAY, "sources": [source]}], **sections}
        file = self.folder / "site.yaml"
        file.write_text(yaml.safe_dump(whole))
        return load(file)

    def scale(self, role: str, members: int) -> None:
        """Have so many members of a role, as the site file would: start what is missing, stop what is too many."""
        self._members[role] = members
        commands = {name: command for name, command in role_commands(self._site()).items() if name.partition(":")[0] == role}
        supervisor = self.plant.supervisor
        surplus = [name for name in supervisor.roles if name.partition(":")[0] == role and name not in commands]
        supervisor.stop(surplus)
        for name in surplus:
            del supervisor.roles[name]
        for name, command in commands.items():
            if name not in supervisor.roles:
                file = self.site.data_dir / "logs" / f"{name.replace(':', '-')}.log"
                supervisor.roles[name] = RoleProcess(name, self._command(name, command), file)
        say(f"{role}: {members} members")

    def shares(self, role: str) -> dict[str, int]:
        """Return how many partitions of the telemetry topic each member with any holds; empty while the group is being dealt anew."""
        layout = layout_of(self.site.config.log)
        topic = layout.topic(Category.TELEMETRY, "clean" if role == "historian" else "raw")
        try:
            group = answer(self._admin.describe_consumer_groups([_GROUPS[role]])[_GROUPS[role]])
        except KafkaException:  # nobody has joined yet
            return {}
        dealt = Counter(one.group_instance_id for one in group.members for at in one.assignment.topic_partitions if at.topic == topic)
        return dict(dealt) if dealt.total() == PARTITIONS else {}

    def wait_for_shares(self, role: str, members: int, seconds: float = 120.0) -> dict[str, int]:
        """Return the shares once so many members have one. Raises RuntimeError."""
        self.require(lambda: len(self.shares(role)) == members, f"{members} members of {role} share the partitions", seconds)
        return self.shares(role)

    def require(self, condition: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
        """Tend the roles until something holds. Raises RuntimeError when it does not in time."""
        if not self.plant.tend(seconds, condition, _LOOK_SECONDS):
            raise RuntimeError(f"not within {seconds:g} s: {what}; see {self.site.data_dir / 'logs'}")

    def pids(self, role: str) -> list[int]:
        """Return the processes of a role's members."""
        roles = self.plant.supervisor.roles
        return [one.pid for name, one in roles.items() if name.partition(":")[0] == role and one.pid is not None]

    def settled(self) -> bool:
        """Return whether validation and the historians have read everything."""
        layout = layout_of(self.site.config.log)
        try:
            with site_log(self.site) as log:
                judged = log.committed(VALIDATE_GROUP)
                stored = positions(conninfo(self.site))
                ends = {at: end for topic in layout.categories("raw") for at, (_, end) in log.bounds(topic).items()}
                if any(judged.get(at, 0) < end for at, end in ends.items()):
                    return False
                topics = (*layout.categories("clean"), layout.gateway_status)
                return all(stored.get(at, 0) >= end for topic in topics for at, (_, end) in log.bounds(topic).items())
        except (RetryLater, Misconfigured, psycopg.Error):
            return False

    def tell_ledger(self, written: Sequence[Record]) -> None:
        """Report what was read and forwarded, as a gateway would, so that the ledger can be balanced."""
        told: dict[tuple[str, int], int] = {}
        origin = ""
        for record in written:
            if (header := dict(record.headers).get(HEADER)) is not None:
                head = decode_head(header)
                origin = head.origin
                for tally in head.tallies:
                    told[tally.source, tally.hour] = told.get((tally.source, tally.hour), 0) + tally.readings
        counts = [EdgeCount(source, "telemetry", hour, count, count, 0) for (source, hour), count in sorted(told.items())]
        now = times.now()
        report = GatewayStatus(GATEWAY, origin, now, "0", [], BufferStatus(0, 0, None, 1), LinkStatus("up", now, None), counts)
        with site_log(self.site) as log:
            log.append(layout_of(self.site.config.log).gateway_status, [Record(encode_status(report), GATEWAY.encode())])

    def second_history(self) -> Site:
        """Return a site that reads the same log into a database of its own, for comparison."""
        server = embedded_server(self.site)
        with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE single")
        whole = yaml.safe_load(self.site.file.read_text())
        whole |= {"data_dir": "single", "historian": {"dsn": server.conninfo_of("single")}}
        file = self.folder / "single.yaml"
        file.write_text(yaml.safe_dump(whole))
        return load(file)


def positions(database: str) -> Positions:
    """Return the positions that a historian's database holds."""
    with Reader(database) as reader:
        return reader.ledger_snapshot(recount=False).positions


@contextmanager
def flow(name: str, keep: str | None, tags: Sequence[str], command: Command = lambda _, command: command) -> Iterator[Flow]:
    """Start a broker, yield a site whose roles start with the first `tend`, and take all down."""
    with (
        nullcontext(f"{keep}-{name}") if keep else tempfile.TemporaryDirectory(prefix="trunkline-drill-") as directory,
        Cluster(Path(directory) / "kafka") as cluster,
    ):
        Path(directory).chmod(0o711)
        one = Flow(Path(directory), cluster.bootstrap, tags, command)
        try:
            yield one
        finally:
            one.plant.supervisor.stop()
            one.plant.supervisor.close()
