"""The Kafka drills: three secured brokers under a running plant, faults of five kinds, then everything is compared.

kafka                faults from a seed; historian kills forced at every point of storing; zombies
kafka-early          the historian stores positions before the data: must be caught
kafka-unfenced       the historian does not look whether it was replaced: must be caught
kafka-brokers-lost   one broker lost, then two: full service, then refused writes, then recovery by itself (PD-20)
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal

from drills import points
from drills.checker import check, figures
from drills.nemesis import Nemesis, broker_processes
from drills.sabotage import GAP_FILE
from drills.stage import Stage, say, stage
from trunkline.ledger.balance import unbalanced
from trunkline.supervisor.wiring import conninfo

Sabotage = Literal["positions-before-data", "no-fencing"]

#: 239 units of seven tags every 335 ms: about 5,000 readings a second.
FULL: Final = {"units": 239, "period_ms": 335, "kills": 300, "pause": 3.0, "zombies": 5, "readings": 5_000_000}
SHORT: Final = {"units": 24, "period_ms": 335, "kills": 12, "pause": 1.0, "zombies": 1, "readings": 0}
SMALL: Final = {"units": 24, "period_ms": 335}
_BROKERS: Final = 3
_START_SECONDS: Final = 120.0
_RECOVERY_SECONDS: Final = 240.0


def run(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Harm and compare."""
    size = SHORT if short else FULL
    started = time.monotonic()
    with _plant(size, seed, keep, "kafka") as (plant, folder):
        nemesis = Nemesis(plant, folder, seed)
        for point in points.POINTS:
            nemesis.kill_at(point)
        zombies = sum(nemesis.replace_while_hanging() for _ in range(int(size["zombies"])))
        nemesis.rage(int(size["kills"]), float(size["pause"]), int(size["readings"]))
        result, fine = _compared(plant, nemesis.longest_hang)
    return {
        "drill": "kafka",
        "seed": seed,
        "kills": nemesis.kills.total(),
        "by_victim": dict(nemesis.kills),
        "hangs": dict(nemesis.hangs),
        "points": dict(nemesis.points),
        "zombies": zombies,
        "seconds": round(time.monotonic() - started, 1),
        **result,
        "passed": fine and set(nemesis.points) == set(points.POINTS) and zombies > 0,
    }


def run_early(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """A historian that commits its positions before the data."""
    del short  # it has one form

    def harm(plant: Stage, _: Path) -> None:
        gap = Path(os.environ[GAP_FILE])
        if not plant.tend(_START_SECONDS, gap.exists):
            raise RuntimeError("the sabotaged historian never stored anything")
        pid = plant.supervisor.roles["historian"].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        gap.unlink(missing_ok=True)

    def sabotage(plant: Stage, _: Path) -> list[str]:
        os.environ[GAP_FILE] = str(plant.site.data_dir / "run" / "data-behind-positions")
        return [sys.executable, "-m", "drills.sabotage", "historian", str(plant.site.file)]

    return _sabotaged("kafka-early", "positions-before-data", seed, keep, sabotage, harm)


def run_unfenced(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """A historian that does not look whether another one took over."""
    del short  # it has one form

    def harm(plant: Stage, folder: Path) -> None:
        if not Nemesis(plant, folder, seed).replace_while_hanging():
            raise RuntimeError("no other historian took over: there was no zombie")

    def sabotage(plant: Stage, folder: Path) -> list[str]:
        return [sys.executable, "-m", "drills.points", str(folder), "--unfenced", "historian", str(plant.site.file)]

    return _sabotaged("kafka-unfenced", "no-fencing", seed, keep, sabotage, harm)


def run_brokers_lost(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Let one broker hang, then a second: what is stored goes on, then stands still while the edge keeps everything, then catches up."""
    pause = 10.0 if short else 60.0
    started = time.monotonic()
    with _plant(SMALL, seed, keep, "kafka-brokers-lost") as (plant, _):
        brokers = broker_processes(plant.supervisor.roles["kafka"].pid)
        first, second = brokers[seed % _BROKERS], brokers[(seed + 1) % _BROKERS]
        try:
            first.send_signal(signal.SIGSTOP)
            before = plant.stored_readings()
            served = plant.tend(_RECOVERY_SECONDS, lambda: plant.stored_readings() > before + 100, 0.5)
            second.send_signal(signal.SIGSTOP)
            plant.tend(pause)
            refused = plant.waiting() > 0
            stood_still = plant.stored_readings()
            plant.tend(5.0)
            stood_still = plant.stored_readings() - stood_still
        finally:
            for broker in (first, second):
                broker.send_signal(signal.SIGCONT)
        result, fine = _compared(plant)
    return {
        "drill": "kafka-brokers-lost",
        "seed": seed,
        "kills": 0,
        "seconds": round(time.monotonic() - started, 1),
        "one_lost_served": served,
        "two_lost_waited_at_the_edge": refused,
        "two_lost_stored": stood_still,
        **result,
        "passed": fine and served and refused and not stood_still,
    }


@contextmanager
def _plant(
    size: dict[str, Any], seed: int, keep: str | None, name: str, sabotage: Callable[[Stage, Path], list[str]] | None = None
) -> Iterator[tuple[Stage, Path]]:
    """Start a plant whose historian obeys orders; yields it with the folder of orders once data flows."""
    with (
        nullcontext(f"{keep}-{name}") if keep else tempfile.TemporaryDirectory(prefix="trunkline-drill-") as directory,
        stage(Path(directory), units=int(size["units"]), period_ms=int(size["period_ms"]), seed=seed, brokers=_BROKERS) as plant,
    ):
        folder = plant.site.data_dir / "orders"
        folder.mkdir(parents=True, exist_ok=True)
        honest = [sys.executable, "-m", "drills.points", str(folder), "historian", str(plant.site.file)]
        plant.supervisor.roles["historian"].command = sabotage(plant, folder) if sabotage else honest
        plant.wait_until_flowing(_START_SECONDS)
        yield plant, folder


def _sabotaged(
    name: str,
    sabotage: Sabotage,
    seed: int,
    keep: str | None,
    command: Callable[[Stage, Path], list[str]],
    harm: Callable[[Stage, Path], None],
) -> dict[str, Any]:
    started = time.monotonic()
    with _plant(SMALL, seed, keep, name, command) as (plant, folder):
        harm(plant, folder)
        result, fine = _compared(plant)
    return {
        "drill": name,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        **result,
        "sabotage": sabotage,
        "caught": not fine,
        "passed": not fine,
    }


def _compared(plant: Stage, hung: float = 0.0) -> tuple[dict[str, Any], bool]:
    """Let everything settle and compare; returns what was found, and whether nothing is wrong. `hung`: see `check`."""
    plant.recover(seconds=_RECOVERY_SECONDS)
    balance = plant.finish()
    say("comparing journal, dead letters, historian and ground truth")
    findings = check(plant.site, conninfo(plant.site), plant.truth, hung=hung)
    for example in (*findings.examples, *unbalanced(balance)[:5]):
        say(example)
    return figures(findings, balance), findings.clean and balance.balanced and balance.quiet
