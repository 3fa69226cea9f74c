"""`python -m drills [--only NAME] [--short]`: runs drills; JSON on stdout, one object per drill; exits 1 if one does not pass."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from drills import kill, tamper

DRILLS: dict[str, Callable[..., dict[str, Any]]] = {
    "kill": kill.run,
    "kill-sabotaged": kill.run_sabotaged,
    "tamper": tamper.run,
}


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="drills", description=__doc__)
    parser.add_argument("--only", choices=sorted(DRILLS), help="one drill")
    parser.add_argument("--short", action="store_true", help="the short form: under a minute each")
    parser.add_argument("--seed", type=int, default=7, help="of every fault")
    parser.add_argument("--keep", metavar="DIR", help="keep the drill's files here")
    arguments = parser.parse_args()
    passed = True
    for name, drill in DRILLS.items():
        if arguments.only in (None, name):
            sys.stderr.write(f"drill {name}, seed {arguments.seed}\n")
            result = drill(seed=arguments.seed, short=arguments.short, keep=arguments.keep)
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()
            passed &= bool(result["passed"])
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
