"""The plant at work: one loop that simulates, applies faults, writes the truth and lets the devices show it."""

import asyncio
import fcntl
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.config.site import LabConfig
from trunkline.lab.broker import Broker, BrokerChoice
from trunkline.lab.control import ControlServer, Endpoints, Request, write_endpoints
from trunkline.lab.device import Device, Frame
from trunkline.lab.faults import Fault, FaultBoard, FaultKind
from trunkline.lab.modbus_device import MAX_PLCS, UNITS_PER_PLC, ModbusDevice
from trunkline.lab.mqtt_device import MqttDevice
from trunkline.lab.opcua_device import PATH, OpcUaDevice
from trunkline.lab.simulation import MAX_LITRES_PER_SECOND, Simulation, qualities
from trunkline.lab.state import Reservation
from trunkline.lab.truth import FaultSwitched, Run, Stopped, TruthWriter
from trunkline.lab.vocabulary import ALARMS, EVENTS, PROTOCOLS, TAG_NAMES, ProtocolName, Unit, plant_units
from trunkline.model import times
from trunkline.model.errors import Misconfigured

SHORTEST_PERIOD_MS = 10
#: Seconds over which a cycle is spread at most, so that a stop never waits long.
LONGEST_SPREAD = 1.0
#: Digits after the decimal point that the instruments resolve.
RESOLUTION = 4
MAX_UNITS = MAX_PLCS * UNITS_PER_PLC * len(PROTOCOLS)


@dataclass(slots=True)
class PlantReport:
    """What a run of the plant did.

    Attributes:
        cycles: cycles shown.
        overruns: cycles that were left out because the machine could not keep up.
        readings: values shown, seven for each unit and cycle.
    """

    cycles: int = 0
    overruns: int = 0
    readings: int = 0


class Plant:
    """A running plant; `run_plant` makes one.

    Args:
        config: units, seed, period and ports.
        directory: for counters, the broker's sessions, `lab.json` and a relative truth file.
        broker: which MQTT broker.

    Raises:
        Misconfigured: says which setting does not fit.
    """

    def __init__(self, config: LabConfig, directory: Path, broker: BrokerChoice = "auto") -> None:
        if config.period_ms < SHORTEST_PERIOD_MS:
            raise Misconfigured(f"lab.period_ms is {config.period_ms}: the shortest period is {SHORTEST_PERIOD_MS} ms")
        if config.units > MAX_UNITS:
            raise Misconfigured(f"lab.units is {config.units}: one Modbus port serves plants of at most {MAX_UNITS} units")
        self._config = config
        self._period = config.period_ms / 1000
        self.units: tuple[Unit, ...] = plant_units(config.units)
        self.truth = TruthWriter(directory / config.truth if config.truth else None)
        self.board = FaultBoard(self.units)
        self.report = PlantReport()
        self._reservation = Reservation(
            directory / "state.json",
            cycles_per_second=1 / self._period,
            messages_per_cycle=config.units * (1 + len(EVENTS) + len(ALARMS)),
            litres_per_second=MAX_LITRES_PER_SECOND,
        )
        first = self._reservation.first
        self._simulation = Simulation(
            self.units, config.seed, first_cycle=first.cycle, first_litres=first.litres, period_ms=config.period_ms
        )
        self.broker = Broker(directory / "broker", broker)
        own = {protocol: [unit for unit in self.units if unit.protocol is protocol] for protocol in PROTOCOLS}
        self.mqtt = MqttDevice(own[ProtocolName.MQTT], config.mqtt_port, self.truth, self.broker, first.message)
        self.devices: tuple[Device, ...] = (
            ModbusDevice(own[ProtocolName.MODBUS], config.modbus_port, self.truth),
            OpcUaDevice(own[ProtocolName.OPCUA], config.opcua_port, self.truth),
            self.mqtt,
        )
        self._cycle = first.cycle
        self._wall = 0

    async def start(self) -> None:
        """Bring up the devices, show the first cycle, then plug the cables: nobody ever sees a device without values."""
        self.truth.write(
            [
                Run(
                    w=times.now(),
                    seed=self._config.seed,
                    units=self._config.units,
                    period_ms=self._config.period_ms,
                    first_cycle=self._cycle,
                    durable_broker=self.broker.durable,
                )
            ]
        )
        await _all_of(device.start() for device in self.devices)
        await self._show_cycle(asyncio.get_running_loop().time(), spread=0.0)
        for device in self.devices:
            try:
                await device.cable.plug()
            except OSError as error:
                raise Misconfigured(f"port {device.cable.port} for {device.protocol.value} cannot be used: {error.strerror}") from error

    async def run(self, stop: asyncio.Event) -> None:
        """Show cycle after cycle until `stop` is set. Raises OSError when the truth cannot be written: then nothing more is shown."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._period
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - loop.time()))
                return
            await self._show_cycle(due, spread=min(0.8 * self._period, LONGEST_SPREAD))
            due += self._period
            late = int((loop.time() - due) / self._period)
            if late > 0:
                self.report.overruns += late
                due += late * self._period

    async def stop(self) -> None:
        """Unplug and bring down everything; safe to call at any time."""
        await _all_of(device.cable.unplug() for device in self.devices)
        await _all_of(device.stop() for device in self.devices)
        try:
            self.truth.write([Stopped(w=times.now())])
        finally:
            self.truth.close()

    async def handle(self, request: Request) -> list[Fault]:
        """Do what the control endpoint was asked to. Raises ValueError."""
        match request.op:
            case "add" if request.kind and request.target:
                fault = self.board.add(
                    request.kind,
                    request.target,
                    now=times.now(),
                    amount=request.amount,
                    seed=request.seed,
                    seconds=request.seconds,
                )
                changed = [fault]
                self._note(changed, on=True)
            case "clear":
                changed = self.board.clear(target=request.target, kind=request.kind, number=request.number)
                self._note(changed, on=False)
            case "list":
                return self.board.faults
            case _:
                raise ValueError(f"unknown request {request.op!r}")
        await self._set_links()
        return changed

    async def _show_cycle(self, due: float, spread: float) -> None:
        """Simulate a cycle and show it, group by group, spread over `spread` seconds so that the servers can answer in between."""
        self._reservation.use(self._cycle)
        snapshot = self._simulation.step()
        self._cycle = snapshot.cycle + 1
        now = self._tick()
        if gone := self.board.expire(now):
            self._note(gone, on=False)
            await self._set_links()
        self.board.apply(snapshot, now)
        np.round(snapshot.values, RESOLUTION, out=snapshot.values)
        frame = Frame(snapshot, qualities(snapshot.values), self.board.clock_offset, self.board.unplugged)
        await self.mqtt.tell(self.units, frame, now)
        portions = [(device, group) for device in self.devices for group in range(len(device.groups))]
        loop = asyncio.get_running_loop()
        for position, (device, group) in enumerate(portions):
            await device.show(group, frame, self._tick())
            await asyncio.sleep(max(0.0, due + spread * (position + 1) / len(portions) - loop.time()))
        self.report.cycles += 1
        self.report.readings += len(self.units) * len(TAG_NAMES)

    def _tick(self) -> int:
        """Return the present, µs UTC; later than ever before in this run, also when the clock is set back."""
        self._wall = max(times.now(), self._wall + 1)
        return self._wall

    def _note(self, faults: list[Fault], *, on: bool) -> None:
        self.truth.write(
            [
                FaultSwitched(
                    w=times.now(), number=fault.number, fault=fault.kind, target=fault.target, amount=fault.amount, seed=fault.seed, on=on
                )
                for fault in faults
            ]
        )

    async def _set_links(self) -> None:
        for device in self.devices:
            fault = self.board.link(device.protocol)
            device.cable.silence(silent=fault is FaultKind.SILENCE)
            await (device.cable.unplug() if fault is FaultKind.UNPLUG else device.cable.plug())


async def _all_of(steps: Iterable[Awaitable[None]]) -> None:
    """Wait for all steps, also when one fails, so that none is left half done; then raise the first failure."""
    for outcome in await asyncio.gather(*steps, return_exceptions=True):
        if outcome is not None:
            raise outcome


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Hold the directory's lock. Raises Misconfigured when another plant has it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(f"another plant runs in {directory}: stop it, or give this one another directory") from None
        yield


async def run_plant(
    config: LabConfig,
    directory: Path,
    *,
    broker: BrokerChoice = "auto",
    stop: asyncio.Event | None = None,
    seconds: float | None = None,
    on_ready: Callable[[Endpoints], None] | None = None,
) -> PlantReport:
    """Run the plant until SIGTERM, SIGINT, `stop`, or for `seconds`.

    Args:
        config: units, seed, period, ports (0 picks a free one) and truth file (relative to `directory`).
        directory: kept between runs: counters, the broker's sessions, `lab.json`.
        broker: which MQTT broker.
        stop: set it to end the run; made here if None.
        seconds: how long to run; None for ever.
        on_ready: called once everything can be reached.

    Returns:
        What the run did.

    Raises:
        Misconfigured: a setting does not fit, a port is taken, or another plant runs in the directory.
        OSError: the truth or the counters cannot be written any more.
        RuntimeError: the broker or a server does not start.
    """
    halt = stop or asyncio.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, halt.set)
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_one(directory))
        plant = Plant(config, directory, broker)
        stack.push_async_callback(plant.stop)
        await plant.start()
        control = ControlServer(plant.handle)
        await control.start()
        stack.push_async_callback(control.stop)
        endpoints = _endpoints(plant, control, directory / config.truth if config.truth else None)
        write_endpoints(directory, endpoints)
        if on_ready:
            on_ready(endpoints)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, halt.set)
        await plant.run(halt)
    return plant.report


def _endpoints(plant: Plant, control: ControlServer, truth: Path | None) -> Endpoints:
    port = {device.protocol: device.cable.port for device in plant.devices}
    return Endpoints(
        pid=os.getpid(),
        modbus_port=port[ProtocolName.MODBUS],
        opcua_port=port[ProtocolName.OPCUA],
        mqtt_port=port[ProtocolName.MQTT],
        opcua_path=PATH,
        broker="mosquitto" if plant.broker.durable else "amqtt",
        control_port=control.port,
        token=control.token,
        truth=str(truth) if truth else "",
    )
