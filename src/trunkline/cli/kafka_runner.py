"""A process of ours that runs Kafka in a folder: started in the background, and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trunkline.cli.kafka_cluster import ready_file, runner
from trunkline.cli.output import fail, people, plain
from trunkline.lab.kafka import BrokerFailed

_START_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1


def start_detached(directory: Path, command: Sequence[str]) -> None:
    """Run `trunkline COMMAND` in the background and wait until what it runs is ready.

    Args:
        directory: the folder that it will hold; its output goes to up.log there.
        command: words after `trunkline`.

    Raises:
        BrokerFailed: it ended, or is not ready after five minutes.
    """
    if pid := runner(directory):
        fail(f"Kafka of {directory} is already running as process {pid}", 2)
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "up.log"
    with log.open("wb") as out:
        words = [sys.executable, "-m", "trunkline.cli.entry", *command]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    ready = ready_file(directory)
    deadline = time.monotonic() + _START_SECONDS
    while not (ready.exists() and runner(directory) == process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise BrokerFailed(f"Kafka did not start: {log.read_text(errors='replace').strip()}")
        time.sleep(_POLL_SECONDS)


def stop_runner(directory: Path, logs: str) -> None:
    """Stop what runs in a folder, and wait for its end; fails the command, naming `logs`, when it takes more than two minutes."""
    pid = runner(directory)
    if pid is None:
        people.print(f"no Kafka of [bold]{plain(directory)}[/] runs")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while runner(directory) == pid:
        if time.monotonic() > deadline:
            fail(f"process {pid} still runs after {_STOP_SECONDS:.0f} s: look into {directory}/{logs}")
        time.sleep(_POLL_SECONDS)
    people.print("stopped")
