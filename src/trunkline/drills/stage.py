"""The processes of a drill: the edge, which is killed and started again, and the site behind its link."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from trunkline.config.loading import Site
from trunkline.drills.alarms import acknowledged_alarms
from trunkline.drills.edge import acknowledged
from trunkline.drills.plan import Folder
from trunkline.drills.powercut import cut_power
from trunkline.drills.watch import counts, disk
from trunkline.gateway.damage import lost_ranges
from trunkline.gateway.edge import READ
from trunkline.gateway.outbox import Outbox
from trunkline.historian.account import settled
from trunkline.ledger.balance import Balance
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category
from trunkline.supervisor.holding import SUPERVISED
from trunkline.supervisor.process import RoleProcess
from trunkline.supervisor.supervisor import role_commands
from trunkline.supervisor.wiring import account, site_log

#: Of the site, in the order in which they start.
_ROLES: Final = ("database", "historian", "worker")
_STOP_SECONDS: Final = 30.0


class DrillFailed(Exception):
    """The drill cannot go on: the edge ended by itself, or the site does not come up."""


class EdgeJournal:
    """The edge's journal, looked at from outside; it can be let go of while its files change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal: Journal | None = None

    def counts(self, of: Category = Category.TELEMETRY) -> dict[str, int]:
        """Return how many readings, or alarms, it has taken in, sent on and given up."""
        return counts(self._opened(), of)

    def waiting_records(self) -> int:
        """Return how many records it still has that wait to be sent."""
        journal = self._opened()
        lanes = Outbox(journal).lanes.items()
        return sum(lane.waiting(*journal.bounds(at.topic)[at]) for at, lane in lanes)

    def damaged(self) -> bool:
        """Return whether it says that it lost records."""
        return bool(lost_ranges(self._opened()))

    def _opened(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.path)
        return self._journal

    def disk(self) -> int:
        """Return the bytes of its files."""
        return disk(self.path)

    def close(self) -> None:
        """Let go of it."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()


class Edge:
    """The edge process of a drill.

    Args:
        folder: of the drill.
        journal: the edge's journal.
        power: what picks what a power cut takes, if kills are power cuts.
        lying: the disk of those cuts lies about what it has synced.
        module: what is run.

    Attributes:
        kills: how often it was killed.
        forgotten: readings that were acknowledged and not there after a kill.
        forgotten_alarms: the same for alarms.
        torn: bytes that power cuts took.
    """

    def __init__(
        self,
        folder: Folder,
        journal: EdgeJournal,
        power: random.Random | None = None,
        *,
        lying: bool = False,
        module: str = "trunkline.drills.edge",
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._power = power
        self._lying = lying
        self._module = module
        self._output = (folder.path / "edge.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        self.forgotten = 0
        self.forgotten_alarms = 0
        self.torn = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", self._module, str(self._folder.path)]
        environment = {**os.environ, SUPERVISED: str(os.getpid())}
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, start_new_session=True, env=environment
        )

    def look(self) -> None:
        """Raise DrillFailed when it ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            raise DrillFailed(f"the edge ended by itself with exit code {code}: see {self._output.name}")

    def kill(self) -> None:
        """Kill it by SIGKILL, or cut its power, see that everything it acknowledged is in its journal, and start it again."""
        if self._process is None:
            raise DrillFailed("the edge does not run")
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1
        if self._power is not None:
            # the outside look must not repair anything: what it closes is not what is looked at afterwards
            image = self._folder.path / "power"
            self.torn += cut_power(self._journal.path, image, self._power, self._journal.close, lying=self._lying)
        self.forgotten += max(0, acknowledged(self._folder) - self._journal.counts()[READ])
        self.forgotten_alarms += max(0, acknowledged_alarms(self._folder) - self._journal.counts(Category.ALARM)[READ])
        self._folder.acknowledged.unlink(missing_ok=True)  # counted: from here on, what the next start acknowledges
        self.start()

    def stop(self) -> None:
        """Stop it in order; it forwards what it can."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise DrillFailed(f"the edge did not stop within {_STOP_SECONDS:g} s: see {self._output.name}") from None

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._output.close()


class Centre:
    """Database, validation and historian of a drill's site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        logs = site.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        commands = role_commands(site)
        self.roles = [RoleProcess(name, commands[name], logs / f"{name}.log") for name in _ROLES]

    def tend(self) -> None:
        """Start what should run."""
        for role in self.roles:
            role.tend()

    def wait(self, what: str, until: Callable[[], bool], seconds: float) -> None:
        """Tend the roles until something holds. Raises DrillFailed when it does not in time."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise DrillFailed(f"{what} took longer than {seconds:g} s: see {self._site.data_dir / 'logs'}")
            self.tend()
            time.sleep(0.2)

    def settled(self) -> bool:
        """Return whether validation and the historian have read everything there is."""
        try:
            with site_log(self._site) as log:
                return settled(log, layout_of(self._site.config.log))
        except RetryLater:
            return False

    def account(self, seconds: float) -> Balance:
        """Balance the ledger. Raises DrillFailed when the database stays away."""
        found: list[Balance] = []

        def balanced() -> bool:
            try:
                found.append(account(self._site))
            except RetryLater:
                return False
            return True

        self.wait("the ledger", balanced, seconds)
        return found[-1]

    def close(self) -> None:
        """Stop every role in order."""
        for role in reversed(self.roles):
            role.stop(_STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
