r"""`scale.kafka.*`: the same topic stored by 1, 2 and 5 members of the historian's group (P-115, PD-19).

A run is one of `bench.path_kafka`, from the start of the processes to the commit of the last reading. The peer of several members is one
member, in turns, so that the ratio says what members bring on this machine: broker, PostgreSQL and members share its cores.

    python -m bench.scale_kafka [--runs N]      # ONLY=scale.kafka.blocks2 for one figure, SHORT=1 for 200,000 readings
"""

import argparse
import sys
from functools import partial
from typing import Final

import structlog

from bench.harness import SHORT, Work, bench, wanted
from bench.path_kafka import AVRO, REQUIRED, RUNS, Figure, conditions, historian
from bench.peers import forms, ours, readings
from bench.peers.stage import Load, Stage, await_empty_group, stage

MEMBERS: Final = (1, 2, 5)
READINGS: Final = 200_000 if SHORT else 2_000_000
#: Topics of their own, in time order: no peer reads them, so they are filled in seconds.
FORMS: Final = {
    "blocks": (Load("scale-blocks", {"telemetry.clean": readings.blocks}, READINGS, order=None), f"blocks of {readings.BLOCK} readings"),
    "single": (Load("scale-singles", {"telemetry.clean": forms.singles}, READINGS // 2, order=None), AVRO),
}


def store(on: Stage, members: int) -> Work:
    """One run, once the group has forgotten the members of the run before, which keep their shares for the session's time."""
    await_empty_group(on.cluster)
    return historian(on, members)


def measure(form: str, members: int, runs: int) -> bool:
    """Run one figure, and see that what was stored last is what was written; return whether it meets P-115's floor."""
    load, words = FORMS[form]
    with stage(load) as on:
        alone, together = (partial(store, on, count) for count in (1, members))
        result = bench(
            f"scale.kafka.{form}{members}",
            "readings/s",
            together,
            peer=None if members == 1 else ("one-member", alone),
            limit=REQUIRED,
            runs=runs,
            conditions=conditions(Figure(load, members, None, 1.0, words)),
            warm_up=False,
        )
        ours.compare(on.server, on.csv, on.readings.tags)
    return bool(result["rate"] >= REQUIRED * members)


def main() -> int:
    """Run what is wanted; return 1 if one stays below what P-115 asks of so many consumers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1 if SHORT else RUNS, help="runs of each side")
    runs = parser.parse_args().runs
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    passed = True
    for form in FORMS:
        for members in MEMBERS:
            if wanted(f"scale.kafka.{form}{members}"):
                passed &= measure(form, members, runs)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
