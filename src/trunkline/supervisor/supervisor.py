"""`trunkline up`: every role of a site file as a process of its own."""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

import structlog

from trunkline.config.loading import Site
from trunkline.config.stamp import write_stamp
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.supervisor.holding import open_lock
from trunkline.supervisor.process import RoleProcess
from trunkline.supervisor.status import RoleStatus, SupervisorStatus, write_status

log = structlog.get_logger("trunkline.supervisor")

_TICK: Final = 0.1
_STATUS_EVERY: Final = 1.0
_STOP_SECONDS: Final = 20.0
#: Seconds that a role lets others go first. The page is of no use before there is data, and takes as long to load as the way of the data.
_DELAYS: Final = {"api": 2.0}
#: Roles that have nothing to do before brokers that start beside them are ready. Gateways have: they read and journal.
_NEED_THE_LOG: Final = frozenset({"historian", "worker", "evaluate", "notify", "api"})


def brokers_ready(data_dir: Path) -> Path:
    """Return the file that role 'kafka' makes once its brokers can be used."""
    return run_directory(data_dir) / "kafka.ready"


def role_commands(site: Site) -> dict[str, list[str]]:
    """Return each role's command by name, in the order in which they start; they stop the other way round."""
    run = [sys.executable, "-m", "trunkline.cli.entry", "run"]
    file = str(site.file)
    commands: dict[str, list[str]] = {}
    if site.config.lab is not None and site.config.lab.kafka_brokers:
        commands["kafka"] = [*run, "kafka", file]
    if site.config.log.edge is None:  # the rest of a site whose log is mirrored is at the centre
        commands |= _central_commands(site, run)
    for gateway in site.config.gateways:
        commands[f"gateway:{gateway.id}"] = [*run, "gateway", file, "--id", gateway.id]
    if site.config.lab is not None:
        commands["lab"] = [*run, "lab", file]
    return commands


def _central_commands(site: Site, run: list[str]) -> dict[str, list[str]]:
    """Return the roles that make history of what gateways read."""
    file = str(site.file)
    commands: dict[str, list[str]] = {}
    if not site.config.historian.dsn:
        commands["database"] = [*run, "database", file]
    for role, members in (("historian", site.config.historian.members), ("worker", site.config.validation.members)):
        for number in range(members):
            member = f"{role}-{number}"
            # the first is called as if it were alone, so that its name holds when others come and go
            commands[f"{role}:{member}" if number else role] = [*run, role, file, "--member", member]
    if site.config.evaluates:
        commands["evaluate"] = [*run, "evaluate", file]
    if site.config.notifications.channels:
        commands["notify"] = [*run, "notify", file]
    commands["api"] = [*run, "api", file]
    return commands


class Supervisor:
    """Starts the roles, restarts what dies, stops all in order.

    Args:
        site: the site to run.

    Raises:
        Misconfigured: another supervisor runs this data directory, it holds the data of another site, or it cannot be written.
    """

    def __init__(self, site: Site) -> None:
        self._run_dir = run_directory(site.data_dir)
        self._lock = self._take_lock()
        write_stamp(site.data_dir, site.config)
        logs = site.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        commands = role_commands(site)
        ready = brokers_ready(site.data_dir)
        ready.unlink(missing_ok=True)
        self.roles = {
            name: RoleProcess(
                name,
                command,
                logs / f"{name.replace(':', '-')}.log",
                _DELAYS.get(name, 0.0),
                after=ready if "kafka" in commands and name.partition(":")[0] in _NEED_THE_LOG else None,
            )
            for name, command in commands.items()
        }

    def _take_lock(self) -> IO[str]:
        file = open_lock(self._run_dir.parent, "supervisor")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise Misconfigured(
                f"{self._run_dir.parent} is in use by another 'trunkline up': stop it first, or use another data_dir"
            ) from None
        return file

    def run(self, stop: Callable[[], bool], each_second: Callable[["Supervisor"], None]) -> None:
        """Tend the roles until `stop` returns True; `each_second` shows the state."""
        told = 0.0
        while not stop():
            for role in self.roles.values():
                before = role.restarts
                role.tend()
                if role.restarts > before:
                    log.warning("role died and is started again", role=role.name, exit_code=role.last_exit, restarts=role.restarts)
            if time.monotonic() - told >= _STATUS_EVERY:
                told = time.monotonic()
                self.report()
                each_second(self)
            time.sleep(_TICK)

    def tend(self) -> None:
        """Start and restart once what should run: for callers with a loop of their own."""
        for role in self.roles.values():
            role.tend()

    def status(self) -> SupervisorStatus:
        """Return the state of every role."""
        roles = [
            RoleStatus(role.name, role.pid, role.state, role.since_us, role.restarts, role.rss_bytes()) for role in self.roles.values()
        ]
        return SupervisorStatus(os.getpid(), times.now(), roles)

    def report(self) -> None:
        """Write the state to its file."""
        write_status(self._run_dir, self.status())

    def stop(self, names: Sequence[str] | None = None) -> list[str]:
        """Stop roles in the reverse order of their start; return those that had to be killed."""
        killed = []
        for name in reversed(self.roles if names is None else [name for name in self.roles if name in names]):
            if not self.roles[name].stop(_STOP_SECONDS):
                killed.append(name)
                log.error("role did not stop in time and was killed", role=name)
        self.report()
        return killed

    def close(self) -> None:
        """Let another supervisor have the data directory."""
        self._lock.close()


def run_directory(data_dir: Path) -> Path:
    """Return where the status file is."""
    return data_dir / "run"
