"""`historian.memory`: does the historian grow while it writes and compacts, hour after hour of history?

One process does what the role does, faster: a writer stores two seconds of every series at a time, and after every ten minutes of history
the compactor gathers the short segments in a thread of its own, beside the writer, as in the role; after every hour it finishes that hour.
Resident memory is noted after each hour. The slope over all hours but the first must be flat. What compacting needs beyond the writer's
own memory is told beside it, and must stay within bounds too: that is what a long backlog would multiply.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from bench.harness import SHORT
from bench.historian import PLACE, Plant
from bench.limits import at_most, slope
from bench.processes import MEGABYTE, cost_of
from trunkline.historian.compactor import Compaction, Compactor
from trunkline.historian.memory import give_back
from trunkline.historian.migrate import migrate
from trunkline.historian.server import EmbeddedServer
from trunkline.historian.writer import Writer

SERIES: Final = 50
HOURS: Final = 3 if SHORT else 10
FLUSH_SECONDS: Final = 2
GATHERED_SECONDS: Final = 600
#: Megabytes an hour of history: of the same size as the soak's limit.
LIMIT: Final = 20.0
#: Megabytes that the compactor may need on top of the writer, whatever it finds.
PASS_LIMIT_MB: Final = 20.0


class Highest:
    """The highest resident memory of this process while it is watched, in MB."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look fifty times a second during a block."""
        self._stop.clear()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.mb = max(self.mb, resident())


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return cost_of(os.getpid()).rss / MEGABYTE


def compact(conninfo: str, *, over: bool) -> Compaction:
    """Gather the hour that is being written, or finish it."""
    with Compactor(conninfo, quiet_seconds=0 if over else 1e9, gather_seconds=0) as compactor:
        done = compactor.run_once()
    give_back()
    return done


def run(conninfo: str) -> dict[str, Any]:
    """Write and compact; return memory by hour and what was done."""
    plant, highest = Plant(SERIES, jitter=True), Highest()
    rounds, after_hours = 3600 // GATHERED_SECONDS, []
    before_compacting, merged = 0.0, 0
    with Writer(conninfo) as writer, ThreadPoolExecutor(1) as background, highest.watching():
        writer.take_over([PLACE])
        under_way: Future[Compaction] | None = None
        for part in range(1, HOURS * rounds + 1):
            for _ in range(GATHERED_SECONDS // FLUSH_SECONDS):
                writer.write(plant.flush(FLUSH_SECONDS))
            before_compacting = before_compacting or resident()
            if under_way is not None:
                merged += under_way.result().before
            under_way = background.submit(compact, conninfo, over=part % rounds == 0)
            if part % rounds == 0:
                merged += under_way.result().before
                under_way = None
                after_hours.append(round(resident(), 1))
                print(f"hour {part // rounds}: {after_hours[-1]:.1f} MB, {merged:,} segments merged", file=sys.stderr, flush=True)
    return {
        "before_compacting_mb": round(before_compacting, 1),
        "after_hours_mb": after_hours,
        "highest_mb": round(highest.mb, 1),
        "segments_merged": merged,
    }


def main() -> int:
    """Run the bench; return 1 if a limit was missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    started = time.process_time()
    with tempfile.TemporaryDirectory(prefix="bench-historian-") as folder:
        Path(folder).chmod(0o711)
        # durability costs the historian time, not memory
        with EmbeddedServer(Path(folder) / "pg", {"fsync": "off"}) as server:
            migrate(server.conninfo)
            found = run(server.conninfo)
    growth = slope(list(enumerate(found["after_hours_mb"]))[1:])
    needed = found["highest_mb"] - found["before_compacting_mb"]
    conditions = {
        "series": SERIES,
        "hours": HOURS,
        "readings": SERIES * HOURS * 3600,
        "readings_per_series_in_a_flush": FLUSH_SECONDS,
        "needed_by_a_pass_mb": round(needed, 1),
        "needed_by_a_pass_limit_mb": PASS_LIMIT_MB,
        **found,
    }
    figure = at_most(
        "historian.memory", growth, "MB/h", LIMIT, conditions=conditions, passed=needed <= PASS_LIMIT_MB,
        cpu_s=time.process_time() - started, rss_mb=found["highest_mb"],
    )  # fmt: skip
    return 0 if figure["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
