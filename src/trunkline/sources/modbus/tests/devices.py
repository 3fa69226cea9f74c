"""Modbus devices for tests: pymodbus's own server, a TCP front that misbehaves on demand, and a pair of pseudo terminals as serial line."""

import asyncio
import contextlib
import os
import random
import tty
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Literal

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

#: unit id -> table -> first address -> values
Registers = Mapping[int, Mapping[str, Mapping[int, Sequence[int]]]]
#: what pymodbus calls for every request: function, first register held, address, count, registers, values to write (None in a read)
Answer = Callable[[int, int, int, int, list[int], list[int] | list[bool] | None], Coroutine[None, None, ExcCodes | None]]
TABLES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def sim_devices(units: Registers) -> list[SimDevice]:
    """Return pymodbus devices that hold `units` and answer 'illegal data address' for everything else."""

    def bits(table: Mapping[int, Sequence[int]]) -> list[SimData]:
        return [SimData(at, values=[bool(one) for one in values], datatype=DataType.BITS) for at, values in table.items()] or [
            SimData(65_520, values=[False] * 16, datatype=DataType.BITS)
        ]

    def words(table: Mapping[int, Sequence[int]]) -> list[SimData]:
        return [SimData(at, values=list(values), datatype=DataType.REGISTERS) for at, values in sorted(table.items())] or [
            SimData(65_535, values=[0], datatype=DataType.REGISTERS)
        ]

    return [
        SimDevice(
            unit,
            simdata=(
                bits(tables.get("coil", {})),
                bits(tables.get("discrete", {})),
                words(tables.get("holding", {})),
                words(tables.get("input", {})),
            ),
        )
        for unit, tables in units.items()
    ]


class Device:
    """A pymodbus server, on a TCP port of its own or on a serial port.

    Attributes:
        requests: (unit, function, start, size) of every read it was sent.
        writes: how many writes it was sent.
        silent: unit ids that do not answer.
        deaf: (function, address) for which no TCP request is answered.
        failing: (unit, address) that are answered with 'server device failure' when a request touches them.
    """

    def __init__(self, units: Registers, serial_port: str = "") -> None:
        self.requests: list[tuple[int, int, int, int]] = []
        self.writes = 0
        self.silent: set[int] = set()
        self.deaf: set[tuple[int, int]] = set()
        self.failing: dict[tuple[int, int], ExcCodes] = {}
        self.port = 0
        self._units = units
        self._asked = (0, 0)
        self._answers: dict[int, Answer] = {}
        self._serial_port = serial_port
        self._server: ModbusTcpServer | ModbusSerialServer | None = None

    async def start(self) -> None:
        devices = sim_devices(self._units)
        for device in devices:
            device.action = self._action_of(device.id)
        if self._serial_port:
            self._server = ModbusSerialServer(devices, port=self._serial_port, parity="N", trace_packet=self._trace)
        else:
            self._server = ModbusTcpServer(devices, address=("127.0.0.1", 0), trace_packet=self._trace)
        await self._server.serve_forever(background=True)
        if not self._serial_port:
            self.port = self._server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # an asyncio server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it bare

    async def set(self, unit: int, table: str, start: int, values: Sequence[int]) -> None:
        assert self._server is not None
        given = [bool(one) for one in values] if table in ("coil", "discrete") else list(values)
        await self._server.async_setValues(unit, TABLES[table], start, given)

    async def get(self, unit: int, table: str, start: int, size: int = 1) -> list[int]:
        assert self._server is not None
        return [int(one) for one in await self._server.async_getValues(unit, TABLES[table], start, size)]

    def answer_with(self, unit: int, answer: Answer) -> None:
        """Let a function judge every request to a unit instead of `failing`."""
        self._answers[unit] = answer

    def _action_of(self, unit: int) -> Answer:
        async def action(
            function: int, first: int, address: int, count: int, registers: list[int], values: list[int] | list[bool] | None
        ) -> ExcCodes | None:
            if values is None:
                self.requests.append((unit, function, address, count))
            else:
                self.writes += 1
            if unit in self._answers:
                return await self._answers[unit](function, first, address, count, registers, values)
            for (bad_unit, bad), code in self.failing.items():
                if bad_unit == unit and address <= bad < address + count:
                    return code
            return None

        return action

    def _trace(self, sending: bool, data: bytes) -> bytes:
        unit = data[0 if self._serial_port else 6] if len(data) > 6 or self._serial_port else -1
        if not sending:
            self._asked = (data[7], int.from_bytes(data[8:10], "big")) if len(data) >= 10 else (0, 0)
        return b"" if sending and (unit in self.silent or self._asked in self.deaf) else data


class Front:
    """A TCP port before a device that passes bytes on, or does worse.

    Attributes:
        mode: 'pass'; 'frozen' takes requests and says nothing; 'garbage' answers with noise; 'half' cuts answers in two and keeps the rest;
            'wrong' answers under another transaction id; 'short' leaves out a register.
        late: seconds by which the coming answers are held, one after the other; `delay` holds the rest.
    """

    def __init__(self, seed: int = 7) -> None:
        self.mode: Literal["pass", "frozen", "garbage", "half", "wrong", "short"] = "pass"
        self.late: list[float] = []
        self.delay = 0.0
        self.port = 0
        self.accepted = 0
        self._random = random.Random(seed)
        self._behind = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, behind: int) -> None:
        """Listen for clients of the device on port `behind`; again on the same port after `stop`."""
        self._behind = behind
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and drop those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop()

    async def drop(self) -> None:
        """Drop every connection."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        try:
            await self._connect_through(reader, writer)
        except asyncio.CancelledError:
            pass  # dropped on purpose
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _connect_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        device_reader, device_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._requests(reader, writer, device_writer))
                both_ways.create_task(self._answers(device_reader, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            device_writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, device: asyncio.StreamWriter) -> None:
        while True:
            request = await _frame(reader)
            if self.mode == "garbage":
                noise = self._random.randbytes(self._random.randrange(1, 300))
                writer.write(self._random.choice([noise, request[:7] + noise[:1], request[:5]]))
            elif self.mode != "frozen":
                device.write(request)

    async def _answers(self, device: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            answer = await _frame(device)
            match self.mode:
                case "half":
                    answer = answer[: len(answer) // 2]
                case "wrong":
                    answer = bytes([answer[0] ^ 0x55]) + answer[1:]
                case "short":
                    answer = answer[:4] + bytes([0, answer[5] - 2]) + answer[6:8] + bytes([answer[8] - 2]) + answer[9:-2]
            await asyncio.sleep(self.late.pop(0) if self.late else self.delay)
            writer.write(answer)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(6)
    return head + await reader.readexactly(int.from_bytes(head[4:6], "big"))


class SerialLine:
    """Two pseudo terminals with a wire between them.

    Attributes:
        master, slave: names of the two serial ports.
        noise: how many of the coming chunks towards the master are damaged.
        late: seconds by which the coming chunks towards the master are held, one after the other.
    """

    def __init__(self) -> None:
        self._ends = [os.openpty(), os.openpty()]
        for _, port in self._ends:
            tty.setraw(port)
        self.master, self.slave = (os.ttyname(port) for _, port in self._ends)
        self.noise = 0
        self.late: list[float] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        (master, _), (slave, _) = self._ends
        loop.add_reader(master, lambda: os.write(slave, os.read(master, 4096)))
        loop.add_reader(slave, self._to_master)

    def _to_master(self) -> None:
        (master, _), (slave, _) = self._ends
        chunk = os.read(slave, 4096)
        if self.noise:
            self.noise -= 1
            chunk = bytes([chunk[0] ^ 0xFF]) + chunk[1:]
        if self.late:
            asyncio.get_running_loop().call_later(self.late.pop(0), self._write, master, chunk)
        else:
            os.write(master, chunk)

    def _write(self, end: int, chunk: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(end, chunk)

    def stop(self) -> None:
        loop = asyncio.get_running_loop()
        for end, port in self._ends:
            loop.remove_reader(end)
            for descriptor in (end, port):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._ends = []

    def unplug(self) -> None:
        """Pull the plug at the master's end."""
        end, port = self._ends[0]
        asyncio.get_running_loop().remove_reader(end)
        os.close(end)
        os.close(port)
