"""`soak`: a whole plant for half an hour; does the memory of any role grow?

A lab plant on Modbus TCP, OPC UA and MQTT is read, validated and stored by every role, each a process of its own as in production. Log
and edge journal keep six minutes only, so that deleting is part of what is judged. Every five seconds the resident memory of each role
and the size of each journal are noted. The slope of a role's memory over the last two thirds (Theil-Sen: the median of the slopes of all
pairs, which a passing peak does not shift) must stay below the limit. PostgreSQL is judged by its own memory without the shared buffers,
which fill up to their fixed size by design. At the end the ledger must balance.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.harness import machine
from bench.limits import slope
from bench.plants import lab_document, write_site
from bench.processes import MEGABYTE, Cost, total, tree
from drills.stage import Stage
from trunkline.config.loading import Site
from trunkline.ledger.balance import Balance, unbalanced
from trunkline.supervisor.wiring import embedded_server

#: Megabytes an hour that no role may grow by: 20 MB/h at 1,000 readings a second is under 6 bytes a reading.
LIMIT: Final = 20.0
#: The short form cannot tell warming up from growing: it only catches what grows wildly.
SHORT_LIMIT: Final = 6000.0
SAMPLE_SECONDS: Final = 5.0
KEPT_MINUTES: Final = 6.0


class Sample(NamedTuple):
    """One look at the plant.

    Attributes:
        second: since the first look.
        memory: judged megabytes by role.
        disk: megabytes of each journal, its write-ahead log included, and of the database.
    """

    second: float
    memory: dict[str, float]
    disk: dict[str, float]


def growth(samples: Sequence[Sample], role: str) -> float:
    """Return the megabytes an hour that a role grows by over the last two thirds."""
    judged = samples[len(samples) // 3 :]
    step = max(1, len(judged) // 400)
    return slope([(one.second / 3600, one.memory[role]) for one in judged[::step]])


def plant(directory: Path, rate: int) -> Site:
    """Write the site: seven tags a unit, all read every second; log and edge journal forget soon."""
    document = lab_document(max(1, rate // 7), period_ms=1000)
    document["log"] = {"retention_hours": KEPT_MINUTES / 60}
    for gateway in document["gateways"]:
        gateway["buffer"]["retention_days"] = KEPT_MINUTES / 1440
    return write_site(directory, document)


class Watch:
    """Takes samples of a running plant."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._begin = time.monotonic()
        self._postgres = embedded_server(stage.site)
        self.samples: list[Sample] = []
        self.costs: dict[str, Cost] = {}

    def look(self) -> None:
        """Note how everything is now."""
        memory: dict[str, float] = {}
        for name, role in self._stage.supervisor.roles.items():
            cost = total(tree(role.pid) if role.pid else [])
            self.costs[name] = cost
            memory[name] = round(cost.rss / MEGABYTE, 2)
        server = self._postgres.pid()
        self.costs["postgres"] = total(tree(server) if server else [])
        memory["postgres"] = round(self.costs["postgres"].own / MEGABYTE, 2)
        self.samples.append(Sample(round(time.monotonic() - self._begin, 1), memory, self._disk()))

    def _disk(self) -> dict[str, float]:
        data = self._stage.site.data_dir
        server = data / "historian" / "postgres"
        folders = {"site log": data / "site", "edge journal": data / "edge", "history": server, "PostgreSQL's log": server / "pg_wal"}
        sizes = {name: _size(folder) for name, folder in folders.items()}
        sizes["history"] -= sizes["PostgreSQL's log"]
        return {name: round(size / MEGABYTE, 2) for name, size in sizes.items()}


def _size(folder: Path) -> int:
    found = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            try:
                found += (Path(directory) / name).stat().st_size
            except FileNotFoundError:  # PostgreSQL recycles its files meanwhile
                continue
    return found


def soak(directory: Path, rate: int, seconds: float) -> tuple[list[Sample], dict[str, Cost], Balance, int]:
    """Run the plant; return samples, costs at the end, the ledger and how many times a role died."""
    stage = Stage(plant(directory, rate))
    try:
        stage.wait_until_flowing()
        watch = Watch(stage)
        while not watch.samples or watch.samples[-1].second < seconds:
            watch.look()
            stage.tend(SAMPLE_SECONDS)
            if len(watch.samples) % 24 == 0:
                say(f"{watch.samples[-1].second / 60:.0f} min: " + ", ".join(f"{k} {v:.0f}" for k, v in watch.samples[-1].memory.items()))
        restarts = sum(role.restarts for role in stage.supervisor.roles.values())
        return watch.samples, watch.costs, stage.finish(), restarts
    finally:
        stage.supervisor.stop()
        stage.supervisor.close()


def say(text: str) -> None:
    """Tell people."""
    print(text, file=sys.stderr, flush=True)


def plot(samples: Sequence[Sample], title: str, stem: Path) -> None:
    """Draw memory by role and disk over time as SVG and PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only the long form draws, and it is slow to load

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    minutes = [one.second / 60 for one in samples]
    for name in samples[-1].memory:
        label = "PostgreSQL (without shared buffers)" if name == "postgres" else name
        upper.plot(minutes, [one.memory[name] for one in samples], label=label, linewidth=1.3)
    for name in samples[-1].disk:
        lower.plot(minutes, [one.disk[name] for one in samples], label=name, linewidth=1.3)
    upper.axvline(minutes[len(minutes) // 3], color="0.6", linewidth=0.8, linestyle="--")
    upper.set(title=title, ylabel="resident memory, MB", ylim=(0, None))
    lower.set(xlabel="minutes", ylabel="on disk, MB", ylim=(0, None))
    for axes in (upper, lower):
        axes.grid(visible=True, color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    stem.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(stem.with_suffix(".png"), dpi=110)


def report(samples: list[Sample], costs: dict[str, Cost], ledger: Balance, restarts: int, *, short: bool) -> dict[str, Any]:
    """Return the bench's JSON object."""
    grown = {name: round(growth(samples, name), 2) for name in samples[-1].memory}
    worst = max(grown, key=lambda name: grown[name])
    limit = SHORT_LIMIT if short else LIMIT
    seconds = samples[-1].second
    roles = {
        name: {
            "median_mb": round(statistics.median(one.memory[name] for one in samples), 1),
            "highest_mb": round(max(one.memory[name] for one in samples), 1),
            "mb_per_hour": grown[name],
            "cpu_percent": round(100 * costs[name].cpu_s / seconds, 1),
        }
        for name in grown
    }
    disk = {name: {"first_third": samples[len(samples) // 3].disk[name], "last": samples[-1].disk[name]} for name in samples[-1].disk}
    return {
        "bench": "soak",
        "rate": grown[worst],
        "unit": "MB/h",
        "peer": None,
        "limit": limit,
        "ratio": round(grown[worst] / limit, 3),
        "runs": 1,
        "cpu_s": round(sum(cost.cpu_s for cost in costs.values()), 1),
        "rss_mb": round(sum(samples[-1].memory.values()), 1),
        "conditions": machine()
        | {
            "seconds": seconds,
            "readings": ledger.totals["read"],
            "readings_per_s": round(ledger.totals["read"] / seconds),
            "stored": ledger.totals["stored"],
            "rejected": ledger.totals["rejected"],
            "worst": worst,
            "roles": roles,
            "disk_mb": disk,
            "restarts": restarts,
            "ledger_balanced": ledger.balanced and ledger.quiet,
        },
        "passed": grown[worst] <= limit and ledger.balanced and ledger.quiet and not restarts,
    }


def main() -> int:
    """Run the soak; return 1 if memory grows or the ledger does not close."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", default=os.environ.get("SHORT", "") not in ("", "0"), help="under a minute")
    parser.add_argument("--rate", type=int, default=1000, help="values a second that the plant shows")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--plot", type=Path, help="path of the plot, without its ending")
    parser.add_argument("--samples", type=Path, help="file for all samples, JSON")
    arguments = parser.parse_args()
    seconds = 25.0 if arguments.short else arguments.minutes * 60
    with tempfile.TemporaryDirectory(prefix="trunkline-soak-") as folder:
        Path(folder).chmod(0o711)
        samples, costs, ledger, restarts = soak(Path(folder), arguments.rate, seconds)
    result = report(samples, costs, ledger, restarts, short=arguments.short)
    for row in unbalanced(ledger)[:5]:
        say(str(row))
    if arguments.samples:
        arguments.samples.write_text(json.dumps([one._asdict() for one in samples]) + "\n")
    if arguments.plot:
        rate = result["conditions"]["readings_per_s"]
        plot(samples, f"Memory of every role, {seconds / 60:.0f} minutes at {rate:,} readings a second", arguments.plot)
    say(f"soak: {result['conditions']['worst']} grows most, by {result['rate']} MB/h; limit {result['limit']:g}")
    print(json.dumps(result), flush=True)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
