"""One role as a child process: started, watched, restarted with growing pauses, stopped in order."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from trunkline.model import times
from trunkline.supervisor.holding import SUPERVISED

FIRST_PAUSE: Final = 0.2
LAST_PAUSE: Final = 15.0
#: A role that ran this long starts again without a pause.
HEALTHY_SECONDS: Final = 5.0


class RoleProcess:
    """A role's process.

    Args:
        name: of the role, for example 'gateway:gw1'.
        command: what to run.
        log_file: where its output goes, appended.
        delay: seconds until it is started for the first time.
        after: a file that must be there before it is started for the first time.
    """

    def __init__(self, name: str, command: Sequence[str], log_file: Path, delay: float = 0.0, after: Path | None = None) -> None:
        self.name = name
        self.command = list(command)
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._not_before = time.monotonic() + delay
        self._after = after
        self._pause = FIRST_PAUSE
        self.since_us = times.now()
        self.restarts = 0
        self.last_exit: int | None = None
        self.wanted = True

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def state(self) -> str:
        """'starting' (for the first time, soon), 'running', 'failing' (it died and waits to be started again) or 'stopped'."""
        if self._process is not None:
            return "running"
        if not self.wanted:
            return "stopped"
        return "failing" if self._started else "starting"

    def tend(self) -> None:
        """Start the process if it should run and does not; notice when it died."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            self.last_exit = code
            self.since_us = times.now()
            self.restarts += 1
            if now - self._started > HEALTHY_SECONDS:
                self._pause = FIRST_PAUSE
            self._not_before = now + self._pause
            self._pause = min(self._pause * 2, LAST_PAUSE)
        if self.wanted and now >= self._not_before and self._may_start():
            self._start()

    def _may_start(self) -> bool:
        if self._after is not None and not self._after.exists():
            return False
        self._after = None
        return True

    def _start(self) -> None:
        environment = {**os.environ, SUPERVISED: str(os.getpid())}
        with self._log_file.open("ab") as output:
            # a session of its own: Ctrl-C goes to the supervisor alone, which then stops the roles in order
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment
            )
        self._started = time.monotonic()
        self.since_us = times.now()

    def stop(self, timeout: float) -> bool:
        """Ask the process to stop and wait; after `timeout` seconds it is killed. Returns whether it stopped by itself."""
        self.wanted = False
        if self._process is None:
            return True
        self._process.send_signal(signal.SIGTERM)
        try:
            self.last_exit = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.last_exit = self._process.wait()
            return False
        else:
            return True
        finally:
            self._process = None
            self.since_us = times.now()

    def rss_bytes(self) -> int:
        """Return the resident memory of the process and its children; 0 when it does not run."""
        if self._process is None:
            return 0
        try:
            process = psutil.Process(self._process.pid)
            return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
        except psutil.Error:
            return 0

    def last_words(self, lines: int = 8) -> str:
        """Return the end of the log file, to show why a role died."""
        try:
            text = self._log_file.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
