r"""`path.kafka.*`: readings from Kafka to stored history, exactly once, beside what users would take instead (bench/peers/README.md).

Every run starts with the start of a process and ends with the commit of the last reading. The historian stores into a new database and
keeps latest values, coverage, ledger and positions in the same transactions. Ours and the peer take turns; a checkpoint comes before each
run; what each side stored last is compared with the readings one by one. One broker, one PostgreSQL and all clients share the machine.

    python -m bench.path_kafka [--runs N]      # ONLY=path.kafka.blocks for one figure, SHORT=1 for 200,000 readings
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from bench.harness import SHORT, Work, bench, wanted
from bench.peers import connect, ours, psql, readings, table, topics, tutorial
from bench.peers.stage import JSON_TOPIC, PARTITIONS, TAGS, Load, Stage, fill, stage
from bench.peers.timing import Spent
from trunkline.lab.kafka import Jars

RUNS: Final = 3
CONNECT_TOPIC: Final = "peer.connect"

BLOCKS: Final = Load(
    "blocks",
    {
        "telemetry.clean": readings.blocks,
        JSON_TOPIC: topics.plain_json,
        CONNECT_TOPIC: topics.connect_json,
    },
)


class Figure(NamedTuple):
    """One figure.

    Attributes:
        load: topics that it needs.
        members: processes of the historian.
        peer: name of the peer, and its run.
        goal: least ratio.
        form: of the records that the historian reads.
    """

    load: Load
    members: int
    peer: tuple[str, Callable[[Stage], Work]]
    goal: float
    form: str


def historian(on: Stage, members: int) -> Work:
    """One run of the historian."""
    took = ours.run(on.server, on.bootstrap, len(on.readings), members=members, partitions=PARTITIONS)
    facts = {"seconds": took.seconds, "steady_rate": took.steady / took.steady_seconds if took.steady else 0.0}
    facts |= {"server_cpu_s": took.server_cpu_s, "flushes": took.flushes}
    return Work(len(on.readings), took.seconds, took.cpu_s, took.rss_mb, facts)


def copy(on: Stage) -> Work:
    """One run of psql."""
    conninfo = table.fresh(on.server)
    server_cpu = table.processor_seconds(on.server)
    return _rows(on, conninfo, psql.run(on.server, conninfo, on.csv), server_cpu)


def debezium(on: Stage) -> Work:
    """One run of Kafka Connect with the Debezium JDBC sink."""
    conninfo = table.fresh(on.server)
    server_cpu, jars = table.processor_seconds(on.server), Jars.find()
    name = f"connect-{time.monotonic_ns()}"  # also names the consumer group: a new one starts at the beginning
    took = connect.run(conninfo, on.bootstrap, CONNECT_TOPIC, jars.java, jars.libs, on.scratch / name, len(on.readings))
    facts = {"seconds": took.seconds, "steady_rate": len(on.readings) / took.steady_seconds}
    facts["server_cpu_s"] = table.processor_seconds(on.server) - server_cpu
    return Work(len(on.readings), took.seconds, took.cpu_s, took.rss_mb, facts)


def script(on: Stage) -> Work:
    """One run of the tutorial's consumer."""
    conninfo = table.fresh(on.server)
    server_cpu = table.processor_seconds(on.server)
    return _rows(on, conninfo, tutorial.run(on.bootstrap, JSON_TOPIC, conninfo, len(on.readings)), server_cpu)


def _rows(on: Stage, conninfo: str, spent: Spent, server_cpu: float) -> Work:
    facts = {"seconds": spent.seconds, "server_cpu_s": table.processor_seconds(on.server) - server_cpu}
    table.expect(conninfo, len(on.readings))
    return Work(len(on.readings), spent.seconds, spent.cpu_s, spent.rss_mb, facts)


FIGURES: Final[dict[str, Figure]] = {
    "path.kafka.blocks": Figure(BLOCKS, 1, ("psql-copy", copy), 2.5, f"blocks of {readings.BLOCK} readings"),
    "path.kafka.blocks2": Figure(BLOCKS, 2, ("psql-copy", copy), 2.5, f"blocks of {readings.BLOCK} readings"),
    "path.kafka.debezium": Figure(BLOCKS, 1, ("debezium-jdbc", debezium), 12.0, f"blocks of {readings.BLOCK} readings"),
    "path.kafka.tutorial": Figure(BLOCKS, 1, ("tutorial", script), 20.0, f"blocks of {readings.BLOCK} readings"),
}


def conditions(figure: Figure) -> dict[str, Any]:
    """Return the facts that a figure depends on."""
    return {
        "readings": figure.load.readings,
        "tags": TAGS,
        "partitions": figure.load.partitions,
        "form": figure.form,
        "processes": figure.members,
        "times": "one a second and tag, jittered by up to 49 ms",
        "decimals": 3,
        "peer_table": "(tag_id int, ts timestamptz, value float8, quality int2, primary key (tag_id, ts))",
        "peer_order": "as Kafka delivers",
        "kafka": "4.3.1, one KRaft node, lz4",
    }


def measure(name: str, figure: Figure, runs: int) -> bool:
    """Run one figure, compare what both sides stored last with the readings; return whether the goal was met."""
    with stage(figure.load) as on:
        peer, run = figure.peer
        result = bench(
            name,
            "readings/s",
            partial(historian, on, figure.members),
            peer=(peer, partial(run, on)),
            goal=figure.goal,
            runs=runs,
            conditions=conditions(figure),
        )
        ours.compare(on.server, on.csv, on.readings.tags)
        table.compare(on.server.conninfo_of(table.DATABASE), on.csv)
    return bool(result["passed"])


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=int, default=1 if SHORT else RUNS, help="pairs of runs of each figure; one more goes first, not counted"
    )
    parser.add_argument("--fill", action="store_true", help="only fill the topics, for later runs")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    passed = True
    for name, figure in FIGURES.items():
        if wanted(name) and arguments.fill:
            fill(figure.load)
        elif wanted(name):
            passed &= measure(name, figure, arguments.runs)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
