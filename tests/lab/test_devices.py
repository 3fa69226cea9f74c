"""The devices of a running plant read by independent clients, and their truth compared with what those got."""

import asyncio
import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from asyncua import ua
from asyncua.client.client import Client
from pymodbus.client import AsyncModbusTcpClient
from tests.lab.harness import PATIENCE, PlantProcess, check_mqtt, eventually, fault, subscriber
from typer.testing import CliRunner

from trunkline.lab.cli import app
from trunkline.lab.control import Endpoints, Request, read_endpoints, request
from trunkline.lab.modbus_device import PRESSURE_SCALE, REGISTERS_PER_UNIT, TEMPERATURE_SCALE
from trunkline.lab.opcua_device import NAMESPACE
from trunkline.lab.truth import FaultSwitched, Sample
from trunkline.lab.vocabulary import TAG_NAMES, ProtocolName, plant_units
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Value

UNITS = plant_units(7)
MODBUS = [unit for unit in UNITS if unit.protocol is ProtocolName.MODBUS]
OPCUA = [unit for unit in UNITS if unit.protocol is ProtocolName.OPCUA]
MQTT = [unit for unit in UNITS if unit.protocol is ProtocolName.MQTT]

Change = tuple[int, Value, int]


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {PATIENCE:g} s: {what}")


@pytest.fixture(autouse=True)
def _no_fault_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "plant" in request.fixturenames:
        fault(request.getfixturevalue("plant"), "clear")


# ---- Modbus ----


@contextmanager
def modbus(port: int) -> Iterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0, reconnect_delay=0)
    try:
        yield client
    finally:
        client.close()


async def read_unit(client: AsyncModbusTcpClient, place: int) -> tuple[dict[str, Value], int]:
    """Read one unit of PLC 1 the way its manual says. Returns values and heartbeat."""
    answer = await client.read_holding_registers(place * REGISTERS_PER_UNIT, count=REGISTERS_PER_UNIT, device_id=1)
    coil = await client.read_coils(place, count=1, device_id=1)
    assert not answer.isError()
    raw = struct.pack(">16H", *answer.registers)
    flow, pressure, temperature, low, high, total, mode, heartbeat = struct.unpack(">fhhHHq8sH", raw[:30])
    vibration = struct.unpack(">f", struct.pack(">HH", high, low))[0]
    values: dict[str, Value] = {
        "FLOW_RATE": flow,
        "PRESSURE": pressure * PRESSURE_SCALE,
        "TEMPERATURE": temperature * TEMPERATURE_SCALE,
        "VIBRATION": vibration,
        "RUNNING": coil.bits[0],
        "TOTAL": total,
        "MODE": mode.rstrip(b"\0").decode(),
    }
    return values, heartbeat


async def test_modbus_shows_what_the_truth_says(plant: PlantProcess) -> None:
    """P-36 to P-38: registers hold exactly one cycle of the truth, the one in force when they were read."""
    with modbus(read_endpoints(plant.directory).modbus_port) as client:
        assert await client.connect()
        reads = []
        for _ in range(10):
            for place, unit in enumerate(MODBUS):
                before = times.now()
                values, heartbeat = await read_unit(client, place)
                reads.append((unit.path, before, times.now(), values, heartbeat))
            await asyncio.sleep(0.05)
    read = times.now()
    await until(lambda: max(value.wall for value in plant.truth().values(ProtocolName.MODBUS)) > read + times.SECOND // 2, "a later cycle")
    samples: dict[str, list[Sample]] = defaultdict(list)
    for record in plant.truth().records():
        if isinstance(record, Sample) and record.p is ProtocolName.MODBUS:
            samples[record.a].append(record)
    for path, before, after, values, heartbeat in reads:
        shown = [(s, following.w) for s, following in zip(samples[path], samples[path][1:], strict=False) if s.c & 0xFFFF == heartbeat]
        assert shown, f"cycle {heartbeat} of {path} is not in the truth"
        sample, replaced = shown[0]
        running = values.pop("RUNNING")  # read a moment later than the registers
        assert {name: value for name, value in sample.v.items() if name != "RUNNING"} == values
        assert isinstance(running, bool)
        assert sample.w <= after
        assert replaced >= before - 5 * times.SECOND  # the image follows its truth closely, but not within a promised time


async def test_modbus_refuses_what_is_not_there(plant: PlantProcess) -> None:
    with modbus(read_endpoints(plant.directory).modbus_port) as client:
        assert await client.connect()
        beyond = await client.read_holding_registers(len(MODBUS) * REGISTERS_PER_UNIT - 1, count=2, device_id=1)
        assert beyond.exception_code == 2
        stranger = await client.read_holding_registers(0, count=2, device_id=9)
        assert stranger.exception_code == 11
        written = await client.write_register(0, 1, device_id=1)
        assert written.isError()


async def test_modbus_unit_unplugged(plant: PlantProcess) -> None:
    """Only the unit's own registers and coil answer with an exception; they come back."""
    with modbus(read_endpoints(plant.directory).modbus_port) as client:
        assert await client.connect()

        async def missing() -> list[bool]:
            registers = await client.read_holding_registers(REGISTERS_PER_UNIT, count=4, device_id=1)
            coils = await client.read_coils(0, count=2, device_id=1)
            neighbours = await client.read_holding_registers(0, count=REGISTERS_PER_UNIT, device_id=1)
            return [registers.isError(), coils.isError(), neighbours.isError()]

        fault(plant, "unplug", MODBUS[1].path)
        async with asyncio.timeout(PATIENCE):
            while await missing() != [True, True, False]:
                await asyncio.sleep(0.02)
            fault(plant, "plug", MODBUS[1].path)
            while await missing() != [False, False, False]:
                await asyncio.sleep(0.02)


# ---- OPC UA ----


class Changes:
    """Collects data changes by tag: source time, value, quality."""

    def __init__(self) -> None:
        self.by_tag: dict[str, list[Change]] = defaultdict(list)

    def datachange_notification(self, node: Any, _value: object, data: Any) -> None:
        told: ua.DataValue = data.monitored_item.Value
        assert told.SourceTimestamp is not None
        assert told.StatusCode is not None
        time = times.from_datetime(told.SourceTimestamp.replace(tzinfo=times.EPOCH.tzinfo))
        value = told.Value.Value if told.Value is not None else None
        self.by_tag[node.nodeid.Identifier].append((time, value, told.StatusCode.value >> 16))

    @property
    def newest(self) -> int:
        return max((changes[-1][0] for changes in self.by_tag.values()), default=0)


async def subscribe(client: Client, changes: Changes, tags: list[str]) -> None:
    namespace = await client.get_namespace_index(NAMESPACE)
    subscription = await client.create_subscription(50, changes)
    nodes = [client.get_node(ua.NodeId(tag, namespace)) for tag in tags]  # type: ignore[arg-type]  # asyncua's own types are narrower
    await subscription.subscribe_data_change(nodes, queuesize=1000)


def opcua_client(endpoints: Endpoints) -> Client:
    return Client(f"opc.tcp://127.0.0.1:{endpoints.opcua_port}{endpoints.opcua_path}", timeout=10)


def tags_of(units: list[Any]) -> list[str]:
    return [f"{unit.path}.{name}" for unit in units for name in TAG_NAMES]


async def test_opcua_subscriber_gets_every_change_of_the_truth(plant: PlantProcess) -> None:
    """P-39, truth: each change arrives exactly once, in order, with source time to the microsecond, value, and status."""
    changes = Changes()
    async with opcua_client(read_endpoints(plant.directory)) as client:
        await subscribe(client, changes, tags_of(OPCUA))
        begin = times.now()
        fault(plant, "drift", OPCUA[0].path, "--percent", "60000", "--for", "1")  # through the range and out of it
        await until(lambda: changes.newest > begin + 3 * times.SECOND, "three seconds of changes")
    truth: dict[str, list[Change]] = defaultdict(list)
    for value in plant.truth().values(ProtocolName.OPCUA):
        truth[value.tag].append((value.time, value.value, value.quality))
    qualities = set()
    for tag in tags_of(OPCUA):
        got = changes.by_tag[tag]
        start = truth[tag].index(got[0])
        assert got == truth[tag][start : start + len(got)]
        qualities |= {quality for _, _, quality in got}
    assert len(changes.by_tag[f"{OPCUA[0].path}.FLOW_RATE"]) > 20
    assert {Quality.GOOD, Quality.BAD_OUT_OF_RANGE} <= qualities


async def test_opcua_kinds_and_unplugged_unit(plant: PlantProcess) -> None:
    """Every kind of value crosses; an unplugged unit is Bad_NoCommunication without values, and comes back."""
    changes = Changes()
    tags = tags_of(OPCUA)
    async with opcua_client(read_endpoints(plant.directory)) as client:
        await subscribe(client, changes, tags)
        await until(lambda: set(changes.by_tag) == set(tags), "a value of every tag")
        kinds = [type(changes.by_tag[f"{OPCUA[0].path}.{name}"][-1][1]) for name in ("FLOW_RATE", "RUNNING", "TOTAL", "MODE")]
        assert kinds == [float, bool, int, str]
        fault(plant, "unplug", OPCUA[0].path)
        mine = tags[: len(TAG_NAMES)]
        await until(lambda: all(changes.by_tag[tag][-1][1:] == (None, Quality.BAD_COMMS_LOST) for tag in mine), "no communication")
        assert all(changes.by_tag[tag][-1][2] != Quality.BAD_COMMS_LOST for tag in tags[len(TAG_NAMES) :])
        fault(plant, "plug", OPCUA[0].path)
        await until(lambda: all(changes.by_tag[tag][-1][2] == Quality.GOOD for tag in mine[-3:]), "communication again")


# ---- MQTT ----


def test_mqtt_subscriber_gets_all_that_was_acknowledged(plant: PlantProcess) -> None:
    """P-8, P-9, truth: everything the broker took arrives; nothing else does; ids are UUIDs and unique."""
    with subscriber(read_endpoints(plant.directory).mqtt_port) as client:
        first = times.now()
        eventually(lambda: len(client.of("telemetry")) > 40, "messages")
        last = times.now() - times.SECOND
        eventually(lambda: any(times.from_iso(b["time"]) > last + 2 * times.SECOND for b in client.of("telemetry")), "later messages")
    truth = plant.truth()
    assert check_mqtt(list(truth.values(ProtocolName.MQTT)), client, first, last) > 40
    ids = [body["id"] for _, body in client.messages]
    assert len(ids) == len(set(ids))


def test_events_and_alarms_of_all_units(plant: PlantProcess) -> None:
    """P-40 to P-47, PD-25: events and alarms of units on every protocol come over MQTT, with what they need."""
    with subscriber(read_endpoints(plant.directory).mqtt_port) as client:
        eventually(lambda: len({b["asset"] for b in client.of("event")}) > 3 and bool(client.of("alarm")), "events and alarms")
    known = {message.id: message for message, _ in plant.truth().messages()}
    for body in client.of("event") + client.of("alarm"):
        message = known[body["id"]]
        assert (message.a, message.type, message.t) == (body["asset"], body["type"], times.from_iso(body["time"]))
    for alarm in client.of("alarm"):
        assert alarm["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")
        assert isinstance(alarm["active"], bool)


def test_wrong_clock_and_frozen_values_are_seen(plant: PlantProcess) -> None:
    """A clock an hour ahead stamps an hour ahead; a frozen unit repeats itself while its times go on."""
    topic = f"plant/{MQTT[0].path.replace('.', '/')}/telemetry"
    with subscriber(read_endpoints(plant.directory).mqtt_port) as client:
        fault(plant, "clock", MQTT[0].path, "--ahead", "3600")
        fault(plant, "freeze", MQTT[0].path)

        def ahead() -> list[dict[str, Any]]:
            future = times.now() + times.HOUR // 2
            return [b for t, b in list(client.messages) if t == topic and times.from_iso(b["time"]) > future]

        eventually(lambda: len(ahead()) > 5, "messages of the future")
        frozen = ahead()
        assert all(body["values"] == frozen[-1]["values"] for body in frozen[-4:])
        assert len({body["time"] for body in frozen}) == len(frozen)
        fault(plant, "clear")
        since = len(client.messages)

        def right() -> bool:
            recent = [body for t, body in client.messages[since:] if t == topic]
            return bool(recent) and times.from_iso(recent[-1]["time"]) < times.now() + times.MINUTE

        eventually(right, "the right time")
    switched = [r for r in plant.truth().records() if isinstance(r, FaultSwitched) and r.fault == "clock"]
    assert [r.on for r in switched[-2:]] == [True, False]


@pytest.mark.parametrize("protocol", list(ProtocolName))
def test_a_protocol_unplugged_and_plugged(plant: PlantProcess, protocol: ProtocolName) -> None:
    """Pulling a protocol's plug refuses connections to it and to nothing else."""
    endpoints = read_endpoints(plant.directory)
    ports = {
        ProtocolName.MODBUS: endpoints.modbus_port,
        ProtocolName.OPCUA: endpoints.opcua_port,
        ProtocolName.MQTT: endpoints.mqtt_port,
    }

    def open_to(one: ProtocolName) -> bool:
        return any(c.laddr.port == ports[one] and c.status == psutil.CONN_LISTEN for c in psutil.Process(endpoints.pid).net_connections())

    fault(plant, "unplug", protocol.value)
    assert [one for one in ProtocolName if not open_to(one)] == [protocol]
    fault(plant, "plug", protocol.value)
    assert all(open_to(one) for one in ProtocolName)


def test_fault_commands_tell_what_they_did(plant: PlantProcess) -> None:
    """Faults that draw random numbers print their seed; a fault that does not fit says what would; a stranger is refused."""
    assert "(seed 5)" in fault(plant, "spikes", "all", "--seed", "5")
    assert "noise mqtt 10 on (seed " in fault(plant, "noise", "mqtt")
    told = [json.loads(line) for line in fault(plant, "list", "--json").splitlines()]
    assert [(f["kind"], f["target"]) for f in told] == [("spikes", "all"), ("noise", "mqtt")]
    refused = CliRunner().invoke(app, ["fault", "clock", "modbus", "--ahead", "5", "--directory", str(plant.directory)])
    assert refused.exit_code == 1
    assert "no clock" in refused.output
    with pytest.raises(Exception, match="unknown request"):
        request(plant.directory, Request(op="explode"))
    info = plant.directory / "lab.json"
    assert info.stat().st_mode & 0o077 == 0
    stolen = json.loads(info.read_text()) | {"token": "guess"}
    other = plant.directory / "other"
    other.mkdir(exist_ok=True)
    (other / "lab.json").write_text(json.dumps(stolen))
    with pytest.raises(Exception, match="wrong token"):
        request(other, Request(op="clear"))
    assert len(fault(plant, "list").splitlines()) == 2
