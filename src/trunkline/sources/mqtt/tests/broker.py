"""A real broker for tests: mosquitto on a free loopback port, which can be killed, frozen and started again."""

import asyncio
import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

PATIENCE = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mosquitto() -> str:
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found, "mosquitto is missing: tools/install installs it"
    return found


def password_file(broker: "Broker", users: dict[str, str]) -> None:
    """Give the broker a password file, in the form mosquitto_passwd writes ($7$: PBKDF2 with SHA-512)."""

    def line(user: str, password: str) -> str:
        salt = os.urandom(12)
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
        return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"

    path = broker.folder / "passwords"
    path.write_text("".join(line(*entry) for entry in users.items()))
    path.chmod(0o600)
    broker.set(f"password_file {path}")


class Broker:
    """mosquitto with persistence in a folder of its own; the port stays the same over restarts."""

    def __init__(self, settings: str = "", *, anonymous: bool = True) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="broker-")
        self.folder = Path(self._folder.name)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        owner = "user root\n" if os.geteuid() == 0 else ""
        (self.folder / "mosquitto.conf").write_text(
            f"{owner}listener {self.port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\n"
            f"persistence true\npersistence_location {self.folder}/\nset_tcp_nodelay true\n"
            f"max_inflight_messages 0\nmax_queued_messages 0\n{settings}\n"
        )

    @property
    def running(self) -> bool:
        return self._process is not None

    def set(self, line: str) -> None:
        """Add a line to the configuration; it holds from the next start."""
        with (self.folder / "mosquitto.conf").open("a") as file:
            file.write(f"{line}\n")

    def start(self) -> None:
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto(), "-c", str(self.folder / "mosquitto.conf")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text()
                assert time.monotonic() < limit, "mosquitto does not listen"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL: nothing is saved on the way out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def save(self) -> None:
        """Have the broker write its sessions and messages to disk, and wait until it has."""
        assert self._process is not None
        database = self.folder / "mosquitto.db"
        before = database.stat().st_mtime_ns if database.exists() else 0
        self._process.send_signal(signal.SIGUSR1)
        limit = time.monotonic() + PATIENCE
        while not database.exists() or database.stat().st_mtime_ns == before:
            assert time.monotonic() < limit, "mosquitto does not save"
            time.sleep(0.02)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class Device:
    """Another client of the broker: publishes at QoS 1 or 2 and waits for the broker's answer."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if user:
            self._client.username_pw_set(user, password)
        self._client.max_inflight_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, *messages: tuple[str, bytes | str], qos: int = 1, retain: bool = False) -> None:
        sent = [self._client.publish(topic, payload, qos=qos, retain=retain) for topic, payload in messages]
        for one in sent:
            one.wait_for_publish(PATIENCE)
            assert one.is_published(), "the broker does not answer"

    async def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        await asyncio.to_thread(self.send, (topic, payload), qos=qos, retain=retain)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
