"""The source on a serial line: two pseudo terminals with a wire between them, pymodbus's serial server at the far end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from trunkline.model.errors import SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.modbus.source import ModbusSource
from trunkline.sources.modbus.tests.devices import Device, Registers, SerialLine
from trunkline.sources.modbus.tests.support import context, fails, scan, tag
from trunkline.sources.port import CommandOutcome, WriteCommand

GOOD = Quality.GOOD
UNITS: Registers = {
    1: {"holding": {0: [0x4248, 0x0000, 0xFFFE, 13]}, "coil": {0: [1, 0, 1, 1] + [0] * 12}},
    2: {"holding": {0: [21, 22, 23, 24]}},
}
TAGS = [
    tag("LEVEL", "holding:0", "float32"),
    tag("OFFSET", "holding:2", "int16", kind="integer"),
    tag("VALVE", "coil:2"),
    tag("OTHER", "holding:1", "uint16", unit_id=2),
]
SOUND = {"LEVEL": (50.0, GOOD), "OFFSET": (-2, GOOD), "VALVE": (True, GOOD), "OTHER": (22.0, GOOD)}


def configure(line: SerialLine, tags: list[dict[str, Any]], **options: Any) -> ModbusConfig:
    given = {"id": "meters", "type": "modbus", "transport": "rtu", "serial_port": line.master, "parity": "none", "baudrate": 115_200}
    return ModbusConfig.model_validate({**given, "poll_interval_ms": 10, "timeout_ms": 2_000, **options, "tags": tags})


@asynccontextmanager
async def bus(units: Registers = UNITS) -> AsyncIterator[tuple[SerialLine, Device]]:
    line = SerialLine()
    line.start()
    device = Device(units, serial_port=line.slave)
    await device.start()
    try:
        yield line, device
    finally:
        await device.stop()
        line.stop()


@asynccontextmanager
async def reading(line: SerialLine, tags: list[dict[str, Any]], **options: Any) -> AsyncIterator[ModbusSource]:
    source = ModbusSource(configure(line, tags, **options), context())
    await source.connect()
    try:
        yield source
    finally:
        await source.close()


async def test_two_devices_on_a_serial_line_are_read() -> None:
    """W-41: Modbus RTU on a serial line."""
    async with bus() as (line, _), reading(line, TAGS) as source:
        for _ in range(3):
            assert await scan(source) == SOUND


async def test_values_are_written_over_a_serial_line() -> None:
    async with bus() as (line, device), reading(line, TAGS) as source:
        assert await source.write(WriteCommand("LEVEL", -12.5)) is CommandOutcome.DONE
        assert await source.write(WriteCommand("VALVE", False)) is CommandOutcome.DONE
        assert await source.write(WriteCommand("OFFSET", 5)) is CommandOutcome.DONE
        assert await device.get(1, "holding", 0, 3) == [0xC148, 0x0000, 5]
        assert await scan(source) == {**SOUND, "LEVEL": (-12.5, GOOD), "VALVE": (False, GOOD), "OFFSET": (5, GOOD)}


async def test_a_register_that_does_not_exist_is_bad_alone() -> None:
    async with bus() as (line, _), reading(line, [*TAGS, tag("NONE", "holding:50", "uint16")]) as source:
        assert await scan(source) == {**SOUND, "NONE": (None, Quality.BAD_UNKNOWN_ADDRESS)}


async def test_a_damaged_frame_is_asked_again() -> None:
    async with bus() as (line, device), reading(line, TAGS[:1], timeout_ms=1_000) as source:
        line.noise = 1
        assert await scan(source) == {"LEVEL": (50.0, GOOD)}
        assert len(device.requests) == 2


async def test_a_silent_device_does_not_take_its_neighbour_down() -> None:
    async with bus() as (line, device), reading(line, TAGS, timeout_ms=700, retries=0) as source:
        device.silent = {1}
        silent = (None, Quality.BAD_TIMEOUT)
        for _ in range(2):
            assert await scan(source) == {"LEVEL": silent, "OFFSET": silent, "VALVE": silent, "OTHER": (22.0, GOOD)}


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one() -> None:
    """RTU has no transaction ids: after a timeout the line must fall quiet first."""
    tags = [tag("A", "holding:0", "uint16"), tag("B", "holding:3", "uint16"), tag("OTHER", "holding:1", "uint16", unit_id=2)]
    units = {**UNITS, 1: {"holding": {0: [11], 3: [14]}}}
    async with bus(units) as (line, _), reading(line, tags, timeout_ms=800, retries=0) as source:
        line.late = [1.0, 0.3]  # without the quiet A's answer would come while B's is awaited
        assert await scan(source) == {"A": (None, Quality.BAD_TIMEOUT), "B": (14.0, GOOD), "OTHER": (22.0, GOOD)}
        assert await scan(source) == {"A": (11.0, GOOD), "B": (14.0, GOOD), "OTHER": (22.0, GOOD)}


async def test_nobody_on_the_line_is_unavailable() -> None:
    async with bus() as (line, device), reading(line, TAGS, timeout_ms=100, retries=0) as source:
        device.silent = {1, 2}
        assert "unit id 1, 2" in await fails(source)


async def test_an_unplugged_port_is_unavailable() -> None:
    async with bus() as (line, _), reading(line, TAGS, timeout_ms=1_000) as source:
        assert await scan(source) == SOUND
        line.unplug()
        await fails(source)
        await source.close()
        with pytest.raises(SourceUnavailable, match="cannot open"):
            await source.connect()


async def test_a_port_that_does_not_exist_says_what_to_look_at() -> None:
    config = ModbusConfig.model_validate({"id": "x", "type": "modbus", "transport": "rtu", "serial_port": "/dev/trunkline-no-such-port"})
    source = ModbusSource(config, context())
    with pytest.raises(SourceUnavailable, match="cannot open /dev/trunkline-no-such-port: is it plugged in"):
        await source.connect()
