"""The MQTT broker of the lab: mosquitto where it is installed, else amqtt, as a child process on loopback.

Mosquitto keeps persistent sessions and their messages over an orderly restart (also over a SIGKILL of the lab, which takes the broker along
with SIGTERM), without limits on what it queues for an absent gateway. amqtt keeps them in memory only, which `durable` tells.
"""

import asyncio
import os
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import psutil

from trunkline.model.errors import Misconfigured

BrokerChoice: TypeAlias = Literal["auto", "mosquitto", "amqtt"]

HOST = "127.0.0.1"
_START_SECONDS = 20.0
_STOP_SECONDS = 20.0
_RESTART_SECONDS = 0.5
_POLL_SECONDS = 0.05


def find_mosquitto() -> str | None:
    """Return the path of mosquitto, also where only administrators usually look, or None."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
    return shutil.which("mosquitto", path=path)


class _Child(msgspec.Struct, frozen=True):
    """A broker process, told from a later one with the same id by the time of its birth."""

    pid: int
    born: float


class Broker:
    """Starts the broker and starts it again should it die.

    Args:
        directory: for its configuration, sessions and log.
        choice: which broker; 'auto' prefers mosquitto.

    Attributes:
        port: where it listens, loopback only; set by `start`, the same for its restarts.
        durable: whether it keeps sessions over its own orderly restart.

    Raises:
        Misconfigured: mosquitto was asked for and is not installed.
    """

    def __init__(self, directory: Path, choice: BrokerChoice = "auto") -> None:
        self._directory = directory
        self._mosquitto = None if choice == "amqtt" else find_mosquitto()
        if choice == "mosquitto" and self._mosquitto is None:
            raise Misconfigured("mosquitto is not installed: install it, or use the broker 'amqtt'")
        self.durable = self._mosquitto is not None
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with the end of its log when it does not."""
        self._directory.mkdir(parents=True, exist_ok=True)
        await self._outlive_predecessor()
        self.port = _free_port()
        await self._launch()
        self._watch = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """End it in an orderly way; safe to call at any time, more than once."""
        if self._watch:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def _launch(self) -> None:
        command = [sys.executable, "-m", "trunkline.lab.broker_process", str(os.getpid())]
        if self._mosquitto:
            command += ["mosquitto", self._mosquitto, str(self._write_config())]
        else:
            command += ["amqtt", str(self.port)]
        log = self._directory / "broker.log"
        with log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out)
        with suppress(psutil.NoSuchProcess):
            child = _Child(self._process.pid, psutil.Process(self._process.pid).create_time())
            (self._directory / "broker.json").write_bytes(msgspec.json.encode(child))
        for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
            if self._process.returncode is not None:
                break
            if await _answers(self.port):
                return
            await asyncio.sleep(_POLL_SECONDS)
        tail = log.read_text(errors="replace")[-500:]
        raise RuntimeError(f"the MQTT broker did not start; its log {log} ends: {tail}")

    async def _keep_running(self) -> None:
        while self._process:
            await self._process.wait()
            await asyncio.sleep(_RESTART_SECONDS)
            with suppress(RuntimeError):  # the next turn tries again
                await self._launch()

    async def _outlive_predecessor(self) -> None:
        """Wait for the broker of a lab that was killed: it may still be writing the sessions that this one is to read."""
        try:
            child = msgspec.json.decode((self._directory / "broker.json").read_bytes(), type=_Child)
            process = psutil.Process(child.pid)
            if abs(process.create_time() - child.born) > 1:
                return
            for _ in range(int(_STOP_SECONDS / _POLL_SECONDS)):
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    return
                await asyncio.sleep(_POLL_SECONDS)
            process.kill()
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError, psutil.NoSuchProcess):
            return

    def _write_config(self) -> Path:
        sessions = self._directory / "sessions"
        sessions.mkdir(exist_ok=True)
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {sessions.resolve()}/",
            "autosave_interval 30",
            # no limit: an absent gateway finds everything when it comes back
            "max_queued_messages 0",
            "max_inflight_messages 0",
            "sys_interval 0",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes 'mosquitto', who may not write here
        config = self._directory / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
