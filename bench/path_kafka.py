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
from bench.limits import at_most
from bench.peers import connect, forms, ours, psql, readings, table, topics, tutorial
from bench.peers.stage import JSON_TOPIC, READINGS, TAGS, Load, Stage, fill, stage
from bench.peers.timing import Spent
from trunkline.lab.kafka import Jars

RUNS: Final = 3
CONNECT_TOPIC: Final = "peer.connect"
#: Readings beside a fast peer: so many that the start of Python and joining the group, a second, are no large part of a run.
LONG: Final = 2 * READINGS

BLOCKS: Final = Load("blocks", {"telemetry.clean": readings.blocks, JSON_TOPIC: topics.plain_json}, LONG)
#: Beside a peer whose own start takes seconds.
CONNECT: Final = Load("connect", {"telemetry.clean": readings.blocks, CONNECT_TOPIC: topics.connect_json}, LONG, order=None)
#: Beside a peer that takes a minute for them.
SCRIPT: Final = Load("script", {"telemetry.clean": readings.blocks, JSON_TOPIC: topics.plain_json}, READINGS)
SINGLES: Final = Load("singles", {"telemetry.clean": forms.singles}, LONG, order="telemetry.clean")
POISONED: Final = Load("poisoned", {"telemetry.clean": forms.poisoned_singles}, LONG, order=None)
ENVELOPES: Final = Load("envelopes", {"scada.l3.telemetry.other": forms.envelopes}, READINGS // 4, order="scada.l3.telemetry.other")
WIDE: Final = Load("wide", {"telemetry.clean": readings.blocks}, READINGS, 200, order=None)
POISON: Final = "path.kafka.poison"
MEMORY: Final = "path.kafka.memory"
#: Singles take a second or more to fill a flush.
SINGLE_SECONDS: Final = 1.0
SLOW: Final = ("debezium-jdbc", "tutorial")
AVRO: Final = "single Avro records, identity by offset"
MEMORY_LIMIT_MB: Final = 500.0
#: P-115: readings a second that one consumer has to manage.
REQUIRED: Final = 300.0


class Figure(NamedTuple):
    """One figure.

    Attributes:
        load: topics that it needs.
        members: processes of the historian.
        peer: name of the peer, and its run.
        goal: least ratio.
        form: of the records that the historian reads.
        layout: naming of the topics.
        flush_seconds: the historian's setting of that name.
        rows: the historian keeps narrow rows as well, and those are compared.
    """

    load: Load
    members: int
    peer: tuple[str, Callable[[Stage], Work]] | None
    goal: float
    form: str
    layout: str = "gateway"
    flush_seconds: float = ours.TAIL_SECONDS
    rows: bool = False


def historian(
    on: Stage, members: int = 1, layout: str = "gateway", flush_seconds: float = ours.TAIL_SECONDS, *, rows: bool = False
) -> Work:
    """One run of the historian."""
    way = ours.Way(members, layout, on.partitions, flush_seconds, rows)
    took = ours.run(on.server, on.bootstrap, len(on.readings), way)
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
    "path.kafka.single": Figure(SINGLES, 1, ("psql-copy", copy), 1.2, AVRO, flush_seconds=SINGLE_SECONDS),
    "path.kafka.single2": Figure(SINGLES, 2, ("psql-copy", copy), 1.6, AVRO, flush_seconds=SINGLE_SECONDS),
    "path.kafka.rows2": Figure(
        BLOCKS, 2, ("psql-copy", copy), 0.9, f"blocks of {readings.BLOCK} readings, kept as segments and as narrow rows", rows=True
    ),
    "path.kafka.isa95": Figure(ENVELOPES, 1, None, 100.0, "isa95 envelopes, JSON", "isa95", SINGLE_SECONDS),
    "path.kafka.debezium": Figure(CONNECT, 1, ("debezium-jdbc", debezium), 12.0, f"blocks of {readings.BLOCK} readings"),
    "path.kafka.tutorial": Figure(SCRIPT, 1, ("tutorial", script), 20.0, f"blocks of {readings.BLOCK} readings"),
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
        "flush_seconds": figure.flush_seconds,
        "kafka": "4.3.1, one KRaft node, lz4",
    }


def measure(name: str, figure: Figure, runs: int) -> bool:
    """Run one figure, compare what both sides stored last with the readings; return whether the goal was met."""
    with stage(figure.load) as on:
        run = partial(historian, on, figure.members, figure.layout, figure.flush_seconds, rows=figure.rows)
        about = conditions(figure)
        if figure.peer:
            peer = (figure.peer[0], partial(figure.peer[1], on))
            # with a peer of a minute, what warms up in the first seconds matters less than the minute
            warm_up = figure.peer[0] not in SLOW
            result = bench(name, "readings/s", run, peer=peer, goal=figure.goal, runs=runs, conditions=about, warm_up=warm_up)
            table.compare(on.server.conninfo_of(table.DATABASE), on.csv)
        else:
            result = bench(name, "readings/s", run, limit=REQUIRED, goal=figure.goal, runs=runs, conditions=about)
        ours.compare(on.server, on.csv, on.readings.tags, rows=figure.rows)
    return bool(result["passed"])


def poison(name: str, runs: int) -> bool:
    """Compare a topic with broken records to the same without; return whether the goal was met."""
    figure = Figure(POISONED, 1, None, 0.9, f"{AVRO}; the peer is ourselves without broken records")
    with stage(SINGLES) as clean, stage(POISONED) as broken:
        about = conditions(figure) | {"broken": f"one record in {forms.POISON_EVERY}"}
        peer = ("no-poison", partial(historian, clean, flush_seconds=SINGLE_SECONDS))
        return bool(
            bench(
                name,
                "readings/s",
                partial(historian, broken, flush_seconds=SINGLE_SECONDS),
                peer=peer,
                goal=0.9,
                runs=runs,
                conditions=about,
            )["passed"]
        )


def memory(name: str) -> bool:
    """Look at the peak of one process that reads 200 partitions at full speed; return whether it is within its limit."""
    with stage(WIDE) as on:
        run = historian(on)
    about = conditions(Figure(WIDE, 1, None, 1.0, f"blocks of {readings.BLOCK} readings")) | {"rate": round(run.units / run.seconds)}
    assert run.rss_mb is not None
    assert run.cpu_s is not None
    return bool(at_most(name, run.rss_mb, "MB", MEMORY_LIMIT_MB, conditions=about, cpu_s=run.cpu_s, rss_mb=run.rss_mb)["passed"])


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
    if wanted(POISON) and not arguments.fill:
        passed &= poison(POISON, arguments.runs)
    if wanted(MEMORY) and not arguments.fill:
        passed &= memory(MEMORY)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
