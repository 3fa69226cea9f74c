"""The source against a real Modbus TCP server, well and badly behaved."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.model.reading import Value
from trunkline.sources.modbus import PLUGIN
from trunkline.sources.modbus.source import ModbusSource
from trunkline.sources.modbus.tests.devices import Device, Front
from trunkline.sources.modbus.tests.support import PATIENCE, configure, connected, context, fails, plant, scan, tag
from trunkline.sources.port import CommandOutcome, WriteCommand

GOOD = Quality.GOOD
PLAIN = {1: {"holding": {0: [10, 11, 12, 13, 14, 15, 16, 17]}, "coil": {0: [0] * 16}, "input": {0: [5]}}}


ONE = [tag("A", "holding:0", "uint16")]
EIGHT = [tag(f"T{at}", f"holding:{at}", "uint16") for at in range(8)]


def source_at(front: Front, tags: list[dict[str, Any]], **options: Any) -> AbstractAsyncContextManager[ModbusSource]:
    return connected(configure(tags, port=front.port, **options))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_readings_carry_the_gateways_clock_and_no_source_time() -> None:
    """D-16: Modbus devices have no clock."""
    async with plant(PLAIN) as (_, front):
        config = configure(ONE, port=front.port)
        source = ModbusSource(config, context(now=lambda: 42))
        await source.connect()
        (reading,) = (await source.read()).readings
        assert (reading.source_time, reading.gateway_time, reading.value) == (None, 42, 10.0)
        await source.close()


async def test_a_refused_address_is_found_once_and_left_out_afterwards() -> None:
    """Issue requirement: per-address exceptions turn into BAD quality for those tags only, with few requests."""
    async with plant({1: {"holding": {0: list(range(20)), 21: list(range(21, 40))}}}) as (device, front):
        config = configure([tag(f"T{at}", f"holding:{at}", "uint16") for at in range(40)], port=front.port)
        async with connected(config) as source:
            for _ in range(2):
                device.requests.clear()
                readings = await scan(source)
                assert readings.pop("T20") == (None, Quality.BAD_UNKNOWN_ADDRESS)
                assert readings == {f"T{at}": (float(at), GOOD) for at in range(40) if at != 20}
            assert all(not start <= 20 < start + size for _, _, start, size in device.requests)
            assert sum(size for _, _, _, size in device.requests) == 39


async def test_a_broken_register_is_a_device_fault_of_its_own_tag() -> None:
    async with plant(PLAIN) as (device, front):
        device.failing = {(1, 3): ExcCodes.DEVICE_FAILURE}
        async with source_at(front, EIGHT) as source:
            readings = await scan(source)
            assert readings.pop("T3") == (None, Quality.BAD_DEVICE_FAULT)
            assert all(quality == GOOD for _, quality in readings.values())


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (ExcCodes.ILLEGAL_FUNCTION, Quality.BAD_CONFIGURATION),
        (ExcCodes.ILLEGAL_ADDRESS, Quality.BAD_UNKNOWN_ADDRESS),
        (ExcCodes.ILLEGAL_VALUE, Quality.BAD_CONFIGURATION),
        (ExcCodes.DEVICE_FAILURE, Quality.BAD_DEVICE_FAULT),
        (ExcCodes.ACKNOWLEDGE, Quality.BAD_TIMEOUT),
        (ExcCodes.DEVICE_BUSY, Quality.BAD_TIMEOUT),
        (ExcCodes.MEMORY_PARITY_ERROR, Quality.BAD_DEVICE_FAULT),
        (ExcCodes.GATEWAY_PATH_UNAVIABLE, Quality.BAD_NOT_CONNECTED),
        (ExcCodes.GATEWAY_NO_RESPONSE, Quality.BAD_TIMEOUT),
    ],
)
async def test_every_exception_has_a_quality_and_goes_when_it_goes(code: ExcCodes, quality: Quality) -> None:
    async with plant({**PLAIN, 2: PLAIN[1]}) as (device, front):
        tags = [tag("A", "holding:0", "uint16"), tag("B", "holding:0", "uint16", unit_id=2)]
        async with source_at(front, tags) as source:
            device.failing = {(2, 0): code}
            assert await scan(source) == {"A": (10.0, GOOD), "B": (None, quality)}
            device.failing = {}

            async def recovered() -> bool:
                return (await scan(source))["B"] == (10.0, GOOD)

            await until(recovered)


async def test_when_nothing_is_given_the_whole_is_asked_again_and_comes_back() -> None:
    async with plant(PLAIN) as (device, front), source_at(front, EIGHT) as source:
        device.failing = {(1, at): ExcCodes.DEVICE_FAILURE for at in range(8)}
        assert set((await scan(source)).values()) == {(None, Quality.BAD_DEVICE_FAULT)}
        device.requests.clear()
        await scan(source)
        assert len(device.requests) == 1
        device.failing = {}
        assert await scan(source) == {f"T{at}": (10.0 + at, GOOD) for at in range(8)}


async def test_a_silent_unit_does_not_take_the_others_down() -> None:
    """Timeouts of one unit id leave the other unit ids of the line alone."""
    async with plant({**PLAIN, 2: PLAIN[1]}) as (device, front):
        device.silent = {1}
        tags = [tag("A", "holding:0", "uint16"), tag("A2", "holding:5", "uint16"), tag("B", "holding:0", "uint16", unit_id=2)]
        async with source_at(front, tags, timeout_ms=700, retries=0) as source:
            for _ in range(3):
                assert await scan(source) == {"A": (None, Quality.BAD_TIMEOUT), "A2": (None, Quality.BAD_TIMEOUT), "B": (10.0, GOOD)}
            device.silent = set()

            async def recovered() -> bool:
                return (await scan(source))["A"] == (10.0, GOOD)

            await until(recovered)


async def test_when_no_unit_answers_the_source_is_unavailable() -> None:
    async with plant({**PLAIN, 2: PLAIN[1]}) as (device, front):
        device.silent = {1, 2}
        tags = [tag("A", "holding:0", "uint16"), tag("B", "holding:0", "uint16", unit_id=2)]
        async with source_at(front, tags, timeout_ms=100) as source:
            assert await fails(source) == "no answer from unit id 1, 2: check unit ids, wiring and 'timeout_ms'"


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("frozen", "no answer"),
        ("wrong", "no answer"),
        ("garbage", "127.0.0.1"),
        ("half", "half an answer"),
        ("short", "an answer of another size"),
    ],
)
async def test_a_misbehaving_device_is_unavailable_and_the_next_connection_starts_clean(mode: str, why: str) -> None:
    """Issue requirement: silence, garbage, half frames, wrong transaction ids."""
    async with plant(PLAIN) as (_, front):
        config = configure([tag("A", "holding:0", "uint16"), tag("B", "holding:4", "uint16")], port=front.port, timeout_ms=700)
        async with connected(config) as source:
            assert await scan(source) == {"A": (10.0, GOOD), "B": (14.0, GOOD)}
            front.mode = mode  # type: ignore[assignment]  # one of its modes
            assert why in await fails(source)
            front.mode = "pass"
            await source.close()
            await source.connect()
            assert await scan(source) == {"A": (10.0, GOOD), "B": (14.0, GOOD)}


async def test_slow_answers_are_read_and_missed_scans_counted() -> None:
    """W-51: the schedule does not drift and does not pile up."""
    async with plant(PLAIN) as (_, front):
        front.delay = 0.1
        async with source_at(front, ONE, poll_interval_ms=20) as source:
            assert await scan(source) == {"A": (10.0, GOOD)}
            assert source.missed_scans >= 4


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    """Answers that come after the timeout belong to transactions that are over."""
    async with plant({**PLAIN, 2: PLAIN[1]}) as (device, front):
        tags = [tag("A", "holding:0", "uint16"), tag("B", "holding:4", "uint16"), tag("C", "holding:6", "uint16", unit_id=2)]
        async with source_at(front, tags, timeout_ms=800, retries=0) as source:
            front.late = [1.0, 0.0]  # the first answer comes while the second is awaited
            assert await scan(source) == {"A": (None, Quality.BAD_TIMEOUT), "B": (14.0, GOOD), "C": (16.0, GOOD)}
            assert await scan(source) == {"A": (10.0, GOOD), "B": (14.0, GOOD), "C": (16.0, GOOD)}
            assert len(device.requests) == 6


async def test_a_dropped_connection_is_noticed_while_waiting_for_the_next_scan() -> None:
    async with plant(PLAIN) as (_, front), source_at(front, ONE, poll_interval_ms=3_600_000) as source:
        await scan(source)
        waiting = asyncio.create_task(fails(source))
        await front.drop()
        assert "lost" in await waiting


async def test_a_connection_dropped_during_a_request_does_not_wait_for_the_timeout() -> None:
    async with plant(PLAIN) as (device, front):
        front.mode = "frozen"
        async with source_at(front, ONE, timeout_ms=3_600_000) as source:
            waiting = asyncio.create_task(fails(source))
            await until(lambda: _true(front.accepted == 1))
            await front.drop()
            assert "lost" in await waiting
    assert not device.requests


async def _true(value: bool) -> bool:
    return value


async def test_nobody_there_is_unavailable_and_says_where() -> None:
    async with plant(PLAIN) as (_, front):
        await front.stop()
        source = ModbusSource(configure(ONE, port=front.port), context())
        with pytest.raises(SourceUnavailable, match=rf"cannot open 127.0.0.1:{front.port}"):
            await source.connect()
        with pytest.raises(SourceUnavailable):
            await source.read()
        await source.close()
        await source.close()


async def test_reading_ends_promptly_when_cancelled_and_goes_on_afterwards() -> None:
    async with plant(PLAIN) as (_, front), source_at(front, ONE) as source:
        front.mode = "frozen"
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        front.mode = "pass"
        assert await scan(source) == {"A": (10.0, GOOD)}


async def test_closing_wakes_a_reader() -> None:
    async with plant(PLAIN) as (_, front), source_at(front, ONE, poll_interval_ms=3_600_000) as source:
        await scan(source)
        waiting = asyncio.create_task(fails(source))
        await asyncio.sleep(0)
        await source.close()
        assert "closed" in await waiting


async def test_groups_are_scanned_at_their_own_pace() -> None:
    """Optional interval per tag."""
    async with plant(PLAIN) as (_, front):
        tags = [tag("FAST", "holding:0", "uint16", poll_interval_ms=5), tag("SLOW", "holding:4", "uint16", poll_interval_ms=3_600_000)]
        async with source_at(front, tags) as source:
            seen = [tuple(await scan(source)) for _ in range(6)]
            assert seen.count(("SLOW",)) == 1
            assert seen.count(("FAST",)) == 5


async def test_limits_of_the_device_are_kept() -> None:
    async with plant({1: {"holding": {0: list(range(300))}, "coil": {0: [1] * 64}}}) as (device, front):
        tags = [tag(f"T{at}", f"holding:{at}", "uint16") for at in range(300)] + [tag(f"C{at}", f"coil:{at}") for at in range(64)]
        async with source_at(front, tags, max_registers=50, max_coils=20) as source:
            readings = await scan(source)
            assert all(quality == GOOD for _, quality in readings.values())
            assert readings["T299"] == (299.0, GOOD)
            assert sorted(size for _, function, _, size in device.requests if function == 3) == [50] * 6


WRITES: list[tuple[str, str, Value, Value]] = [
    ("coil:5", "bool", True, True),
    ("coil:5", "bool", False, False),
    ("holding:0", "int16", -3, -3),
    ("holding:0", "uint16", 65_535, 65_535),
    ("holding:0", "int32", -70_000, -70_000),
    ("holding:0", "uint64", 2**63 - 1, 2**63 - 1),
    ("holding:0", "float32", 2.5, 2.5),
    ("holding:0", "float64", 1e300, 1e300),
    ("holding:0", "string(8)", "PUMP-1", "PUMP-1"),
    ("holding:0", "bool", True, True),
    ("holding:0", "bit(2)", True, True),
    ("holding:0", "bits(4,3)", 5, 5),
]


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize(("address", "form", "value", "back"), WRITES)
async def test_every_format_is_written_and_read_back(address: str, form: str, value: Value, back: Value, order: str) -> None:
    kind = "integer" if "int" in form or form.startswith("bits(") else None
    async with plant(PLAIN) as (_, front):
        config = configure([tag("A", address, form, word_order=order, **({"kind": kind} if kind else {}))], port=front.port)
        async with connected(config) as source:
            assert await source.write(WriteCommand("A", value)) is CommandOutcome.DONE
            assert await scan(source) == {"A": (back, GOOD)}


async def test_a_bit_is_written_without_touching_its_register() -> None:
    async with plant(PLAIN) as (device, front):
        await device.set(1, "holding", 0, [0xFF00])
        async with source_at(front, [tag("A", "holding:0", "bit(0)")]) as source:
            assert await source.write(WriteCommand("A", True)) is CommandOutcome.DONE
            assert await device.get(1, "holding", 0) == [0xFF01]


async def test_a_write_is_refused_by_the_device_or_for_its_value() -> None:
    async with plant(PLAIN) as (device, front):
        tags = [tag("A", "holding:0", "uint16"), tag("MISSING", "holding:5000", "uint16")]
        async with source_at(front, tags) as source:
            assert await source.write(WriteCommand("MISSING", 1)) is CommandOutcome.REFUSED
            assert await source.write(WriteCommand("A", 70_000)) is CommandOutcome.REFUSED
            assert await source.write(WriteCommand("A", "on")) is CommandOutcome.REFUSED
            device.failing = {(1, 0): ExcCodes.DEVICE_FAILURE}
            assert await source.write(WriteCommand("A", 1)) is CommandOutcome.UNKNOWN
            device.failing = {}
            assert await scan(source) == {"A": (10.0, GOOD), "MISSING": (None, Quality.BAD_UNKNOWN_ADDRESS)}


async def test_a_device_without_the_single_write_gets_the_multiple_one() -> None:
    async with plant(PLAIN) as (device, front):
        refused = []

        async def without_function_6(
            function: int, _first: int, _at: int, _size: int, _registers: list[int], values: list[int] | list[bool] | None
        ) -> ExcCodes | None:
            if function == 6 and values is not None:
                refused.append(function)
                return ExcCodes.ILLEGAL_FUNCTION
            return None

        device.answer_with(1, without_function_6)
        async with source_at(front, ONE) as source:
            assert await source.write(WriteCommand("A", 99)) is CommandOutcome.DONE
            assert refused == [6]
            assert await device.get(1, "holding", 0) == [99]


@pytest.mark.parametrize("mode", ["frozen", "garbage", "half", "wrong"])
async def test_a_write_without_an_answer_is_unknown_and_sent_once(mode: str) -> None:
    """A timeout is UNKNOWN, never 'failed': the device may have acted."""
    async with plant(PLAIN) as (device, front), source_at(front, ONE, timeout_ms=500, retries=5) as source:
        front.mode = mode  # type: ignore[assignment]  # one of its modes
        assert await source.write(WriteCommand("A", 77)) is CommandOutcome.UNKNOWN
        assert await device.get(1, "holding", 0) == [77 if mode in ("half", "wrong") else 10]
        assert device.writes == (1 if mode in ("half", "wrong") else 0)


async def test_what_cannot_be_written_is_a_configuration_fault() -> None:
    async with plant(PLAIN) as (_, front), source_at(front, [tag("A", "input:0", "uint16")]) as source:
        with pytest.raises(SourceMisconfigured, match="tag A: input registers are read-only"):
            await source.write(WriteCommand("A", 1))
        with pytest.raises(SourceMisconfigured, match="no tag B"):
            await source.write(WriteCommand("B", 1))
        await source.close()
        with pytest.raises(SourceMisconfigured):
            await source.write(WriteCommand("A", 1))


async def test_a_write_without_a_connection_sends_nothing() -> None:
    source = ModbusSource(configure(ONE), context())
    with pytest.raises(SourceUnavailable, match="nothing was sent"):
        await source.write(WriteCommand("A", 1))


async def test_there_is_nothing_to_browse() -> None:
    source = ModbusSource(configure([]), context())
    with pytest.raises(NotImplementedError, match="manual"):
        await source.browse("")
    assert (PLUGIN.can_write, PLUGIN.can_browse) == (True, False)


async def test_a_source_without_tags_waits_until_the_connection_is_lost() -> None:
    async with plant(PLAIN) as (_, front), source_at(front, []) as source:
        waiting = asyncio.create_task(fails(source))
        await until(lambda: _true(front.accepted == 1))
        await front.drop()
        assert "lost" in await waiting


async def test_a_storm_of_reconnections_leaves_nothing_behind() -> None:
    """Issue requirement: reconnect storms."""
    async with plant(PLAIN) as (_, front):
        source = ModbusSource(configure(ONE, port=front.port), context())
        before = len(asyncio.all_tasks())
        for _ in range(30):
            await source.connect()
            assert await scan(source) == {"A": (10.0, GOOD)}
            await front.drop()
        await source.close()
        await until(lambda: _true(len(asyncio.all_tasks()) <= before))


async def test_a_device_of_its_own_is_what_the_tests_think_it_is() -> None:
    device = Device(PLAIN)
    await device.start()
    try:
        await device.set(1, "coil", 3, [1])
        assert await device.get(1, "coil", 2, 3) == [0, 1, 0]
    finally:
        await device.stop()
