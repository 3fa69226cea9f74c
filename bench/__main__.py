"""`python -m bench [--only NAME] [--short] [--json-out FILE]`: runs benches; JSON on stdout, one object per figure, the summary last.

Each script runs in a process of its own, because one bench's memory, caches and imports must not weigh on the next. NAME is a figure
('historian.write') or the first part of several ('historian'). Exits 1 when a figure misses its goal or a script fails.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple


class Script(NamedTuple):
    """A module of this package and the figures that it measures.

    Attributes:
        figures: dotted names, as in its JSON objects.
        arguments: always passed on; `long` only when the long form runs.
        by_name: runs in the long form only when asked for by name: it takes very long.
        suite: empty for `make bench`; 'kafka' for `make bench-kafka`, which needs more installed.
    """

    module: str
    figures: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    long: tuple[str, ...] = ()
    by_name: bool = False
    suite: str = ""


PATH_KAFKA: Final = tuple(
    f"path.kafka.{name}"
    for name in ("blocks", "blocks2", "single", "single2", "rows2", "isa95", "debezium", "tutorial", "poison", "memory")
)
SCALE_KAFKA: Final = tuple(f"scale.kafka.{form}{members}" for form in ("blocks", "single") for members in (1, 2, 5))
ANOMALY: Final = ("robust_z", "ewma", "ewma_day", "cusum", "cusum_day", "seasonal", "half_space_trees")
SCRIPTS: Final = (
    Script("journal", ("journal.append", "journal.read", "journal.sealed.append", "journal.sealed.read")),
    Script("historian", ("historian.write",), ("--only", "write")),
    Script("historian", ("historian.size", "historian.compact"), ("--only", "size")),
    Script("historian", ("historian.chart",), ("--only", "chart")),
    Script("historian_memory", ("historian.memory",)),
    Script("rollups", ("historian.rollup",)),
    Script("path_journal", ("path.journal",)),
    Script("validate", ("validate.step", "validate.changes")),
    Script("alarms", ("alarms.evaluate",)),
    Script("steps", ("steps.all",)),
    Script("alarm_latency", ("alarms.latency",)),
    Script("derive", ("derive.step", "derive.wide", "derive.backlog", "derive.columns")),
    Script("anomaly", tuple(f"anomaly.speed.{name}" for name in ANOMALY), ("--only", "speed")),
    Script("anomaly", tuple(f"anomaly.detect.{name}" for name in ANOMALY), ("--only", "detect")),
    Script("source_modbus", ("source.modbus",)),
    Script("source_opcua", ("source.opcua",)),
    Script("source_isolated", ("source.isolated.scan", "source.isolated.single")),
    Script("gateway_memory", ("gateway.memory",)),
    Script(
        "gateway_scale", ("gateway.empty", "gateway.scale.tags", "gateway.scale.sources", "gateway.sustained", "gateway.sustained.single")
    ),
    Script("ingest", ("ingest.scan", "ingest.readings", "ingest.single", "ingest.ack", "ingest.ack.at_once")),
    Script("start_scale", ("start.load", "start.large")),
    Script("start", ("start.first_reading",)),
    Script("path_kafka", PATH_KAFKA, suite="kafka"),
    Script("forward_kafka", ("forward.kafka",), suite="kafka"),
    Script("edge_kafka", ("edge.kafka",), suite="kafka"),
    Script("scale_kafka", SCALE_KAFKA, suite="kafka", by_name=True),
    Script("soak", ("soak",), (), ("--plot", "docs/images/soak-memory", "--samples", "build/bench/soak-samples.json"), by_name=True),
)


def matches(only: str, figure: str) -> bool:
    """Return whether NAME means a figure."""
    return only in ("", figure) or figure.startswith(f"{only}.")


def chosen(only: str, suite: str, *, short: bool) -> list[Script]:
    """Return the scripts to run: those of the suite, or whatever `only` names."""
    if only:
        return [script for script in SCRIPTS if any(matches(only, figure) for figure in script.figures)]
    return [script for script in SCRIPTS if script.suite == suite and (short or not script.by_name)]


def run(script: Script, only: str, *, short: bool) -> tuple[list[dict[str, Any]], bool]:
    """Run one script; return its figures, printed as they come, and whether it ended well."""
    environment = os.environ | {"SHORT": "1" if short else "", "ONLY": only if only in script.figures else ""}
    command = [sys.executable, "-m", f"bench.{script.module}", *script.arguments, *(() if short else script.long)]
    found: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            figure = json.loads(line)
            if figure.get("bench") in script.figures:
                print(line, end="", flush=True)
                found.append(figure)
    return found, process.returncode == 0 and bool(found)


def table(figures: Sequence[dict[str, Any]]) -> str:
    """Return the figures for people, a line each."""
    lines = []
    for one in figures:
        beside = f"{one['peer']} {one['peer_rate']:,}" if one.get("peer_rate") is not None else f"limit {one.get('limit')}"
        verdict = "" if one["passed"] else "   MISSED"
        lines.append(f"{one['bench']:<22}{one['rate']:>16,} {one['unit']:<15}{beside:<34}ratio {one['ratio']}{verdict}")
    return "\n".join(lines)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", default="", help="one figure, or the first part of several names")
    parser.add_argument("--suite", default="", help="'kafka' for the benches that need Kafka's jars and peers")
    parser.add_argument("--short", action="store_true", help="the short form: under a minute each")
    parser.add_argument("--json-out", metavar="FILE", type=Path, help="write the figures into a file as well, one JSON object a line")
    arguments = parser.parse_args()
    scripts = chosen(arguments.only, arguments.suite, short=arguments.short)
    if not scripts:
        parser.error(f"no figure is called {arguments.only!r}: there are {', '.join(name for one in SCRIPTS for name in one.figures)}")
    figures: list[dict[str, Any]] = []
    failed: list[str] = []
    for script in scripts:
        found, well = run(script, arguments.only, short=arguments.short)
        figures += found
        missed = [one["bench"] for one in found if not one["passed"]]
        failed += missed or ([] if well else [script.module])
    summary = {"bench": "all", "figures": len(figures), "failed": failed, "short": arguments.short, "passed": not failed}
    print(table(figures), file=sys.stderr)
    print(json.dumps(summary), flush=True)
    if arguments.json_out:
        arguments.json_out.parent.mkdir(parents=True, exist_ok=True)
        arguments.json_out.write_text("".join(json.dumps(one) + "\n" for one in (*figures, summary)))
    return 0 if summary["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
