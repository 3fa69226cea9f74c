"""Rollups: readings that the roller turns into minutes and hours, and the room that these take (`historian.rollup`).

The readings of the historian's bench are written in flushes of two seconds, as under steady load, and rolled up as the minutes pass; then
their hour. A reading is looked at twice, and counted once.
"""

import sys
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from bench.harness import SHORT, Work, bench, stopwatch
from bench.historian import SERVER, START, Plant, size_of
from trunkline.config.rollups import RollupsConfig
from trunkline.historian.migrate import migrate
from trunkline.historian.rollup.roller import Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.server import EmbeddedServer
from trunkline.historian.writer import Writer
from trunkline.log.port import TopicPartition
from trunkline.model import times

SERIES = 200 if SHORT else 1_000
MINUTES = 5 if SHORT else 20
FLUSH_SECONDS = 2


def roll() -> Work:
    """Write and roll up; only rolling up is timed."""
    plant = Plant(SERIES, jitter=True)
    config = RollupsConfig(grace_seconds=0, repair_seconds=0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, EmbeddedServer(Path(folder) / "pg") as server:
        migrate(server.conninfo)
        seconds, rows = 0.0, 0
        with Writer(server.conninfo) as writer, Roller(server.conninfo, Settings(config), ZoneInfo("UTC")) as roller:
            writer.take_over([TopicPartition("telemetry.clean", 0)])
            for minute in range(1, MINUTES + 1):
                for _ in range(60 // FLUSH_SECONDS):
                    writer.write(plant.flush(FLUSH_SECONDS))
                with stopwatch() as watch:
                    rows += roller.run_once(now=START + minute * times.MINUTE).made
                seconds += watch.seconds
            with stopwatch() as watch:
                roller.run_once(now=START + times.HOUR)
            seconds += watch.seconds
        total = SERIES * MINUTES * 60
        facts = {
            "minute_rows": rows,
            "bytes_a_minute_row": size_of(server.conninfo, "historian.rollup_1min") / (SERIES * (MINUTES + 10)),
            "hour_seconds": watch.seconds,
        }
        return Work(total, seconds, facts=facts)


def main() -> int:
    """Run the bench."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40), logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    conditions = {"series": SERIES, "minutes": MINUTES, "flush_seconds": FLUSH_SECONDS, "server": SERVER, "tiers": "1min and 1h"}
    bench("historian.rollup", "readings/s", roll, limit=100_000, runs=1 if SHORT else 3, conditions=conditions, warm_up=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
