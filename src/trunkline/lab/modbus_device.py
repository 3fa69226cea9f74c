"""PLCs on Modbus TCP: one unit id for every sixteen units, behind one port.

Registers of the unit in place k of its PLC (holding registers, k from 0; numbers count from 0 as in the protocol):

| registers        | content                                        |
| 16k + 0, 1       | FLOW_RATE, float32, ABCD                       |
| 16k + 2          | PRESSURE, int16, 0.01 bar                      |
| 16k + 3          | TEMPERATURE, int16, 0.1 °C                     |
| 16k + 4, 5       | VIBRATION, float32, words swapped (CDAB)       |
| 16k + 6 to 9     | TOTAL, int64                                   |
| 16k + 10 to 13   | MODE, text of eight characters, padded with 0  |
| 16k + 14         | heartbeat: the lowest 16 bits of the cycle     |
| 16k + 15         | 0                                              |

Coil k is RUNNING. All of a PLC changes at once, so one answer never mixes two cycles. The device has no clock and shows no quality.
Everything is read-only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymodbus.constants import ExcCodes
from pymodbus.datastore import ModbusServerContext
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadCoilsResponse
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadHoldingRegistersResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from trunkline.lab.cable import Cable
from trunkline.lab.device import Frame, groups_of
from trunkline.lab.truth import Sample, TruthWriter
from trunkline.lab.vocabulary import (
    FLOW,
    MODE,
    MODES,
    PRESSURE,
    RUNNING,
    TEMPERATURE,
    TOTAL,
    VARIABLES,
    VIBRATION,
    ProtocolName,
    Unit,
)

UNITS_PER_PLC = 16
#: Unit ids that the standard gives to devices (MODBUS over serial line V1.02, 2.2).
MAX_PLCS = 247
REGISTERS_PER_UNIT = 16
PRESSURE_SCALE = 0.01
TEMPERATURE_SCALE = 0.1
MODE_BYTES = 8

_LAYOUT = np.dtype(
    [
        ("flow", ">f4"),
        ("pressure", ">i2"),
        ("temperature", ">i2"),
        ("vibration", ">u2", (2,)),
        ("total", ">i8"),
        ("mode", f"S{MODE_BYTES}"),
        ("heartbeat", ">u2"),
        ("zero", ">u2"),
    ]
)
_INT16 = np.iinfo(np.int16)
_MODE_BYTES = np.array([mode.encode() for mode in MODES], dtype=f"S{MODE_BYTES}")


class _Plc:
    """What a PLC shows now."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.rows = np.array([unit.index for unit in units])
        self.registers: list[int] = [0] * (len(units) * REGISTERS_PER_UNIT)
        self.coils: list[bool] = [False] * len(units)
        self.missing: frozenset[int] = frozenset()

    def answers(self, first: int, count: int, per_unit: int) -> bool:
        """Whether all of a range of registers (16 a unit) or coils (1 a unit) exists and belongs to units that can be reached."""
        if first + count > len(self.coils) * per_unit:
            return False
        return not self.missing or self.missing.isdisjoint(range(first // per_unit, (first + count - 1) // per_unit + 1))


def _requests(plcs: dict[int, _Plc]) -> list[type[ModbusPDU]]:
    """Return request types that answer straight from the images: pymodbus calls `datastore_update` for each request it decodes."""

    class ReadRegisters(ReadHoldingRegistersRequest):
        async def datastore_update(self, context: ModbusServerContext, device_id: int) -> ModbusPDU:
            del context
            plc = plcs.get(device_id)
            if plc is None:
                return ExceptionResponse(self.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
            if not plc.answers(self.address, self.count, REGISTERS_PER_UNIT):
                return ExceptionResponse(self.function_code, ExcCodes.ILLEGAL_ADDRESS)
            return ReadHoldingRegistersResponse(registers=plc.registers[self.address : self.address + self.count])

    class ReadCoils(ReadCoilsRequest):
        async def datastore_update(self, context: ModbusServerContext, device_id: int) -> ModbusPDU:
            del context
            plc = plcs.get(device_id)
            if plc is None:
                return ExceptionResponse(self.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
            if not plc.answers(self.address, self.count, 1):
                return ExceptionResponse(self.function_code, ExcCodes.ILLEGAL_ADDRESS)
            return ReadCoilsResponse(bits=plc.coils[self.address : self.address + self.count])

    return [ReadRegisters, ReadCoils]


class ModbusDevice:
    """The plant's PLCs."""

    protocol: ProtocolName = ProtocolName.MODBUS

    def __init__(self, units: Sequence[Unit], port: int, truth: TruthWriter) -> None:
        self.groups: Sequence[Sequence[Unit]] = groups_of(units, UNITS_PER_PLC)
        self.cable = Cable(port)
        self._truth = truth
        self._plcs = {number: _Plc(group) for number, group in enumerate(self.groups, 1)}
        self._server: ModbusTcpServer | None = None

    async def start(self) -> None:
        """Listen on a port of its own. Raises RuntimeError when it cannot."""
        idle = SimDevice(0, simdata=[SimData(0, count=1, values=0, datatype=DataType.REGISTERS, readonly=True)])
        self._server = ModbusTcpServer(idle, address=(Cable.HOST, 0), custom_pdu=_requests(self._plcs))
        await self._server.serve_forever(background=True)
        listening: Any = self._server.transport
        self.cable.inner = listening.sockets[0].getsockname()[1]

    async def show(self, group: int, frame: Frame, wall: int) -> None:
        """Write the truth of one PLC, then change its image."""
        plc = self._plcs[group + 1]
        image = _image(frame, plc.rows)
        running = frame.snapshot.running[plc.rows].tolist()
        if self._truth.writes:
            self._truth.write(_samples(self.groups[group], image, running, frame, wall))
        plc.registers = np.frombuffer(image.tobytes(), ">u2").tolist()
        plc.coils = running
        plc.missing = frozenset(np.flatnonzero(frame.unplugged[plc.rows]).tolist())

    async def stop(self) -> None:
        """Stop listening."""
        if self._server:
            server, self._server = self._server, None
            await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated


def _scaled(values: NDArray[np.float64], scale: float) -> NDArray[np.int16]:
    return np.clip(np.round(values / scale), _INT16.min, _INT16.max).astype(np.int16)


def _image(frame: Frame, rows: NDArray[np.int64]) -> NDArray[np.void]:
    """Return the registers of the units `rows` as a structured array of `_LAYOUT`."""
    snapshot = frame.snapshot
    values = snapshot.values[rows]
    image = np.zeros(len(rows), _LAYOUT)
    image["flow"] = values[:, FLOW]
    image["pressure"] = _scaled(values[:, PRESSURE], PRESSURE_SCALE)
    image["temperature"] = _scaled(values[:, TEMPERATURE], TEMPERATURE_SCALE)
    image["vibration"] = values[:, VIBRATION].astype(">f4").view(">u2").reshape(-1, 2)[:, ::-1]
    image["total"] = snapshot.total[rows]
    image["mode"] = _MODE_BYTES[snapshot.mode[rows]]
    image["heartbeat"] = snapshot.cycle & 0xFFFF
    return image


def _samples(units: Sequence[Unit], image: NDArray[np.void], running: list[bool], frame: Frame, wall: int) -> list[Sample]:
    """Return the truth of an image: values as a reader decodes them; units that cannot be reached show nothing."""
    flow = image["flow"].astype(np.float64).tolist()
    pressure = (image["pressure"].astype(np.float64) * PRESSURE_SCALE).tolist()
    temperature = (image["temperature"].astype(np.float64) * TEMPERATURE_SCALE).tolist()
    vibration = frame.snapshot.values[[unit.index for unit in units], VIBRATION].astype(np.float32).astype(np.float64).tolist()
    total = image["total"].tolist()
    names = [variable.name for variable in VARIABLES]
    samples = []
    for place, unit in enumerate(units):
        if frame.unplugged[unit.index]:
            continue
        measured = (flow[place], pressure[place], temperature[place], vibration[place])
        quality = {name: int(code) for name, code in zip(names, frame.quality[unit.index].tolist(), strict=True) if code}
        samples.append(
            Sample(
                w=wall,
                p=ProtocolName.MODBUS,
                c=frame.snapshot.cycle,
                a=unit.path,
                t=wall,
                v={
                    **dict(zip(names, measured, strict=True)),
                    RUNNING: running[place],
                    TOTAL: total[place],
                    MODE: MODES[int(frame.snapshot.mode[unit.index])],
                },
                q=quality,
            )
        )
    return samples
