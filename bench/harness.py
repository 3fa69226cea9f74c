"""What every bench shares: runs a callable and a named peer in turn, and prints one JSON object (docs/reference has the field names).

    from bench.harness import Work, bench, stopwatch   # with the repository's root on the path: python -m bench.journal

    def ours() -> Work:
        ...                       # set up
        with stopwatch() as watch:
            ...                   # what is measured
        return Work(units=n, seconds=watch.seconds)

    bench("journal.append", "readings/s", ours, peer=("sqlite3-script", theirs), runs=5)

Each run is a process of its own, forked from the bench, so that memory and CPU time are that run's alone and one run's leftovers (caches,
garbage, threads) cannot weigh on the next. Ours and the peer alternate; the ratio is the median of the ratios of neighbours, which a
machine that slows down or speeds up meanwhile does not shift. Environment: `SHORT=1` asks for the short form, `ONLY=name` for one bench.
"""

import json
import multiprocessing
import os
import platform
import resource
import sqlite3
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

SHORT: Final = os.environ.get("SHORT", "") not in ("", "0")
_PACKAGES: Final = ("trunkline", "numpy", "pyarrow", "pyruhvro", "msgspec", "zstandard", "psycopg")


class Work(NamedTuple):
    """What one run did: units of work, and the seconds they took; its processor seconds and memory where another process did it.

    `facts` are further numbers of the run, by name; their medians are printed.
    """

    units: float
    seconds: float
    cpu_s: float | None = None
    rss_mb: float | None = None
    facts: Mapping[str, float] | None = None


class Run(NamedTuple):
    """What one run cost. `rate` is units a second."""

    rate: float
    cpu_s: float
    rss_mb: float
    facts: Mapping[str, float]


@dataclass(slots=True)
class Stopwatch:
    """Seconds between entering and leaving `stopwatch()`."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block."""
    watch = Stopwatch()
    start = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - start


def wanted(name: str) -> bool:
    """Return whether `ONLY` asks for this bench (or for none in particular)."""
    only = os.environ.get("ONLY", "")
    return only in ("", name) or name.startswith(f"{only}.")


def machine() -> dict[str, Any]:
    """Return what figures depend on: the machine and the versions of what was measured."""
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    versions = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def measure(work: Callable[[], Work]) -> Run:
    """Run once in a process of its own. Raises RuntimeError with the run's own traceback when it failed."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_child, args=(work, sender))
    process.start()
    sender.close()
    try:
        run, failure = receiver.recv()
    except EOFError:
        run, failure = None, "the run ended without a word"
    process.join()
    if not isinstance(run, Run):
        raise RuntimeError(f"{failure} (status {process.exitcode})")  # noqa: TRY004 - not a matter of types: the run failed
    return run


def _child(work: Callable[[], Work], sender: Connection) -> None:
    try:
        before = _cpu()
        done = work()
        cpu = _cpu() - before if done.cpu_s is None else done.cpu_s
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 if done.rss_mb is None else done.rss_mb
        sender.send((Run(done.units / done.seconds, cpu, rss, done.facts or {}), ""))
    except Exception:  # noqa: BLE001 - whatever it is, the parent reports it
        sender.send((None, traceback.format_exc()))


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def bench(
    name: str,
    unit: str,
    ours: Callable[[], Work],
    *,
    peer: tuple[str, Callable[[], Work]] | None = None,
    limit: float | None = None,
    goal: float | None = None,
    runs: int = 5,
    conditions: dict[str, Any] | None = None,
    warm_up: bool = True,
) -> dict[str, Any]:
    """Run a bench and print its JSON object.

    Args:
        name: dotted name.
        unit: of the rate, for example 'readings/s'.
        ours: one run of ours; it is called in a forked process.
        peer: name and one run of what we compare with.
        limit: where there is no peer: the rate that the design asks for.
        goal: least ratio (to the peer, or to the limit) that counts as passed; None asks for none.
        runs: how often each side runs.
        conditions: facts about the load to print along.
        warm_up: one more run of each goes first and is thrown away.

    Returns:
        The object printed, with `passed`.
    """
    around = machine() | (conditions or {})
    mine: list[Run] = []
    theirs: list[Run] = []
    for turn in range(0 if warm_up else 1, runs + 1):
        mine.append(measure(ours))
        if peer is not None:
            theirs.append(measure(peer[1]))
        beside = f", {peer[0]} {theirs[-1].rate:,.0f}" if peer else ""
        print(f"{name} {'warm-up' if turn == 0 else turn}: {mine[-1].rate:,.0f} {unit}{beside}", file=sys.stderr)
    if warm_up:
        del mine[0], theirs[:1]
    rate = _median([run.rate for run in mine])
    result: dict[str, Any] = {"bench": name, "rate": round(rate, 1), "unit": unit, "peer": peer[0] if peer else None}
    if peer:
        ratio: float | None = _median([one.rate / other.rate for one, other in zip(mine, theirs, strict=True)])
        result |= {
            "peer_rate": round(_median([run.rate for run in theirs]), 1),
            "peer_cpu_s": round(_median([run.cpu_s for run in theirs]), 3),
            "peer_rss_mb": round(_median([run.rss_mb for run in theirs]), 1),
        }
    else:
        ratio = rate / limit if limit else None
        result["limit"] = limit
    result |= {
        "ratio": None if ratio is None else round(ratio, 3),
        "goal": goal,
        "passed": goal is None or (ratio is not None and ratio >= goal),
        "runs": runs,
        "cpu_s": round(_median([run.cpu_s for run in mine]), 3),
        "rss_mb": round(_median([run.rss_mb for run in mine]), 1),
        "rates": [round(run.rate, 1) for run in mine],
        "peer_rates": [round(run.rate, 1) for run in theirs],
        "facts": _facts(mine),
        "peer_facts": _facts(theirs),
        "conditions": around,
    }
    verdict = "" if ratio is None else f", {ratio:.2f}x of {peer[0] if peer else limit}"
    print(f"{name}: {rate:,.0f} {unit}{verdict}", file=sys.stderr)
    print(json.dumps(result), flush=True)
    return result


def _facts(runs: Sequence[Run]) -> dict[str, float]:
    return {name: round(_median([run.facts[name] for run in runs]), 3) for name in (runs[0].facts if runs else ())}


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)
