"""Kafka Connect in standalone mode with the Debezium JDBC sink, as the trial tuned it: batches of 20,000, UNNEST, upsert, two tasks.

`tools/install peers` puts the connector into build/peers. It reaches PostgreSQL through the same Unix socket as everybody else.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from bench.peers.table import TABLE
from bench.processes import cost_of

PLUGINS: Final = Path(__file__).parents[2] / "build" / "peers" / "plugins"
VERSION: Final = "Debezium JDBC 3.6.0.Final"
TASKS: Final = 2
BATCH: Final = 20_000
_HEAP: Final = "2g"
_MAIN: Final = "org.apache.kafka.connect.cli.ConnectStandalone"
_LOGGING: Final = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class Took(NamedTuple):
    """What a run took: seconds from the start of Java, seconds from the first rows, processor seconds and peak memory of Java."""

    seconds: float
    steady_seconds: float
    cpu_s: float
    rss_mb: float


def run(conninfo: str, bootstrap: str, topic: str, java: Path, jars: Sequence[Path], folder: Path, readings: int) -> Took:
    """Let Connect copy a topic into the table until all readings are there.

    Args:
        conninfo: the database that the table is in.
        bootstrap: address of the broker.
        topic: what to copy: JSON with schema.
        java: the program.
        jars: class path with Connect's run-time.
        folder: for files of this run.
        readings: how many to wait for.

    Raises:
        RuntimeError: Connect ended, or has written nothing for a minute; the message has the end of its log.
    """
    folder.mkdir()
    (folder / "worker.properties").write_text(_worker(bootstrap, folder))
    (folder / "sink.properties").write_text(_sink(conninfo, topic, folder.name))
    (folder / "log4j2.properties").write_text(_LOGGING)
    command = [
        *(str(java), f"-Xmx{_HEAP}", "-Duser.timezone=UTC", f"-Dlog4j2.configurationFile={folder}/log4j2.properties"),
        *("-cp", ":".join(map(str, jars)), _MAIN, str(folder / "worker.properties"), str(folder / "sink.properties")),
    ]
    started = time.monotonic()
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            first, last = _watch(process, conninfo, readings)
            cost = cost_of(process.pid)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'log').read_text()[-2000:]}") from error
        finally:
            process.terminate()
            process.wait(60)
    return Took(last - started, last - first, cost.cpu_s, cost.peak / 2**20)


def _watch(process: subprocess.Popen[bytes], conninfo: str, readings: int) -> tuple[float, float]:
    """Return when the table first and last grew; see that all readings are in it."""
    first = last = 0.0
    size = 0
    begun = time.monotonic()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while True:
            now = time.monotonic()
            row = connection.execute("SELECT pg_relation_size(%s::regclass)", (TABLE,)).fetchone()
            assert row is not None
            if row[0] > size:
                size, last = row[0], now
                first = first or now
            elif size and now - last > 2.0:
                counted = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
                if counted == (readings,):
                    return first, last
            if process.poll() is not None:
                raise RuntimeError("Connect ended")
            if now - max(last, begun) > 60:
                raise RuntimeError("Connect writes nothing")
            time.sleep(0.05)


def _worker(bootstrap: str, folder: Path) -> str:
    return f"""\
bootstrap.servers={bootstrap}
plugin.path={PLUGINS}
plugin.discovery=service_load
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=10000
listeners=http://127.0.0.1:0
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=true
connector.client.config.override.policy=All
"""


def _sink(conninfo: str, topic: str, name: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    url = (
        f"jdbc:postgresql://localhost/{parts['dbname']}?socketFactory=org.newsclub.net.unix.AFUNIXSocketFactory$FactoryArg"
        f"&socketFactoryArg={parts['host']}/.s.PGSQL.{parts['port']}&sslmode=disable&reWriteBatchedInserts=true"
    )
    return f"""\
name={name}
connector.class=io.debezium.connector.jdbc.JdbcSinkConnector
topics={topic}
tasks.max={TASKS}
connection.url={url}
connection.username={parts["user"]}
connection.password=unused
collection.name.format={TABLE}
insert.mode=upsert
primary.key.mode=record_value
primary.key.fields=tag_id,ts
schema.evolution=none
batch.size={BATCH}
dialect.postgres.unnest.insert.enabled=true
consumer.override.max.poll.records={BATCH}
consumer.override.auto.offset.reset=earliest
"""
