"""`isolate: container`: a child of a source in a container of Docker or Podman, with the least access that its section names (D-7).

The engine's client carries the messages: its standard input and output are the line to the gateway. The client is not the container:
killing it ends nothing but the line. A container is therefore killed by name; one whose gateway was killed ends because its standard
input does, and what is left of it all the same is removed when its source starts again.
"""

import asyncio
import csv
import io
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import structlog

from trunkline.config.tags import Container, Resources
from trunkline.gateway.isolation.engine import ANSWER_SECONDS, Engine, find
from trunkline.gateway.isolation.limits import Gauge, Use
from trunkline.gateway.isolation.local import ENVIRONMENT, MODULE
from trunkline.gateway.isolation.messages import VERSION, Beat
from trunkline.model.errors import SourceUnavailable

log = structlog.get_logger("trunkline.gateway")

#: Looks by which a start may take longer when an image is fetched first.
FETCHING: Final = 900
#: User and group in the container where the gateway runs as root.
USER: Final = (10001, 10001)
#: Where the container sees the source's folder.
FOLDER: Final = "/var/lib/trunkline/source"
#: Processes and threads that a container may have: a protocol library takes some tens.
PIDS: Final = 256
#: What it may write to besides its own folder, in memory.
_SCRATCH: Final = "/tmp:rw,noexec,nosuid,nodev,size=64m"  # noqa: S108 - in the container, where it is its own
#: Seconds that the engine has for killing, until the client is given up.
_KILL_SECONDS: Final = 5.0
#: Exit statuses from here on are signals, as shells count them; docker-run(1).
_SIGNALS: Final = 128


class ContainerRunner:
    """A `Runner` of containers.

    Args:
        source: id of the source.
        container: how it is run.
        resources: what it may use.
        gateway: id of the gateway.
        directory: the source's folder on the machine.
    """

    held = True  # by the engine's control groups
    folder = FOLDER

    def __init__(self, source: str, container: Container, resources: Resources, gateway: str, directory: Path) -> None:
        self._container = container
        self._resources = resources
        self._directory = directory.resolve()
        self._labels = {"trunkline.gateway": gateway, "trunkline.source": source, "trunkline.folder": str(self._directory)}
        self._engine: Engine | None = None
        self._client: subprocess.Popen[bytes] | None = None
        self._killer: subprocess.Popen[bytes] | None = None
        self._heard = Beat()
        self._gauge = Gauge()
        self.name = f"trunkline-{gateway}-{source}"
        self.fetching = FETCHING if container.pull == "missing" else 0

    @property
    def title(self) -> str:
        """'container' and its name."""
        return f"container {self.name}"

    @property
    def pid(self) -> int:
        """Process id of the engine's client; 0 before the start."""
        return self._client.pid if self._client is not None else 0

    @property
    def use(self) -> Use:
        """What it used at the last look."""
        return self._gauge.use

    async def prepare(self) -> None:
        """Find the engine, and remove what a killed gateway left of this source. Raises SourceUnavailable."""
        self._engine = find(self._container.runtime)
        await asyncio.to_thread(self._remove_leftover, self._engine)

    async def start(self) -> tuple[socket.socket, IO[bytes]]:
        """Start the container. Raises SourceUnavailable; what the engine refuses comes later, as the child's end."""
        engine = self._engine
        assert engine is not None
        user = self._user()
        ours, theirs = socket.socketpair()
        line = theirs.fileno()
        try:
            # a session of its own: what a terminal sends to the gateway is the gateway's business
            self._client = subprocess.Popen(  # noqa: ASYNC220 - it returns as soon as the program is loaded
                [engine.program, *self.words(engine.name, user)], stdin=line, stdout=line, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            ours.close()
            raise SourceUnavailable(f"{engine.program} cannot be started: {error}") from error
        finally:
            theirs.close()
        assert self._client.stderr is not None
        return ours, self._client.stderr

    def words(self, engine: str, user: tuple[int, int]) -> list[str]:
        """Return the words of the command behind the client's name. None of them is a secret.

        Args:
            engine: docker or podman.
            user: numbers of user and group in the container.
        """
        container, memory, cpu = self._container, self._resources.memory, self._resources.cpu
        return [
            *("run", "--rm", "--interactive", "--name", self.name, "--pull", container.pull),
            *_repeated("--label", (f"{key}={value}" for key, value in self._labels.items())),
            *("--read-only", "--tmpfs", _SCRATCH, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--user", f"{user[0]}:{user[1]}", "--network", container.network, "--pids-limit", str(PIDS)),
            *(("--memory", str(memory), "--memory-swap", str(memory)) if memory is not None else ()),
            *(("--cpus", f"{cpu:g}") if cpu is not None else ()),
            *_repeated("--device", container.devices),
            *_repeated("--group-add", _groups(engine, container.devices)),
            *(("--userns", "keep-id") if engine == "podman" and os.geteuid() else ()),
            *_repeated("--mount", self._mounts()),
            *_repeated("--env", (f"{key}={value}" for key, value in {**ENVIRONMENT, "HOME": "/tmp"}.items())),  # noqa: S108
            *("--log-driver", "none", "--no-healthcheck", "--entrypoint", "python", container.image),
            *("-m", MODULE, "stdio", str(VERSION)),
        ]

    def _mounts(self) -> Iterator[str]:
        yield _bind(str(self._directory), FOLDER, read_only=False)
        for mount in self._container.mounts:
            yield _bind(mount.outside, mount.to, read_only=mount.read_only)

    def _user(self) -> tuple[int, int]:
        """Return who it is in the container. A gateway that is root hands the source's folder to that user."""
        if self._container.user:
            user, _, group = self._container.user.partition(":")
            wanted = int(user), int(group or user)
        else:
            wanted = (os.geteuid(), os.getegid()) if os.geteuid() else USER
        if os.geteuid() == 0:
            os.chown(self._directory, *wanted)
        return wanted

    def _remove_leftover(self, engine: Engine) -> None:
        """Remove what has this source's labels; a container that only has its name is not ours to remove."""
        filters = _repeated("--filter", (f"label={key}={value}" for key, value in self._labels.items()))
        for container in engine.ask("ps", "--all", "--quiet", "--no-trunc", *filters).split():
            log.warning("a container of an earlier gateway is removed", source=self._labels["trunkline.source"], container=container)
            engine.ask("rm", "--force", "--volumes", container)

    def look(self, now: float, beat: Beat) -> str | None:
        """Note what the container says it uses: the engine's control groups hold it to its limits, so nothing is ever too much."""
        if beat is not self._heard:
            self._heard = beat
            self._gauge.take(now, beat.rss_bytes, beat.cpu_seconds)
        return None

    def kill(self) -> None:
        """Have the engine kill the container; if that does not end the client soon, kill the client, too."""
        client, engine = self._client, self._engine
        if client is None or engine is None or client.poll() is not None or self._killer is not None:
            return
        quiet = subprocess.DEVNULL
        command = [engine.program, "kill", self.name]
        self._killer = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        asyncio.get_running_loop().call_later(_KILL_SECONDS, client.kill)

    def wait(self, seconds: float | None) -> int:
        """Wait for the end of the client, which tells how the container ended."""
        assert self._client is not None
        code = self._client.wait(seconds)
        if self._killer is not None:
            try:
                self._killer.wait(ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                self._killer.kill()
                self._killer.wait()
        return code if code < _SIGNALS else _SIGNALS - code

    def cause(self, code: int, said: Sequence[str]) -> str | None:
        """What the engine complained of, if the container never spoke; and what a kill out of nowhere may mean."""
        assert self._engine is not None
        assert self._client is not None
        if self._killer is not None:
            return None
        if self._client.returncode < 0:
            return f"its client, '{self._engine.name} run', was ended by {signal.Signals(-self._client.returncode).name}"
        if self._heard == Beat() and code > 0 and (why := self._engine.explain("\n".join(said), self._container.image)):
            return why
        if code == -signal.SIGKILL and self._resources.memory is not None:
            return "it was ended by SIGKILL, as the kernel does when one wants more memory than 'resources.memory' allows"
        return None

    def clear(self) -> None:
        """Nothing: `--rm` has the engine remove the container."""


def _repeated(option: str, values: Sequence[str] | Iterator[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def _bind(outside: str, to: str, *, read_only: bool) -> str:
    """Return a bind mount as `--mount` takes it: a row of CSV."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(["type=bind", f"source={outside}", f"target={to}", *(["readonly"] if read_only else [])])
    return row.getvalue()


def _groups(engine: str, devices: Sequence[str]) -> list[str]:
    """Return the groups that own the devices, without which a user other than root cannot open them."""
    owners = {Path(device.partition(":")[0]).stat().st_gid for device in devices if Path(device.partition(":")[0]).exists()}
    if engine == "podman" and os.geteuid() and owners:
        return ["keep-groups"]  # others' numbers mean nothing in a user namespace
    return [str(group) for group in sorted(owners - {0})]
