"""Members come and go in mid-stream: 1, then 5, then 1 historian, and as many workers as it takes; nothing but speed may change (P-115).

kafka-scale            everything acknowledged is stored once, in order, and equal to what a single historian makes of the same log
kafka-scale-unfenced   members that do not look whether their share went to another: must be caught

Members are killed at every point of storing, and one hangs until the others have its share. The killed keep their names, so that their
share waits for them; the one that hung is a zombie when it goes on.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil

from bench.peers import readings as making
from drills import points
from drills.checker import inversions
from drills.flow import PARTITIONS, Flow, Writer, flow, positions
from drills.stage import say
from drills.told import compare, digest, told_by
from trunkline.ledger.balance import unbalanced
from trunkline.log.following import partitions_of
from trunkline.log.opening import layout_of
from trunkline.log.port import Positions
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.reading import Category
from trunkline.supervisor.wiring import account, conninfo, site_log

#: Readings at most, readings a second, rounds of 1, 5 and 1 members, kills at random in each.
FULL: Final = {"readings": 6_000_000, "rate": 20_000, "rounds": 3, "kills": 15}
SHORT: Final = {"readings": 1_500_000, "rate": 10_000, "rounds": 1, "kills": 2}
MEMBERS: Final = {"historian": 5, "worker": 2}
_TAGS: Final = 500
_PATIENCE: Final = 120.0
_ORDERS: Final = "orders"


class Harm:
    """Kills members and lets them hang, and counts it.

    Args:
        on: the site; its historians run under `drills.points`.
        folder: where orders to them lie.
        seed: of every choice.
    """

    def __init__(self, on: Flow, folder: Path, seed: int) -> None:
        self._on = on
        self._folder = folder
        self._chance = random.Random(seed)
        self.kills = 0

    def kill_at(self, point: points.Point) -> None:
        """Have whichever historian gets there first killed at a point of storing."""
        points.order(self._folder, point, signal.SIGKILL)
        self._on.require(lambda: not points.pending(self._folder), f"a historian gets to '{point}'")
        self.kills += 1

    def kill(self, role: str) -> None:
        """Kill one member of a role."""
        self._on.plant.tend(self._chance.uniform(0.2, 2.0))
        if pids := self._on.pids(role):
            os.kill(self._chance.choice(pids), signal.SIGKILL)
            self.kills += 1

    def make_zombie(self, members: int) -> None:
        """Let one of so many historians hang before it stores; once the others have its share and stored more, let it go on."""
        points.order(self._folder, "before-store", signal.SIGSTOP)
        self._on.require(lambda: not points.pending(self._folder), "a historian hangs")
        (zombie,) = [one for one in map(psutil.Process, self._on.pids("historian")) if one.status() == psutil.STATUS_STOPPED]
        self._on.wait_for_shares("historian", members - 1)
        database = conninfo(self._on.site)
        before = sum(positions(database).values())
        self._on.require(lambda: sum(positions(database).values()) > before + PARTITIONS, "the others store what it had")
        zombie.send_signal(signal.SIGCONT)
        self._on.wait_for_shares("historian", members)


def run(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Scale, harm and compare."""
    return _drill("kafka-scale", SHORT if short else FULL, seed, keep)


def run_unfenced(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """The same with members that store whether or not their share went to another."""
    del short  # it has one form
    return _drill("kafka-scale-unfenced", SHORT, seed, keep, sabotage="no-fencing")


def _drill(name: str, size: dict[str, int], seed: int, keep: str | None, *, sabotage: str = "") -> dict[str, Any]:
    started = time.monotonic()

    def command(role: str, usual: list[str]) -> list[str]:
        if not role.startswith("historian"):
            return usual
        folder = Path(usual[usual.index("historian") + 1]).parent / _ORDERS
        return [sys.executable, "-m", "drills.points", str(folder), *(["--unfenced"] if sabotage else []), *usual[usual.index("run") + 1 :]]

    made = making.make(int(size["readings"]), _TAGS, PARTITIONS, seed)
    with flow(name, keep, made.tags, command) as on:
        folder = on.folder / _ORDERS
        folder.mkdir(exist_ok=True)
        harm = Harm(on, folder, seed)
        layout = layout_of(on.site.config.log)
        raw, clean = (layout.topic(Category.TELEMETRY, stage) for stage in ("raw", "clean"))
        on.require(lambda: bool(on.shares("historian")) and bool(on.shares("worker")), "the roles run", _PATIENCE)
        writer = Writer(on.site, raw, making.blocks(made), size["rate"] / making.BLOCK)
        writer.start()
        shares = [_round(on, harm, size, zombie=turn == 0, only_zombie=bool(sabotage)) for turn in range(int(size["rounds"]))]
        written = writer.finish()
        on.tell_ledger(written)
        on.require(on.settled, "everything is stored")
        say("comparing what was acknowledged with what is stored")
        found = compare(told_by(written), conninfo(on.site))
        with site_log(on.site) as log:
            turned = inversions(log, clean)
            # records, not offsets: members end a transaction in every output when they start
            strange = sum(len(log.read(at, first)) for at, (first, _) in partitions_of(log, layout.topic(Category.EVENT, "clean")).items())
        balance = account(on.site)
        same = None if sabotage else _same_as_single(on)
    for example in (*found.examples, *unbalanced(balance)[:5]):
        say(example)
    fine = found.clean and not turned and not strange and balance.balanced and balance.quiet and same is not False
    result: dict[str, Any] = {
        "drill": name,
        "seed": seed,
        "kills": harm.kills,
        "zombies": 1,
        "members": [1, MEMBERS["historian"], 1],
        "shares": shares,
        "seconds": round(time.monotonic() - started, 1),
        "readings": sum(len(time) for time, _ in told_by(written).values()),
        **found.figures(),
        "inversions": turned,
        "false_events": strange,
        "ledger_balanced": balance.balanced,
    }
    if sabotage:
        return result | {"sabotage": sabotage, "caught": not fine, "passed": not fine}
    even = all(max(one) - min(one) <= 1 for one in shares)
    return result | {"same_as_single": same, "dealt_evenly": even, "passed": fine}


def _round(on: Flow, harm: Harm, size: dict[str, int], *, zombie: bool, only_zombie: bool) -> list[int]:
    """Go from 1 to 5 historians and back in mid-stream; return the partitions that each of the five had."""
    for role, members in MEMBERS.items():
        on.scale(role, members)
    shares = on.wait_for_shares("historian", MEMBERS["historian"])
    say(f"shares: {shares}")
    on.wait_for_shares("worker", MEMBERS["worker"])
    if zombie:
        harm.make_zombie(MEMBERS["historian"])
    if not only_zombie:
        for point in points.POINTS:
            harm.kill_at(point)
        for turn in range(int(size["kills"])):
            harm.kill("worker" if turn % 3 == 0 else "historian")
    for role in MEMBERS:
        on.scale(role, 1)
    on.wait_for_shares("historian", 1)
    on.wait_for_shares("worker", 1)
    return sorted(shares.values(), reverse=True)


def _same_as_single(on: Flow) -> bool:
    """Return whether one historian alone makes the same history of the same log."""
    on.plant.supervisor.stop(["historian"])
    single = on.second_history()
    command = [sys.executable, "-m", "trunkline.cli.entry", "run", "historian", str(single.file)]
    with (on.folder / "single.log").open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wanted = positions(conninfo(on.site))
            on.require(lambda: _reached(conninfo(single), wanted), "a single historian has read the same log", _PATIENCE)
        finally:
            process.terminate()
            process.wait()
    return digest(conninfo(on.site)) == digest(conninfo(single))


def _reached(database: str, wanted: Positions) -> bool:
    try:
        return positions(database) == wanted
    except (Misconfigured, RetryLater):  # its tables are being made
        return False
