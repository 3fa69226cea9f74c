"""`steps.all`: everything that is made of readings, one after the other on one core, PostgreSQL included.

10,000 tags at ten readings a second go through validation (ranges and rates), 200 alarm definitions (20,000 alarms, half of them with a
delay) and four rollups (1 s, 10 s, 1 min, 1 h), the last from the database into the database. Every process is kept on one core and only
the steps are timed: making the readings and storing them is not. A reading is looked at by all of them and counted once.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import structlog

from bench.alarms import PATHS, TAGS, definitions
from bench.harness import SHORT, Work, bench, stopwatch
from trunkline.config.rollups import RollupsConfig
from trunkline.config.site import LogConfig, ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.gathering import Gathering
from trunkline.historian.migrate import migrate
from trunkline.historian.rollup.roller import Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.server import EmbeddedServer
from trunkline.historian.writer import Writer
from trunkline.log.codec.slots import Slots, TagSlot
from trunkline.log.codec.writer import Rows, write_rows
from trunkline.log.opening import layout_of
from trunkline.log.port import Batch, Record, StoredRecord, TopicPartition
from trunkline.model import times
from trunkline.model.reading import Category, Kind
from trunkline.processing.alarms.step import AlarmStep
from trunkline.processing.validate import ValidateStep

SCANS: Final = 10
SECONDS: Final = 20 if SHORT else 60
LIMIT: Final = 100_000
START: Final = 1_795_000_000 * times.SECOND // times.HOUR * times.HOUR
LAYOUT: Final = layout_of(LogConfig())
RAW: Final = LAYOUT.topic(Category.TELEMETRY, "raw")
CLEAN: Final = LAYOUT.topic(Category.TELEMETRY, "clean")


class Source:
    """Makes records as gateways do: a block of each lane for every scan."""

    def __init__(self) -> None:
        self._slots = Slots([TagSlot(path, "plc", Kind.DOUBLE, LAYOUT.lane_of(path)) for path in PATHS])
        self._random = np.random.default_rng(7)
        self._walk = np.full(TAGS, 50.0)
        self._covered: dict[int, int] = {}
        self._seq = 0
        self._offset = 0

    def second(self, second: int) -> list[StoredRecord]:
        """Return the raw records of a second: one reading in 20,000 is beyond an alarm's limit."""
        found = []
        for scan in range(SCANS):
            self._walk = np.clip(self._walk + self._random.normal(0, 0.2, TAGS), 30, 70)
            value = np.where(self._random.random(TAGS) < 1 / 20_000, 90.0, np.round(self._walk, 3))
            time = START + second * times.SECOND + scan * times.SECOND // SCANS + self._random.integers(0, 50_000, TAGS)
            rows = Rows(self._slots, time, time + 500, None, value, np.empty(0, np.int64), (), None)
            records, self._seq = write_rows("bench", self._seq, self._covered, [rows])
            for record in records:
                self._covered[record.partition or 0] = self._seq
                found.append(self._stored(RAW, record))
        return found

    def _stored(self, topic: str, record: Record) -> StoredRecord:
        self._offset += 1
        return StoredRecord(topic, record.partition or 0, self._offset, START, record.key, record.value, record.headers)

    def again(self, records: list[Record]) -> list[StoredRecord]:
        """Return what a step wrote to the clean topic as it is read."""
        return [self._stored(CLEAN, record) for record in records]


def steps() -> Work:
    """One run."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tags = {path: TagConfig(path=path, unit="bar", min=0, max=100, max_rate=1000) for path in PATHS}
    config = RollupsConfig.model_validate(
        {"grace_seconds": 0, "repair_seconds": 0, "hold_seconds": 2, "tags": [{"tags": ["**"], "tiers": ["1s", "10s"]}]}
    )
    now = START
    validate = ValidateStep(LAYOUT, tags, ValidationConfig(), clock=lambda: now)
    alarms = AlarmStep(LAYOUT, definitions(), tags, clock=lambda: now)
    source, readings = Source(), 0
    spent = dict.fromkeys(("validate", "alarms", "rollups"), 0.0)
    registry = {path: SeriesInfo.of(tag, "bench", "plc") for path, tag in tags.items()}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, EmbeddedServer(Path(folder) / "pg") as server:
        migrate(server.conninfo)
        with Writer(server.conninfo, registry) as writer, Roller(server.conninfo, Settings(config), ZoneInfo("UTC")) as roller:
            writer.take_over([TopicPartition(CLEAN, lane) for lane in range(LAYOUT.telemetry_partitions)])
            for second in range(SECONDS):
                raw = source.second(second)
                now = START + (second + 1) * times.SECOND
                with stopwatch() as watch:
                    judged = validate.process(raw)
                spent["validate"] += watch.seconds
                clean = source.again(judged[CLEAN])
                with stopwatch() as watch:
                    alarms.process(clean)
                    alarms.tick()
                    alarms.changed()
                spent["alarms"] += watch.seconds
                gathering = Gathering(LAYOUT, {})
                gathering.add(Batch(clean, {TopicPartition(CLEAN, record.partition): record.offset + 1 for record in clean}))
                writer.write(gathering.flush().flush)
                readings += TAGS * SCANS
                if second % 10 == 9:
                    spent["rollups"] += _roll(roller, now)
            spent["rollups"] += _roll(roller, START + times.HOUR)
    if not alarms.counts["transitions"]:
        raise AssertionError("nothing was alarmed: the bench proves nothing")
    facts = {f"{name}_us_a_reading": seconds / readings * 1e6 for name, seconds in spent.items()}
    return Work(readings, sum(spent.values()), facts=facts)


def _roll(roller: Roller, now: int) -> float:
    with stopwatch() as watch:
        roller.run_once(now=now)
    return watch.seconds


def main() -> int:
    """Run the bench; return 1 if the goal was missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40), logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    conditions = {"tags": TAGS, "definitions": 200, "alarms": 2 * TAGS, "rollups": "1s, 10s, 1min, 1h", "seconds": SECONDS, "cores_used": 1}
    figure = bench("steps.all", "readings/s", steps, limit=LIMIT, goal=1.0, runs=1 if SHORT else 3, conditions=conditions, warm_up=False)
    return 0 if figure["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
