"""Faults from a seed, for a plant on Kafka: SIGKILL and SIGSTOP of brokers, forwarder, validation, historian and PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from drills import points
from drills.stage import Stage, say
from trunkline.supervisor.wiring import embedded_server

#: Kinds of victims, as the drill counts them. The gateway is the forwarder, the worker the validation step.
VICTIMS: Final = ("broker", "gateway", "worker", "historian", "database")
_HANG: Final = (0.5, 6.0)
_PATIENCE: Final = 60.0


class Nemesis:
    """Does harm, and counts it.

    Args:
        plant: the running plant; its historian must run under `drills.points`.
        folder: where orders to the historian lie.
        seed: of every choice.

    Attributes:
        longest_hang: seconds that any process hung at most.
    """

    def __init__(self, plant: Stage, folder: Path, seed: int) -> None:
        self._plant = plant
        self._folder = folder
        self._chance = random.Random(seed)
        self._hanging: list[tuple[float, float, psutil.Process]] = []
        self.longest_hang = 0.0
        self.kills: Counter[str] = Counter()
        self.hangs: Counter[str] = Counter()
        self.points: Counter[str] = Counter()

    def rage(self, kills: int, pause: float, readings: int) -> None:
        """Kill so often, and on until so many readings are stored but not twice as often; let processes hang in between."""
        while (done := self.kills.total()) < kills or (done < 2 * kills and self._plant.stored_readings() < readings):
            self._plant.tend(self._chance.uniform(0.2, 2 * pause - 0.2))
            self._wake(all_of_them=False)
            victim = self._chance.choice(VICTIMS)
            if self._chance.random() < 0.25:
                self._hang(victim)
            elif victim == "historian" and self._chance.random() < 0.6:
                self.kill_at(self._chance.choice(points.POINTS))
            else:
                self._kill(victim)
        self._wake(all_of_them=True)

    def kill_at(self, point: points.Point) -> None:
        """Have the historian killed at a point of storing."""
        points.order(self._folder, point, signal.SIGKILL)
        if self._plant.tend(_PATIENCE, lambda: not points.pending(self._folder)):
            self._count("historian")
            self.points[point] += 1
        else:
            points.withdraw(self._folder)

    def replace_while_hanging(self) -> bool:
        """Let the historian hang before it stores, let another take over as on another machine, then let the first go on.

        Returns whether the other one stored something meanwhile; only then has the first become a zombie.
        """
        points.order(self._folder, "before-store", signal.SIGSTOP)
        if not self._plant.tend(_PATIENCE, lambda: not points.pending(self._folder)):
            points.withdraw(self._folder)
            return False
        zombie = self._processes("historian")[0]
        before = self._plant.stored_readings()
        with self._rival():
            stored = self._plant.tend(_PATIENCE, lambda: self._plant.stored_readings() > before, 0.5)
            zombie.send_signal(signal.SIGCONT)
            self._plant.tend(3.0)
        return stored

    @contextmanager
    def _rival(self) -> Iterator[None]:
        command = [sys.executable, "-m", "drills.points", str(self._folder), "--rival", "historian", str(self._plant.site.file)]
        log = self._plant.site.data_dir / "logs" / "historian-rival.log"
        with log.open("ab") as out:
            rival = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            yield
        finally:
            rival.terminate()
            try:
                rival.wait(30)
            except subprocess.TimeoutExpired:
                rival.kill()
                rival.wait()

    def _kill(self, victim: str) -> None:
        if processes := self._processes(victim):
            os.kill(self._chance.choice(processes).pid, signal.SIGKILL)
            self._count(victim)

    def _hang(self, victim: str) -> None:
        if processes := self._processes(victim):
            process = self._chance.choice(processes)
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            self._hanging.append((began, began + self._chance.uniform(*_HANG), process))
            self.hangs[victim] += 1

    def _wake(self, *, all_of_them: bool) -> None:
        now = time.monotonic()
        for began, until, process in list(self._hanging):
            if all_of_them or now >= until:
                self._hanging.remove((began, until, process))
                self.longest_hang = max(self.longest_hang, now - began)
                if process.is_running():
                    process.send_signal(signal.SIGCONT)

    def _count(self, victim: str) -> None:
        self.kills[victim] += 1
        if self.kills.total() % 20 == 0:
            say(f"{self.kills.total()} kills")

    def _processes(self, victim: str) -> list[psutil.Process]:
        """Return the processes of a kind; for the database its keeper and the server itself."""
        roles = self._plant.supervisor.roles
        if victim == "broker":
            return broker_processes(roles["kafka"].pid)
        pids = [role.pid for name, role in roles.items() if name.partition(":")[0] == victim]
        if victim == "database":
            pids.append(embedded_server(self._plant.site).pid())
        return [psutil.Process(pid) for pid in pids if pid is not None and psutil.pid_exists(pid)]


def broker_processes(role: int | None) -> list[psutil.Process]:
    """Return the brokers that role 'kafka' runs, in the order of their numbers."""
    found: dict[str, psutil.Process] = {}
    try:
        for child in psutil.Process(role).children() if role is not None else ():
            config = (child.cmdline() or [""])[-1]
            if config.endswith("server.properties"):
                found[config] = child
    except psutil.NoSuchProcess:
        return []
    return [found[config] for config in sorted(found)]
