"""What a scan learns of a line, with a clock that the tests turn."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from trunkline.model import times
from trunkline.model.errors import SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.sources.modbus import scan as scan_module
from trunkline.sources.modbus.line import Line
from trunkline.sources.modbus.scan import FIRST_RECHECK, FIRST_REST, LAST_REST, Region, Scanner
from trunkline.sources.modbus.source import layout_of, plan
from trunkline.sources.modbus.tests.devices import Device, Front, Registers
from trunkline.sources.modbus.tests.support import configure, judged, tag

GOOD = Quality.GOOD
SILENT = (None, Quality.BAD_TIMEOUT)
MISSING = (None, Quality.BAD_UNKNOWN_ADDRESS)
WORDS = {"holding": {0: list(range(8))}}


class Bench:
    """A scanner on a real line."""

    def __init__(self, device: Device, line: Line, tags: Iterable[dict[str, Any]], **options: Any) -> None:
        config = configure(tags, **options)
        layouts = [layout_of(config, one) for one in config.tags]
        self.now = 1000.0
        self.device = device
        self.regions = [Region(request, layouts) for request in plan(config, config.tags)]
        units = {config.unit_of(one) for one in config.tags}
        self._scanner = Scanner(line, units, config.retries, times.now, lambda: self.now)

    async def scan(self) -> tuple[dict[str, Any], list[tuple[int, int, int, int]]]:
        """Return what a scan brought, and the requests that the device saw."""
        self.device.requests.clear()
        return judged(await self._scanner.scan(self.regions)), list(self.device.requests)


@asynccontextmanager
async def bench(units: Registers, tags: Iterable[dict[str, Any]], **options: Any) -> AsyncIterator[Bench]:
    device = Device(units)
    await device.start()
    options = {"port": device.port, "timeout_ms": 600, "retries": 0, **options}
    line = Line(configure([], **options))
    await line.open()
    try:
        yield Bench(device, line, tags, **options)
    finally:
        line.close()
        await device.stop()


async def test_an_answer_that_comes_very_late_has_a_doubtful_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """D-15, W-109: the value is kept, UNCERTAIN, under the time of the request; the next scan is GOOD and under its own time."""
    monkeypatch.setattr(scan_module, "LONGEST_SPAN", 0.5)
    device, front = Device({1: WORDS}), Front()
    await device.start()
    await front.start(device.port)
    front.late = [1.0]
    config = configure([tag("T1", "holding:1", "uint16"), tag("T2", "holding:2", "int16", kind="integer")], port=front.port)
    line = Line(config)
    await line.open()
    regions = [Region(request, [layout_of(config, one) for one in config.tags]) for request in plan(config, config.tags)]
    scanner = Scanner(line, {1}, 0, times.now, lambda: 0.0)
    asked = times.now()
    late = (await scanner.scan(regions)).readings()
    answered = times.now()
    soon = (await scanner.scan(regions)).readings()
    line.close()
    await front.stop()
    await device.stop()
    assert judged(late) == {"T1": (1.0, Quality.UNCERTAIN_TIME), "T2": (2, Quality.UNCERTAIN_TIME)}
    assert judged(soon) == {"T1": (1.0, GOOD), "T2": (2, GOOD)}
    assert all(asked <= one.gateway_time <= answered - times.SECOND // 2 for one in late)
    assert all(one.gateway_time >= answered for one in soon)


async def test_a_narrowed_request_is_tried_as_a_whole_again_after_a_while() -> None:
    """The split is remembered; a register that appears later is found."""
    units = {1: {"holding": {0: [0, 1, 2], 4: [4, 5, 6, 7]}}}
    async with bench(units, [tag(f"T{at}", f"holding:{at}", "uint16") for at in range(8)], timeout_ms=10_000) as line:
        good = {f"T{at}": (float(at), GOOD) for at in range(8) if at != 3}
        assert (await line.scan())[0] == {**good, "T3": MISSING}
        settled = [(1, 3, 0, 2), (1, 3, 2, 1), (1, 3, 4, 4)]
        line.now += FIRST_RECHECK - 1
        readings, requests = await line.scan()
        assert (readings, requests) == ({**good, "T3": MISSING}, settled)
        line.now += 2
        assert (await line.scan())[0] == {**good, "T3": MISSING}
        line.now += FIRST_RECHECK  # it waits twice as long now
        assert await line.scan() == ({**good, "T3": MISSING}, settled)

        await line.device.stop()
        replacement = Device({1: {"holding": {0: list(range(8))}}})
        await replacement.start()
        try:
            async with bench_on(line, replacement) as again:
                again.now = line.now + 2 * FIRST_RECHECK
                assert await again.scan() == ({**good, "T3": (3.0, GOOD)}, [(1, 3, 0, 8)])
        finally:
            await replacement.stop()


@asynccontextmanager
async def bench_on(old: Bench, device: Device) -> AsyncIterator[Bench]:
    """The regions of a bench, with what they have learnt, on another device."""
    line = Line(configure([], port=device.port, timeout_ms=10_000))
    await line.open()
    new = Bench(device, line, [tag("X", "holding:0", "uint16")])
    new.regions = old.regions
    try:
        yield new
    finally:
        line.close()


async def test_a_silent_unit_is_asked_more_and_more_seldom() -> None:
    tags = [tag("A", "holding:0", "uint16"), tag("A2", "holding:4", "uint16"), tag("A3", "holding:6", "uint16")]
    async with bench({1: WORDS, 2: WORDS}, [*tags, tag("B", "holding:1", "uint16", unit_id=2)]) as line:
        line.device.silent = {1}
        expected = {"A": SILENT, "A2": SILENT, "A3": SILENT, "B": (1.0, GOOD)}
        rest = FIRST_REST
        for _ in range(3):
            readings, requests = await line.scan()
            assert readings == expected
            assert [unit for unit, *_ in requests] == [1, 1, 2]  # two without an answer are enough
            line.now += rest * 0.9
            readings, requests = await line.scan()
            assert readings == expected
            assert [unit for unit, *_ in requests] == [2]
            line.now += rest * 0.2
            rest = min(2 * rest, LAST_REST)
        line.device.silent = set()
        readings, requests = await line.scan()
        assert readings == {"A": (0.0, GOOD), "A2": (4.0, GOOD), "A3": (6.0, GOOD), "B": (1.0, GOOD)}
        line.device.silent = {1}
        await line.scan()
        line.now += FIRST_REST * 1.1  # a sign of life starts the rests anew
        assert [unit for unit, *_ in (await line.scan())[1]] == [1, 1, 2]


async def test_addresses_that_are_never_answered_do_not_silence_their_unit() -> None:
    tags = [tag("A", "coil:0"), tag("DUMB", "holding:0", "uint16"), tag("DUMB2", "holding:4", "uint16"), tag("B", "input:4", "uint16")]
    async with bench({1: {**WORDS, "input": {4: [7]}, "coil": {0: [1]}}}, tags) as line:
        line.device.deaf = {(3, 0), (3, 4)}
        for _ in range(2):
            readings, _ = await line.scan()
            assert readings == {"A": (True, GOOD), "DUMB": SILENT, "DUMB2": SILENT, "B": (7.0, GOOD)}


async def test_a_gateway_that_reports_its_only_unit_missing_is_still_there() -> None:
    async with bench({1: WORDS}, [tag("A", "holding:0", "uint16")]) as line:
        line.device.failing = {(1, 0): ExcCodes.GATEWAY_NO_RESPONSE}
        for _ in range(2):
            assert (await line.scan())[0] == {"A": SILENT}
        line.device.failing = {}
        line.now += FIRST_REST * 2
        assert (await line.scan())[0] == {"A": (0.0, GOOD)}


async def test_unanswered_reads_are_asked_again_as_often_as_configured() -> None:
    """W-51: max_retries."""
    async with bench(
        {1: WORDS, 2: WORDS}, [tag("A", "holding:0", "uint16"), tag("B", "holding:1", "uint16", unit_id=2)], retries=2
    ) as line:
        line.device.silent = {1}
        assert [unit for unit, *_ in (await line.scan())[1]] == [1, 1, 1, 2]


async def test_the_source_is_unavailable_only_when_no_unit_answers() -> None:
    """D-10: a long outage of a device is told, and the gateway tries again."""
    async with bench({1: WORDS, 2: WORDS}, [tag("A", "holding:0", "uint16"), tag("B", "holding:1", "uint16", unit_id=2)]) as line:
        line.device.silent = {1}
        assert (await line.scan())[0] == {"A": SILENT, "B": (1.0, GOOD)}
        line.device.silent = {1, 2}
        with pytest.raises(SourceUnavailable, match="unit id 1, 2"):
            await line.scan()
