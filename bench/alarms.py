"""`alarms.evaluate`: 200 alarm definitions over 10,000 tags, on one core, readings as columns in, transitions out.

Every tag has two limits with a deadband, half of the definitions a delay as well; one reading in 2,000 is beyond a limit. The peer is what
one writes first: a loop over the readings with a dictionary of the alarms that are on, with the same limits and deadbands, without delays
and states.
"""

import sys
from functools import partial
from typing import Final

import numpy as np

from bench.harness import SHORT, Work, bench, stopwatch
from trunkline.config.alarms import AlarmDefinition, AlarmsConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.columns import Columns
from trunkline.model import times
from trunkline.model.reading import Kind
from trunkline.processing.alarms import AlarmBook

TAGS: Final = 10_000
AREAS, GROUPS = 10, 10
ROUNDS: Final = 30 if SHORT else 100
RUNS: Final = 3 if SHORT else 5
BEYOND: Final = 1 / 2000
HIGH, LOW, BACK = 80.0, 20.0, 2.0
#: The loop has no states, delays, history or restart: more than what it does must not cost more.
GOAL: Final = 1.0
START: Final = 1_795_000_000 * times.SECOND
PATHS: Final = [f"PLANT01.AREA{n // (TAGS // AREAS):02}.UNIT_{n // GROUPS % 100:02}.T{n % GROUPS}" for n in range(TAGS)]


def definitions() -> AlarmsConfig:
    """Return 200 definitions, each over the 100 tags of its pattern."""
    made = [
        AlarmDefinition.model_validate(
            {
                "id": f"{kind}-{area}-{group}",
                "tags": [f"PLANT01.AREA{area:02}.*.T{group}"],
                "kind": kind,
                "limit": limit,
                "deadband": BACK,
                "on_delay": group % 2 * 2.0,
            }
        )
        for area in range(AREAS)
        for group in range(GROUPS)
        for kind, limit in (("high", HIGH), ("low", LOW))
    ]
    return AlarmsConfig(definitions=tuple(made))


def batches(rounds: int) -> list[Columns]:
    """Return one reading of every tag a second."""
    random = np.random.default_rng(7)
    none = np.zeros(TAGS, np.int32)
    made = []
    for second in range(rounds):
        time = START + second * times.SECOND + random.integers(0, 900_000, TAGS)
        value = np.where(random.random(TAGS) < BEYOND, 90.0, random.normal(50, 5, TAGS))
        made.append(
            Columns(
                heads=[], block=none, tags=PATHS, kinds=np.full(TAGS, Kind.DOUBLE, np.int32), sources=["plc"],
                tag=np.arange(TAGS, dtype=np.int32), source=none, seq=np.arange(TAGS), time=time, gateway_time=time,
                quality=np.zeros(TAGS, np.uint16), number=value, integer=np.zeros(TAGS, np.int64), text={}, absent=np.zeros(TAGS, np.bool_),
            )
        )  # fmt: skip
    return made


def book() -> Work:
    """Run the alarm book."""
    alarms = AlarmBook(definitions(), {path: TagConfig(path=path, unit="bar") for path in PATHS})
    first, *rest = batches(ROUNDS + 1)
    alarms.evaluate(first, START + times.SECOND)
    transitions = 0
    with stopwatch() as watch:
        for second, batch in enumerate(rest, 2):
            now = START + second * times.SECOND
            transitions += len(alarms.evaluate(batch, now)) + len(alarms.tick(now))
            alarms.changed()
    if not transitions:
        raise AssertionError("nothing was raised: the bench proves nothing")
    return Work(TAGS * ROUNDS, watch.seconds, facts={"transitions": transitions})


def loop() -> Work:
    """Run the peer."""
    limits = dict.fromkeys(PATHS, (HIGH, LOW))
    on: dict[tuple[str, str], bool] = {}
    _, *rest = batches(ROUNDS + 1)
    transitions = 0
    with stopwatch() as watch:
        for batch in rest:
            for tag, value in zip(batch.tag.tolist(), batch.number.tolist(), strict=True):
                path = batch.tags[tag]
                high, low = limits[path]
                for name, beyond, back in (("high", value > high, value <= high - BACK), ("low", value < low, value >= low + BACK)):
                    stands = on.get((path, name), False)
                    if stands != (beyond or (stands and not back)):
                        on[path, name] = not stands
                        transitions += 1
    return Work(TAGS * ROUNDS, watch.seconds, facts={"transitions": transitions})


def main() -> int:
    """Run the bench; return 1 if the goal was missed."""
    conditions = {"tags": TAGS, "definitions": 200, "alarms": 2 * TAGS, "beyond": BEYOND, "batch": TAGS}
    figure = bench("alarms.evaluate", "readings/s", partial(book), peer=("python-loop", loop), runs=RUNS, goal=GOAL, conditions=conditions)
    return 0 if figure["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
