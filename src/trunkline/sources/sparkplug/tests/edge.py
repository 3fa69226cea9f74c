"""A simulated edge node for tests: a real MQTT client that keeps to Sparkplug 3.0.0, or breaks it where a test asks for it."""

import threading
from typing import Any

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.sources.mqtt.tests.broker import PATIENCE
from trunkline.sources.sparkplug import codec, datatypes
from trunkline.sources.sparkplug.codec import Form, Metric, Payload
from trunkline.sources.sparkplug.commands import REBIRTH
from trunkline.sources.sparkplug.datatypes import DataType

GROUP = "plant"


def now_ms() -> int:
    return times.now() // 1000


def metric(name: str | None, datatype: int, value: Value, **others: Any) -> Metric:
    """Return a metric as a birth has it."""
    form, raw = (None, None) if value is None else datatypes.written(value, datatype)
    filled = {"timestamp": now_ms(), "null": value is None, **others}
    return Metric(name=name, datatype=datatype, form=form, raw=raw, **filled)


class EdgeNode:
    """An edge node with metrics of its own (device '') and of devices.

    Args:
        port: of the broker on this machine.
        metrics: by device and name: data type and value.
        name: edge node id.
        aliases: whether births give aliases, which data then uses.
        primary: host application to wait for: while it is away, data is kept and sent as history afterwards.
        echo: whether a command's value is taken over and reported.

    Attributes:
        rebirths: how often it was asked for its births.
        commands: payloads of commands, as they came, with their topics.
    """

    def __init__(
        self,
        port: int,
        metrics: dict[str, dict[str, tuple[int, Value]]],
        name: str = "edge-1",
        *,
        aliases: bool = True,
        primary: str = "",
        echo: bool = True,
        user: str = "",
        password: str = "",
    ) -> None:
        self.name = name
        self.metrics = metrics
        self.rebirths = 0
        self.commands: list[tuple[str, bytes]] = []
        self.bd_seq = -1
        self.seq = 0
        self.deaf = False  # to requests for its births
        self._aliases = {(device, metric): at for at, (device, metric) in enumerate(self._all(), 100)} if aliases else {}
        self._primary = primary
        self._online = not primary
        self._kept: list[tuple[str, Metric]] = []
        self._echo = echo
        self._lock = threading.RLock()
        self._connected = threading.Event()
        self._login = (user, password)
        self._port = port
        self._client: Client | None = None

    def _all(self) -> list[tuple[str, str]]:
        return [(device, name) for device, metrics in self.metrics.items() for name in metrics]

    def connect(self) -> None:
        """Connect as 5.4 has it: the will first, then the subscriptions, then the births."""
        self.bd_seq = (self.bd_seq + 1) % 256
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if self._login[0]:
            client.username_pw_set(*self._login)
        client.will_set(self.topic("NDEATH"), self.death(), qos=1)
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: self._connected.set()
        self._connected.clear()
        client.connect("127.0.0.1", self._port)
        self._client = client
        client.loop_start()
        state = [(f"spBv1.0/STATE/{self._primary}", 1)] if self._primary else []
        client.subscribe([(self.topic("NCMD"), 1), (f"spBv1.0/{GROUP}/DCMD/{self.name}/+", 1), *state])
        assert self._connected.wait(PATIENCE), "the broker does not answer"
        if self._online:
            self.birth()
        # the broker handles packets in order: with its answer to this one it has handled the births
        done = client.publish("edge/connected", qos=1)
        done.wait_for_publish(PATIENCE)
        assert done.is_published(), "the broker does not answer"

    def topic(self, kind: str, device: str = "") -> str:
        return f"spBv1.0/{GROUP}/{kind}/{self.name}{f'/{device}' if device else ''}"

    def death(self, bd_seq: int | None = None) -> bytes:
        number = metric("bdSeq", DataType.INT64, self.bd_seq if bd_seq is None else bd_seq)
        return codec.encode(Payload(timestamp=now_ms(), metrics=(number,)))

    def publish(self, kind: str, device: str, payload: bytes, qos: int = 0) -> None:
        assert self._client is not None
        # nobody waits here: the client's own thread also comes by, and it is the one that sends
        self._client.publish(self.topic(kind, device), payload, qos=qos)

    def send(self, kind: str, device: str, *metrics: Metric, seq: int | None = None) -> None:
        """Publish a message with the next sequence number, or another."""
        with self._lock:
            number = self.seq if seq is None else seq
            self.seq = (number + 1) % 256
            self.publish(kind, device, codec.encode(Payload(timestamp=now_ms(), metrics=metrics, seq=number)))

    def birth(self) -> None:
        """Publish the births of the edge node and all devices."""
        with self._lock:
            self.seq = 0
            control = metric(REBIRTH, DataType.BOOLEAN, False)
            number = metric("bdSeq", DataType.INT64, self.bd_seq)
            self.send("NBIRTH", "", number, control, *self._announced(""))
            for device in filter(None, self.metrics):
                self.send("DBIRTH", device, *self._announced(device))

    def _announced(self, device: str) -> list[Metric]:
        return [
            metric(name, datatype, value, alias=self._aliases.get((device, name)))
            for name, (datatype, value) in self.metrics.get(device, {}).items()
        ]

    def measure(self, device: str, name: str, value: Value, **others: Any) -> None:
        """Take a value and report it; while the primary host is away it is kept."""
        with self._lock:
            datatype, _ = self.metrics[device][name]
            self.metrics[device][name] = (datatype, value)
            alias = self._aliases.get((device, name))
            one = metric(None if alias is not None else name, datatype, value, alias=alias, **others)
            if self._online:
                self.send("DDATA" if device else "NDATA", device, one)
            else:
                self._kept.append((device, msgspec.structs.replace(one, historical=True)))

    def vanish(self) -> None:
        """Break the connection without a word: the broker publishes the will."""
        client, self._client = self._client, None
        if client is not None:
            client._sock_close()
            client.loop_stop()

    def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic.startswith("spBv1.0/STATE/"):
            return self._on_state(msgspec.json.decode(message.payload))
        with self._lock:
            payload = bytes(message.payload)
            self.commands.append((message.topic, payload))
            device = message.topic.split("/")[4] if "/DCMD/" in message.topic else ""
            for one in codec.decode(payload).metrics:
                self._on_command(device, one)
        return None

    def _on_state(self, state: dict[str, Any]) -> None:
        with self._lock:
            self._online = state["online"]
            if self._online:
                self.birth()
                for device, kept in self._kept:
                    self.send("DDATA" if device else "NDATA", device, kept)
                self._kept.clear()

    def _on_command(self, device: str, command: Metric) -> None:
        if command.name == REBIRTH:
            self.rebirths += 1
            if not self.deaf and self._online:
                self.birth()
            return
        names = {alias: key for key, alias in self._aliases.items()}
        key = (device, command.name) if command.name is not None else names[command.alias or 0]
        datatype, _ = self.metrics[key[0]][str(key[1])]
        if self._echo and command.form is not Form.BYTES:
            self.measure(key[0], str(key[1]), datatypes.value_of(command, datatype))
