"""A plant as a process of its own, as users and the supervisor run it, and a plain MQTT client."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from trunkline.lab.cli import app
from trunkline.lab.control import Endpoints, read_endpoints
from trunkline.lab.truth import TrueValue, Truth
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.quality import from_short
from trunkline.model.reading import Value

PATIENCE = 30.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds; fails naming `what`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:g} s: {what}")
        time.sleep(0.02)


class PlantProcess:
    """`trunkline lab plant` in a directory; may be killed and started again."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.truth_file = directory / "truth.jsonl"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> Endpoints:
        """Start it and wait until everything can be reached."""
        code = "from trunkline.lab.cli import app; app(prog_name='trunkline lab')"
        arguments = ["plant", "--directory", str(self.directory), "--truth", "truth.jsonl", *self._options, *more]
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "output.txt").open("ab") as output:
            self._process = process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=output, stderr=output)

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the plant ended: {self.output}")
            try:
                return read_endpoints(self.directory).pid == process.pid
            except Misconfigured:
                return False

        eventually(ready, "the plant is ready")
        return read_endpoints(self.directory)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process and self._process.poll() is None:
            self.end()

    @property
    def output(self) -> str:
        return (self.directory / "output.txt").read_text()

    def truth(self) -> Truth:
        """The ground truth so far; while the plant runs, the last line may be half written."""
        return Truth.load(self.truth_file)


def spared_ports() -> list[str]:
    return ["--modbus-port", "0", "--opcua-port", "0", "--mqtt-port", "0"]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def fault(plant: PlantProcess, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["fault", *arguments, "--directory", str(plant.directory)])
    assert result.exit_code == 0, result.output
    return result.stdout


class Subscriber:
    """A plain client with a persistent session at QoS 1."""

    def __init__(self, port: int, name: str = "checker") -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append((message.topic, json.loads(message.payload)))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _subscribe(self, *_: object) -> None:
        self._client.subscribe("plant/#", qos=1)

    def wait(self) -> "Subscriber":
        assert self._subscribed.wait(PATIENCE)
        return self

    def of(self, channel: str) -> list[dict[str, Any]]:
        return [body for topic, body in list(self.messages) if topic.endswith(f"/{channel}")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def subscriber(port: int) -> Iterator[Subscriber]:
    client = Subscriber(port)
    try:
        yield client.wait()
    finally:
        client.close()


def seen_values(client: Subscriber) -> set[tuple[str, int, Value, str]]:
    seen = set()
    for topic, body in list(client.messages):
        if topic.endswith("/telemetry"):
            asset, time = ".".join(topic.split("/")[1:4]), times.from_iso(body["time"])
            for name, told in body["values"].items():
                seen.add((f"{asset}.{name}", time, told["value"], told["quality"]))
    return seen


def check_mqtt(values: list[TrueValue], client: Subscriber, first: int, last: int) -> int:
    """Everything owed between two times arrived; nothing arrived that is not in the truth. Returns how much was owed."""
    seen = seen_values(client)
    true = {(v.tag, v.time, v.value): v for v in values}
    assert {entry[:3] for entry in seen} <= set(true)
    assert all(from_short(quality) == true[tag, time, value].quality for tag, time, value, quality in seen)
    arrived = {entry[:3] for entry in seen}
    owed = {(v.tag, v.time, v.value) for v in values if v.owed and first <= v.wall <= last}
    assert owed <= arrived
    return len(owed)
