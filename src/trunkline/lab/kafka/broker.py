"""One node of a cluster as a process: started, stopped, killed, paused."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from trunkline.lab.kafka import child
from trunkline.lab.kafka.settings import HOST
from trunkline.model.errors import TrunklineError

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_TAIL_BYTES: Final = 2000

# A child dies with the *thread* that started it (prctl(2), PR_SET_PDEATHSIG), so one that lives as long as this process starts them all.
_starter: Final = ThreadPoolExecutor(1, thread_name_prefix="kafka-starter")


class BrokerFailed(TrunklineError):
    """A broker did not start, or ended by itself; the text has the end of its log."""


class Broker:
    """A node; `Cluster` writes its settings and formats its data.

    Args:
        node_id: its number in the cluster, from 1.
        directory: its folder; its output goes to broker.log in it.
        port: where it listens for clients.

    Attributes:
        command: what runs it; set before it is started.
    """

    def __init__(self, node_id: int, directory: Path, port: int) -> None:
        self.node_id = node_id
        self.directory = directory
        self.port = port
        self.log = directory / "broker.log"
        self.command: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients reach it, host:port."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def spawn(self) -> None:
        """Start the process; `wait_open` tells when it listens. Does nothing while it runs."""
        if self.pid is None:
            self._process = _starter.submit(self._spawn).result()

    def wait_open(self) -> None:
        """Wait until it accepts connections of clients.

        Raises:
            BrokerFailed: it ended, or does not listen after two minutes.
        """
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self.pid is None:
                raise BrokerFailed(f"Kafka broker {self.node_id} ended while starting; {self.tail()}")
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise BrokerFailed(f"Kafka broker {self.node_id} does not listen on {self.address}; {self.tail()}")
            time.sleep(_POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, also to one that is paused, and do not wait."""
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)

    def wait_stopped(self) -> None:
        """Wait for the end of a broker that was asked to stop; kill it if it takes more than a minute."""
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in an orderly way; safe to call at any time, more than once."""
        self.ask_to_stop()
        self.wait_stopped()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        self._send(number)
        if self._process:
            self._process.wait()

    def pause(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP), as a machine that hangs would."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on (SIGCONT)."""
        self._send(signal.SIGCONT)

    def tail(self) -> str:
        """Return the end of its log as the end of a sentence."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                said = file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            said = ""
        return f"its log {self.log} ends:\n{said}" if said else f"its log {self.log} is empty"

    def _spawn(self) -> "subprocess.Popen[bytes]":
        launcher = [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), *self.command]
        with self.log.open("ab") as out:
            # a group of its own: the interrupt key of a terminal is for whoever started it, who then stops it in order
            return subprocess.Popen(launcher, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def _send(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
