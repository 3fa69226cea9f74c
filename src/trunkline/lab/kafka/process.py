"""A Java program as a process: started, stopped, killed, paused."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from trunkline.lab.kafka import child

_STOP_SECONDS: Final = 60.0
_TAIL_BYTES: Final = 2000

# A child dies with the *thread* that started it (prctl(2), PR_SET_PDEATHSIG), so one that lives as long as this process starts them all.
_starter: Final = ThreadPoolExecutor(1, thread_name_prefix="kafka-starter")


class JavaProcess:
    """A program that does not outlive this process.

    Args:
        directory: where it runs.
        log: file that its output is added to.

    Attributes:
        command: what runs it; set before it is started.
    """

    def __init__(self, directory: Path, log: Path) -> None:
        self.directory = directory
        self.log = log
        self.command: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def spawn(self) -> None:
        """Start the process and do not wait. Does nothing while it runs."""
        if self.pid is None:
            self._process = _starter.submit(self._spawn).result()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, also to one that is paused, and do not wait."""
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)

    def wait_stopped(self) -> None:
        """Wait for the end of one that was asked to stop; kill it if it takes more than a minute."""
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
        """Let one that is paused go on (SIGCONT)."""
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
