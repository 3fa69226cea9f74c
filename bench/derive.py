"""`derive.step`, `derive.wide`, `derive.backlog`: derived tags on one core, blocks in and out; `derive.columns`: an expression alone.

10,000 tags are read once a second and 500 tags are derived from them, of 3 inputs each in `derive.step`, of 20 in the others; a batch is
one scan, in `derive.backlog` ten. The facts say how many derived readings came out, and the processor time of a batch. The limit is what
the design asks of all steps together.
"""

import sys
import time
from functools import partial
from typing import Any, Final

import numpy as np

from bench.harness import SHORT, Work, bench, stopwatch, wanted
from trunkline.config.derived import DerivedConfig
from trunkline.log.codec import columns as codec
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.slots import Slots, TagSlot
from trunkline.log.codec.writer import Rows, write_rows
from trunkline.log.port import StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.expressions import Expression
from trunkline.model.reading import Category, Kind
from trunkline.processing.derive import DeriveStep

TAGS: Final = 10_000
DERIVED: Final = 500
BATCHES: Final = 5 if SHORT else 20
RUNS: Final = 3 if SHORT else 5
LIMIT: Final = 100_000.0
MOMENTS: Final = 1_000_000
START: Final = 1_795_000_000 * times.SECOND
LAYOUT: Final = Layout("gateway", 4)
CALC: Final = "A / B * 100 if B > 0 else 0"


def definitions(inputs: int) -> list[DerivedConfig]:
    """Return sums of so many tags each."""
    per = TAGS // DERIVED
    return [
        DerivedConfig(path=f"P.D.X{number}", calc=" + ".join(f"P.T{number * per + place}" for place in range(inputs)))
        for number in range(DERIVED)
    ]


def batches(scans: int) -> list[Columns]:
    """Return batches of so many scans, decoded as the runtime hands them over."""
    slots = Slots([TagSlot.of(f"P.T{number}", "plc", Kind.DOUBLE, LAYOUT.telemetry_partitions) for number in range(TAGS)])
    topic = LAYOUT.topic(Category.TELEMETRY, "clean")
    random = np.random.default_rng(7)
    made, seq = [], 0
    for batch in range(BATCHES + 1):
        records = []
        for scan in range(scans):
            when = np.full(TAGS, START + (batch * scans + scan) * times.SECOND)
            rows = Rows(slots, when, when, None, random.random(TAGS), np.empty(0, np.int64), [], None)
            blocks, seq = write_rows("edge", seq, {}, [rows])
            records += [StoredRecord(topic, block.partition or 0, 0, START, None, block.value, block.headers) for block in blocks]
        made.append(codec.decode(records))
    return made


def step(inputs: int, scans: int) -> Work:
    """Run the step over all batches but the first, which fills its memory."""
    one = DeriveStep(LAYOUT, definitions(inputs), {}, "bench")
    first, *rest = batches(scans)
    one.evaluate(first, START)
    cpu = time.process_time()
    with stopwatch() as watch:
        for number, batch in enumerate(rest):
            one.evaluate(batch, START + number * times.MINUTE)
            one.changed()
    cpu = time.process_time() - cpu
    facts = {"derived_per_s": BATCHES * scans * DERIVED / watch.seconds, "cpu_ms_a_batch": 1e3 * cpu / BATCHES}
    return Work(BATCHES * scans * TAGS, watch.seconds, facts=facts)


def columns() -> Work:
    """Evaluate one expression over many moments."""
    expression = Expression(CALC)
    random = np.random.default_rng(7)
    values = {name: random.random(MOMENTS) for name in "AB"}
    with stopwatch() as watch:
        for _ in range(BATCHES):
            expression.columns(values)
    return Work(BATCHES * MOMENTS, watch.seconds)


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    passed = True
    for name, inputs, scans in (("derive.step", 3, 1), ("derive.wide", 20, 1), ("derive.backlog", 20, 10)):
        if wanted(name):
            conditions: dict[str, Any] = {"tags": TAGS, "derived": DERIVED, "inputs_each": inputs, "scans_a_batch": scans, "cores_used": 1}
            figure = bench(name, "readings/s", partial(step, inputs, scans), limit=LIMIT, runs=RUNS, conditions=conditions)
            passed &= figure["passed"]
    if wanted("derive.columns"):
        bench("derive.columns", "moments/s", columns, runs=RUNS, conditions={"calc": CALC, "moments": MOMENTS, "cores_used": 1})
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
