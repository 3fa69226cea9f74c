"""The kill drill (P-117 to P-119, P-121): SIGKILL roles at random while the lab runs, then compare everything."""

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from drills.checker import check, figures
from drills.sabotage import GAP_FILE
from drills.stage import Stage, say, stage
from trunkline.ledger.balance import unbalanced
from trunkline.supervisor.wiring import conninfo, embedded_server

#: 239 units of seven tags every 335 ms: about 5,000 readings a second.
FULL = {"units": 239, "period_ms": 335, "kills": 200, "pause": 1.5}
SHORT = {"units": 24, "period_ms": 335, "kills": 15, "pause": 1.2}
SABOTAGED = {"units": 24, "period_ms": 335, "kills": 3, "pause": 1.2}


def run(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Kill and compare."""
    return _drill(seed=seed, short=short, keep=keep, sabotage=None)


def run_sabotaged(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """The same with a historian that commits its positions before the data: passes only if the checker notices."""
    return _drill(seed=seed, short=short, keep=keep and f"{keep}-sabotaged", sabotage="positions-before-data")


def _drill(*, seed: int, short: bool, keep: str | None, sabotage: str | None) -> dict[str, Any]:
    size = SABOTAGED if sabotage else SHORT if short else FULL
    started = time.monotonic()
    with (
        nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="trunkline-drill-") as folder,
        stage(Path(folder), units=int(size["units"]), period_ms=int(size["period_ms"]), seed=seed) as plant,
    ):
        gap = plant.site.data_dir / "run" / "data-behind-positions"
        if sabotage:
            os.environ[GAP_FILE] = str(gap)
            plant.supervisor.roles["historian"].command = [sys.executable, "-m", "drills.sabotage", "historian", str(plant.site.file)]
        plant.wait_until_flowing()
        if sabotage:
            killed = _kill_in_gap(plant, gap, int(size["kills"]))
        else:
            killed = _kill(plant, random.Random(seed), int(size["kills"]), float(size["pause"]))
        plant.recover()
        balance = plant.finish()
        say("comparing journal, dead letters, historian and ground truth")
        findings = check(plant.site, conninfo(plant.site), plant.truth)
    passed = not findings.clean or not balance.balanced if sabotage else findings.clean and balance.balanced and balance.quiet
    for example in (*findings.examples, *unbalanced(balance)[:5]):
        say(example)
    result: dict[str, Any] = {
        "drill": "kill",
        "seed": seed,
        "kills": sum(killed.values()),
        "by_role": killed,
        "seconds": round(time.monotonic() - started, 1),
        **figures(findings, balance),
        "passed": passed,
    }
    if sabotage:
        result |= {"sabotage": sabotage, "caught": passed}
    return result


def _kill_in_gap(plant: Stage, gap: Path, kills: int) -> dict[str, int]:
    """Kill the sabotaged historian while its data is behind its positions."""
    for _ in range(kills):
        if not plant.tend(60, gap.exists):
            raise RuntimeError("the sabotaged historian never stored anything")
        pid = plant.supervisor.roles["historian"].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        gap.unlink(missing_ok=True)
        plant.tend(1.0)
    return {"historian": kills}


def _kill(plant: Stage, chance: random.Random, kills: int, pause: float) -> dict[str, int]:
    victims = tuple(plant.supervisor.roles)
    killed = dict.fromkeys(victims, 0)
    while sum(killed.values()) < kills:
        plant.tend(chance.uniform(0.2, 2 * pause - 0.2))
        name = chance.choice(victims)
        pid = _pid(plant, name, chance)
        if pid is None:
            continue
        os.kill(pid, signal.SIGKILL)
        killed[name] += 1
        if sum(killed.values()) % 20 == 0:
            say(f"{sum(killed.values())} of {kills} kills")
    return killed


def _pid(plant: Stage, name: str, chance: random.Random) -> int | None:
    """Return the process to kill; for the database it is the server itself as often as its keeper."""
    if name == "database" and chance.random() < 0.5:
        return embedded_server(plant.site).pid()
    return plant.supervisor.roles[name].pid
