"""Devices that publish to an MQTT broker with QoS 1, and the events and alarms of the whole plant.

| topic                                     | message, JSON |
| plant/PLANT01/AREA01/UNIT_03/telemetry    | every cycle: `{"id", "time", "values": {TAG: {"value", "quality"}}}` |
| plant/PLANT01/AREA01/UNIT_01/event        | `{"id", "time", "type", "asset", "tag", "text", "before", "after", "actor", "attributes"}` |
| plant/PLANT01/AREA01/UNIT_01/alarm        | the same, with `severity`, `active`, `value`, `threshold`, `unit` |

Quality is GOOD, UNCERTAIN or OOR (P-13). An OOR reading has its value: the device tells what the broken instrument told it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from trunkline.lab.broker import HOST, Broker
from trunkline.lab.cable import Cable
from trunkline.lab.device import Frame, groups_of
from trunkline.lab.simulation import Happening
from trunkline.lab.truth import Acknowledged, Message, Refused, Sample, TruthRecord, TruthWriter
from trunkline.lab.vocabulary import MODE, MODES, RUNNING, TOTAL, VARIABLES, ProtocolName, Unit
from trunkline.model import times
from trunkline.model.identity import uuid7
from trunkline.model.quality import to_short
from trunkline.model.reading import Value

UNITS_PER_GROUP = 16
#: Messages on the way at once, and messages waiting at the device while the broker is away; beyond them the device gives up new ones.
MAX_IN_FLIGHT = 1000
MAX_WAITING = 50_000
_CONNECT_SECONDS = 20.0
_DRAIN_SECONDS = 5.0
_POLL_SECONDS = 0.01


def topic_of(asset: str, channel: str) -> str:
    """Return the topic of an asset, for example 'plant/PLANT01/AREA01/UNIT_03/telemetry'."""
    return f"plant/{asset.replace('.', '/')}/{channel}"


class _Letter(msgspec.Struct, frozen=True):
    """A message ready to be sent."""

    number: int
    topic: str
    payload: bytes


class MqttDevice:
    """The publisher and its broker.

    Args:
        units: units whose readings go over MQTT.
        port: public port of the broker.
        truth: where the truth goes.
        broker: the broker.
        first_message: number of the first message.
    """

    protocol: ProtocolName = ProtocolName.MQTT

    def __init__(self, units: Sequence[Unit], port: int, truth: TruthWriter, broker: Broker, first_message: int) -> None:
        self.groups: Sequence[Sequence[Unit]] = groups_of(units, UNITS_PER_GROUP)
        self.cable = Cable(port)
        self._truth = truth
        self._broker = broker
        self._next = first_message
        self._number_of: dict[int, int] = {}
        self._acknowledged: deque[int] = deque()
        self._connected = asyncio.Event()
        self._client: paho.Client | None = None

    async def start(self) -> None:
        """Start the broker and connect to it. Raises RuntimeError when that fails."""
        await self._broker.start()
        self.cable.inner = self._broker.port
        loop = asyncio.get_running_loop()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="trunkline-lab-plant", clean_session=True)
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.max_queued_messages_set(MAX_WAITING)
        client.reconnect_delay_set(1, 2)

        def on_connect(*_: object) -> None:
            loop.call_soon_threadsafe(self._connected.set)

        def on_publish(_client: paho.Client, _data: object, packet: int, *_: object) -> None:
            self._acknowledged.append(packet)

        client.on_connect = on_connect
        client.on_publish = on_publish
        client.connect_async(HOST, self._broker.port)
        client.loop_start()
        self._client = client
        try:
            await asyncio.wait_for(self._connected.wait(), _CONNECT_SECONDS)
        except TimeoutError:
            raise RuntimeError("the lab's own MQTT broker does not answer") from None

    async def show(self, group: int, frame: Frame, wall: int) -> None:
        """Write the truth of one group of units, then publish it."""
        records: list[TruthRecord] = []
        letters: list[_Letter] = []
        for unit in self.groups[group]:
            if not frame.unplugged[unit.index]:
                sample, letter = self._telemetry(unit, frame, wall)
                records.append(sample)
                letters.append(letter)
        self._publish(records, letters, wall)

    async def tell(self, units: Sequence[Unit], frame: Frame, wall: int) -> None:
        """Write the truth of the cycle's events and alarms, then publish them; `units` are all units of the plant."""
        records: list[TruthRecord] = []
        letters: list[_Letter] = []
        for happening in frame.snapshot.happenings:
            if not frame.unplugged[happening.unit]:
                record, letter = self._message(units[happening.unit], happening, frame, wall)
                records.append(record)
                letters.append(letter)
        self._publish(records, letters, wall)

    async def stop(self) -> None:
        """Wait a little for acknowledgements on the way, then end the connection and the broker."""
        if self._client:
            client, self._client = self._client, None
            for _ in range(int(_DRAIN_SECONDS / _POLL_SECONDS)):
                self._note_acknowledged()
                if not self._number_of:
                    break
                await asyncio.sleep(_POLL_SECONDS)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)
            self._note_acknowledged()
        await self._broker.stop()

    def _publish(self, records: list[TruthRecord], letters: list[_Letter], wall: int) -> None:
        self._note_acknowledged()
        if self._client is None or not letters:
            return
        self._truth.write(records)
        refused: list[int] = []
        for letter in letters:
            info = self._client.publish(letter.topic, letter.payload, qos=1)
            if info.rc == paho.MQTT_ERR_QUEUE_SIZE:
                refused.append(letter.number)
            else:  # also when there is no connection now: it waits at the device
                self._number_of[info.mid] = letter.number
        if refused:
            self._truth.write([Refused(w=wall, n=refused)])

    def _note_acknowledged(self) -> None:
        """Write down what the broker took since the last call."""
        numbers = []
        while self._acknowledged:
            number = self._number_of.pop(self._acknowledged.popleft(), None)
            if number is not None:
                numbers.append(number)
        if numbers:
            self._truth.write([Acknowledged(w=times.now(), n=numbers)])

    def _take_number(self) -> int:
        number = self._next
        self._next += 1
        return number

    def _telemetry(self, unit: Unit, frame: Frame, wall: int) -> tuple[Sample, _Letter]:
        row, snapshot = unit.index, frame.snapshot
        values: dict[str, Value] = {
            **{variable.name: value for variable, value in zip(VARIABLES, snapshot.values[row].tolist(), strict=True)},
            RUNNING: bool(snapshot.running[row]),
            TOTAL: int(snapshot.total[row]),
            MODE: MODES[int(snapshot.mode[row])],
        }
        codes = {variable.name: code for variable, code in zip(VARIABLES, frame.quality[row].tolist(), strict=True) if code}
        time, number, identity = wall + int(frame.clock_offset[row]), self._take_number(), str(uuid7())
        sample = Sample(w=wall, p=ProtocolName.MQTT, c=snapshot.cycle, a=unit.path, t=time, v=values, q=codes, n=number, id=identity)
        told = {name: {"value": value, "quality": to_short(codes.get(name, 0))} for name, value in values.items()}
        payload = msgspec.json.encode({"id": identity, "time": times.to_iso(time), "values": told})
        return sample, _Letter(number, topic_of(unit.path, "telemetry"), payload)

    def _message(self, unit: Unit, happening: Happening, frame: Frame, wall: int) -> tuple[Message, _Letter]:
        time, number, identity = wall + int(frame.clock_offset[unit.index]), self._take_number(), str(uuid7())
        category = "event" if happening.severity is None else "alarm"
        body: dict[str, Any] = {
            "id": identity,
            "time": times.to_iso(time),
            "type": happening.type,
            "asset": unit.path,
            "tag": happening.tag,
            "text": happening.text,
        }
        if happening.severity is None:
            body |= {"before": happening.before, "after": happening.after, "actor": happening.actor}
        else:
            body |= {"severity": happening.severity.name, "active": happening.active}
            body |= {"value": happening.value, "threshold": happening.threshold, "unit": happening.engineering_unit}
        body["attributes"] = happening.attributes
        record = Message(
            w=wall,
            c=frame.snapshot.cycle,
            n=number,
            t=time,
            id=identity,
            a=unit.path,
            category=category,
            type=happening.type,
            active=happening.active,
        )
        return record, _Letter(number, topic_of(unit.path, category), msgspec.json.encode(body))
