"""`isolate: process`: a child of a source as a process beside the gateway, under the same user."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import structlog

from trunkline.config.tags import Resources
from trunkline.gateway.isolation.limits import Group, Meter, Use, delegated
from trunkline.gateway.isolation.messages import Beat
from trunkline.model.errors import SourceUnavailable

log = structlog.get_logger("trunkline.gateway")

#: Program of the child, whoever runs it.
MODULE: Final = "trunkline.gateway.isolation.child"
#: Set for every child: its libraries start no threads per processor, its words come at once.
ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class ProcessRunner:
    """A `Runner` of processes.

    Args:
        source: id of the source.
        resources: what it may use.
        directory: the source's folder.
    """

    fetching = 0

    def __init__(self, source: str, resources: Resources, directory: Path) -> None:
        self._source = source
        self._resources = resources
        self._popen: subprocess.Popen[bytes] | None = None
        self._group: Group | None = None
        self._meter: Meter | None = None
        self.folder = str(directory)

    @property
    def title(self) -> str:
        """'process' and its id."""
        return f"process {self.pid}"

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._popen.pid if self._popen is not None else 0

    @property
    def use(self) -> Use:
        """What it used at the last look."""
        return self._meter.use if self._meter is not None else Use()

    @property
    def held(self) -> bool:
        """Whether a control group holds it."""
        return self._group is not None

    async def prepare(self) -> None:
        """Nothing: a process needs no preparation."""

    async def start(self) -> tuple[socket.socket, IO[bytes]]:
        """Start the process, and put it into a control group where there may be one. Raises SourceUnavailable."""
        ours, theirs = socket.socketpair()
        try:
            # started by the loop's own thread: the kernel ends the process when that thread is gone (prctl(2))
            self._popen = subprocess.Popen(  # noqa: ASYNC220 - it returns as soon as the program is loaded
                [sys.executable, "-m", MODULE, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, **ENVIRONMENT},
            )
        except OSError as error:
            ours.close()
            raise SourceUnavailable(f"no process for source {self._source} can be started: {error}") from error
        finally:
            theirs.close()
        self._confine()
        self._meter = Meter(self.pid, self._resources, held=self.held)
        assert self._popen.stdout is not None
        return ours, self._popen.stdout

    def _confine(self) -> None:
        parent = delegated() if self._resources != Resources() else None
        if parent is None:
            return
        try:
            self._group = Group(parent, self._source, self._resources, self.pid)
        except OSError as error:
            log.warning("no control group for a source; the gateway watches it itself", source=self._source, error=str(error))

    def look(self, now: float, beat: Beat) -> str | None:
        """Look at the process from outside; what it says of itself does not count."""
        del beat
        assert self._meter is not None
        return self._meter.look(now)

    def kill(self) -> None:
        """Kill it and what it started."""
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def wait(self, seconds: float | None) -> int:
        """Wait for its end."""
        assert self._popen is not None
        return self._popen.wait(seconds)

    def cause(self, code: int, said: Sequence[str]) -> str | None:
        """The kernel's word, where it held the process."""
        del code, said
        if self._group is not None and self._group.out_of_memory():
            return "the kernel ended it: it wanted more memory than 'resources.memory' allows"
        return None

    def clear(self) -> None:
        """Take the control group away."""
        if self._group is not None:
            self._group.remove()
