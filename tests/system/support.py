"""A site as users run it: `trunkline up` in a process of its own, everything else asked through the product's own doors."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

from trunkline.config.loading import Site, load
from trunkline.historian.account import settled
from trunkline.lab.ports import free_ports
from trunkline.ledger.balance import Balance
from trunkline.log.opening import layout_of
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.status import RoleStatus, read_status
from trunkline.supervisor.wiring import account, embedded_server, site_log

T = TypeVar("T")

#: Longest wait for anything; only a failing test waits that long.
PATIENCE = 60.0
TRUNKLINE = [sys.executable, "-m", "trunkline.cli.entry"]

SIMULATED = """\
site: test
log: {{partitions: 2}}
api: {{port: {api}}}
gateways:
  - id: gw1
    admin_port: {admin}
    sources:
      - id: sim
        type: simulated
        interval_ms: 50
        tags:
          - {{path: P.A.U1.SINE, unit: bar, signal: {{shape: sine}}}}
          - {{path: P.A.U2.COUNT, kind: integer, signal: {{shape: counter}}}}
"""


def until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Wait until `condition` gives something true and return it; what is away for a moment is asked again."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            result = condition()
        except (RetryLater, Misconfigured) as error:  # a database that is still being made has no tables yet
            last = error
        else:
            if result:
                return result
            last = result
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what} (last: {last!r})")


def write_simulated_site(directory: Path) -> Path:
    """Write a site file of one simulated source on free ports."""
    api, admin = free_ports(2)
    file = directory / "site.yaml"
    file.write_text(SIMULATED.format(api=api, admin=admin))
    return file


def command(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a `trunkline` command to its end."""
    return subprocess.run([*TRUNKLINE, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=PATIENCE * 2, cwd=cwd)


def lines(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the JSON objects of a command's output: one a line and nothing else."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def words(text: str) -> str:
    """Return text without the line breaks that a narrow terminal makes."""
    return " ".join(text.split())


class RunningSite:
    """`trunkline up` of a site file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._up: subprocess.Popen[str] | None = None
        self._known: dict[int, psutil.Process] = {}

    @property
    def site(self) -> Site:
        """The site file as it is now."""
        return load(self.file)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.site.data_dir

    def start(self, *options: str) -> Self:
        """Start it in the background."""
        output = self.file.parent / "up.txt"
        with output.open("a") as target:
            self._up = subprocess.Popen(
                [*TRUNKLINE, "up", str(self.file), "--headless", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=target,
                text=True,
            )
        return self

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        assert self._up is not None
        return self._up.pid

    def roles(self) -> dict[str, RoleStatus]:
        """Return what this supervisor last said of its roles; every process ever named is remembered."""
        status = read_status(self.data / "run")
        if status is None or status.pid != self.pid:
            return {}
        for role in status.roles:
            if role.pid is not None and role.pid not in self._known and psutil.pid_exists(role.pid):
                self._known[role.pid] = psutil.Process(role.pid)
        return {role.role: role for role in status.roles}

    def role(self, name: str) -> RoleStatus:
        """Return a role once it runs."""

        def running() -> RoleStatus | None:
            found = self.roles().get(name)
            return found if found is not None and found.pid is not None and psutil.pid_exists(found.pid) else None

        found = until(running, f"{name} runs")
        assert found is not None
        return found

    def restart_role(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a role's process; return when the supervisor has started it again."""
        before = self.role(name)
        assert before.pid is not None
        os.kill(before.pid, how)
        until(lambda: (now := self.roles().get(name)) is not None and now.restarts > before.restarts and now.pid, f"{name} runs again")

    def wait_until_stored(self, readings: int = 1) -> Balance:
        """Return the ledger once the historian holds so many readings."""

        def stored() -> Balance | None:
            self._must_run()
            result = account(self.site, recount=False)
            return result if result.totals["stored"] >= readings else None

        found = until(stored, f"{readings} readings are stored")
        assert found is not None
        return found

    def settle(self) -> Balance:
        """Return the ledger once validation and the historian have read everything; for sites whose sources are at rest."""

        def at_rest() -> Balance | None:
            with site_log(self.site) as log:
                done = settled(log, layout_of(self.site.config.log))
            if not done or not account(self.site, recount=False).quiet:
                return None
            result = account(self.site)
            return result if result.quiet and result.balanced else None

        found = until(at_rest, "the ledger is quiet and balanced")
        assert found is not None
        return found

    def _must_run(self) -> None:
        assert self._up is not None
        assert self._up.poll() is None, (self.file.parent / "up.txt").read_text()

    def finish(self) -> tuple[int, str]:
        """Wait until it ends by itself; return exit status and standard output."""
        assert self._up is not None
        output, _ = self._up.communicate(timeout=PATIENCE * 2)
        return self._up.returncode, output

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the supervisor alone and return its exit status."""
        assert self._up is not None
        self.roles()
        self._up.send_signal(how)
        return self.finish()[0]

    def left_behind(self) -> list[str]:
        """Return the processes that outlived their supervisor, the database server included."""
        found = [process for process in self._known.values() if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        names = [" ".join(process.cmdline()[-4:]) for process in found]
        server = embedded_server(self.site).pid()
        return [*names, *([f"postgres {server}"] if server else [])]

    def close(self) -> None:
        """End everything, whatever state it is in."""
        if self._up is not None and self._up.poll() is None:
            self.end()
        try:
            until(lambda: not self.left_behind(), "no process is left behind", 30)
        except AssertionError:
            for process in self._known.values():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            embedded_server(self.site).stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
