"""`python -m drills [--only NAME] [--short]`: runs drills; JSON on stdout, one object per drill; exits 1 if one does not pass."""

import argparse
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from drills import kafka, kill, meaning, poison, scale, tamper

DRILLS: dict[str, Callable[..., dict[str, Any]]] = {
    "kill": kill.run,
    "kill-sabotaged": kill.run_sabotaged,
    "tamper": tamper.run,
}
#: What is made of readings; `--steps` runs these.
STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "meaning": meaning.run,
    "meaning-forgetful": meaning.run_forgetful,
    "meaning-untold": meaning.run_untold,
    "meaning-unmarked": meaning.run_unmarked,
}
#: On three real brokers; `--kafka` runs these.
KAFKA: dict[str, Callable[..., dict[str, Any]]] = {
    "kafka": kafka.run,
    "kafka-early": kafka.run_early,
    "kafka-unfenced": kafka.run_unfenced,
    "kafka-brokers-lost": kafka.run_brokers_lost,
    "kafka-scale": scale.run,
    "kafka-poison": poison.run,
}
#: Planted defects that run in the long form, or by name.
KAFKA_LONG: dict[str, Callable[..., dict[str, Any]]] = {
    "kafka-scale-unfenced": scale.run_unfenced,
    "kafka-poison-dropped": poison.run_dropped,
}


def main() -> int:
    """Run what was asked for."""
    every = {**DRILLS, **STEPS, **KAFKA, **KAFKA_LONG}
    parser = argparse.ArgumentParser(prog="drills", description=__doc__)
    parser.add_argument("--only", choices=sorted(every), help="one drill")
    parser.add_argument("--kafka", action="store_true", help="the drills on three brokers of Apache Kafka")
    parser.add_argument("--steps", action="store_true", help="the drills of alarms, notifications and rollups")
    parser.add_argument("--short", action="store_true", help="the short form: under a minute each")
    parser.add_argument("--seed", type=int, default=7, help="of every fault")
    parser.add_argument("--keep", metavar="DIR", help="keep the drill's files here")
    arguments = parser.parse_args()
    logging.getLogger("trunkline.kafka").setLevel(logging.CRITICAL)  # brokers are away all the time: that is the drill
    passed = True
    on_kafka = KAFKA if arguments.short else {**KAFKA, **KAFKA_LONG}
    chosen = (
        {arguments.only: every[arguments.only]} if arguments.only else on_kafka if arguments.kafka else STEPS if arguments.steps else DRILLS
    )
    for name, drill in chosen.items():
        sys.stderr.write(f"drill {name}, seed {arguments.seed}\n")
        result = drill(seed=arguments.seed, short=arguments.short, keep=arguments.keep)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
        passed &= bool(result["passed"])
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
