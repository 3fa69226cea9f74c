"""How the child of an isolated source is started, measured and killed: what a process and a container do each in their way."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from trunkline.config.tags import SourceConfig
from trunkline.gateway.isolation.container import ContainerRunner
from trunkline.gateway.isolation.limits import Use
from trunkline.gateway.isolation.local import ProcessRunner
from trunkline.gateway.isolation.messages import Beat


class Runner(Protocol):
    """One child. It is used by one event loop; `wait` alone is called from another thread."""

    @property
    def title(self) -> str:
        """What it is called in texts, for example 'process 4711'."""

    @property
    def pid(self) -> int:
        """Process id on this machine; 0 before the start."""

    @property
    def folder(self) -> str:
        """The source's folder as the child sees it."""

    @property
    def held(self) -> bool:
        """Whether the kernel keeps it within its limits."""

    @property
    def fetching(self) -> int:
        """Looks by which a start may take longer, because what is started is fetched first."""

    @property
    def use(self) -> Use:
        """What it used at the last look."""

    async def prepare(self) -> None:
        """Do what may take time before the start, while others may start. Raises SourceUnavailable."""

    async def start(self) -> tuple[socket.socket, IO[bytes]]:
        """Start it. Returns the line to it and what it prints. Raises SourceUnavailable."""

    def look(self, now: float, beat: Beat) -> str | None:
        """Take a look; return in words what is too much, or None.

        Args:
            now: seconds, of a clock that never steps.
            beat: its last sign of life.
        """

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""

    def wait(self, seconds: float | None) -> int:
        """Wait for its end; return its exit status, or the negative number of the signal. Raises subprocess.TimeoutExpired."""

    def cause(self, code: int, said: Sequence[str]) -> str | None:
        """Return in words why it ended where more is known than its exit status.

        Args:
            code: as `wait` returned it.
            said: its last lines.
        """

    def clear(self) -> None:
        """Take away what it leaves behind, once it has ended."""


def runner_for(config: SourceConfig, gateway: str, directory: Path) -> Runner:
    """Return what runs a source's child as its section wants it.

    Args:
        config: the source's section.
        gateway: id of the gateway.
        directory: the source's folder.
    """
    if config.container is not None:
        return ContainerRunner(config.id, config.container, config.resources, gateway, directory)
    return ProcessRunner(config.id, config.resources, directory)
