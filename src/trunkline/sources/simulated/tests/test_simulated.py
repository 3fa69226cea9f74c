"""The simulated source: golden cases (cases/<name>/ holds configuration and the first readings), statistics, behaviour."""

import asyncio
import json
import statistics
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from trunkline.model import times
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading
from trunkline.sources.port import CommandOutcome, SourceContext, WriteCommand
from trunkline.sources.simulated.config import SimulatedConfig, SimulatedTagConfig
from trunkline.sources.simulated.signals import values
from trunkline.sources.simulated.source import SimulatedSource

CASES = Path(__file__).parent / "cases"
NOW = times.from_iso("2026-11-21T13:00:00Z")


def source(tmp_path: Path, **section: Any) -> SimulatedSource:
    config = SimulatedConfig.model_validate({"id": "practice", **section})
    return SimulatedSource(config, SourceContext("gateway-1", tmp_path, lambda: NOW, str))


async def steps(simulated: SimulatedSource, count: int) -> list[list[Reading]]:
    return [list((await simulated.read()).readings) for _ in range(count)]


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str, tmp_path: Path) -> None:
    """P-36…P-38, PD-26: the same seed and start give the same readings, for every shape; no value needs a BAD quality."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    interval = section["interval_ms"] / 1000
    config = SimulatedConfig.model_validate({"id": "practice", **section})
    made = {tag.path: list(islice(values(tag, config.seed, interval), len(expected[tag.path]))) for tag in config.tags}
    assert {path: [round(value, 9) if isinstance(value, float) else value for value in row] for path, row in made.items()} == expected
    simulated = source(tmp_path, **{**section, "interval_ms": 1})
    await simulated.connect()
    for reading in (await steps(simulated, 1))[0]:
        first = expected[reading.tag][0]
        assert reading.value == (pytest.approx(first, abs=1e-8) if isinstance(first, float) else first)
        assert reading.quality == (Quality.BAD_SENSOR_FAULT if first is None else Quality.GOOD)
        assert (reading.source_time, reading.gateway_time) == (NOW, NOW)


@pytest.mark.parametrize(
    ("setpoint", "noise", "low", "high"), [(50, 5, 0, 120), (12, 1.5, 0, 30), (180, 8, -20, 400)], ids=["flow", "pressure", "temperature"]
)
def test_a_walk_comes_back_to_its_setpoint(setpoint: float, noise: float, low: float, high: float) -> None:
    """P-36, P-37, P-38, P-123: mean and spread of the Gaussian walk are those that are set; it stays in its range."""
    signal = {"shape": "walk", "setpoint": setpoint, "noise": noise}
    tag = SimulatedTagConfig.model_validate({"path": "P.WALK", "min": low, "max": high, "signal": signal})
    walk = [value for value in islice(values(tag, 1, 1.0), 50_000) if isinstance(value, float)]
    assert statistics.fmean(walk) == pytest.approx(setpoint, abs=noise * 0.15)
    assert statistics.stdev(walk) == pytest.approx(noise, rel=0.1)
    assert low <= min(walk) <= max(walk) <= high


def test_chances_of_a_tag_do_not_depend_on_others_or_on_faults() -> None:
    walk = {"path": "P.WALK", "signal": {"shape": "walk"}}
    sound, faulty, other = (
        SimulatedTagConfig.model_validate(section) for section in (walk, {**walk, "bad": 0.3}, {**walk, "path": "P.OTHER"})
    )
    first = list(islice(values(sound, 7, 1.0), 1000))
    assert list(islice(values(sound, 7, 1.0), 1000)) == first
    assert list(islice(values(sound, 8, 1.0), 1000)) != first
    assert list(islice(values(other, 7, 1.0), 1000)) != first
    with_faults = list(islice(values(faulty, 7, 1.0), 1000))
    assert 200 < with_faults.count(None) < 400
    assert all(value in (None, same) for value, same in zip(with_faults, first, strict=True))


async def test_connecting_again_starts_again(tmp_path: Path) -> None:
    simulated = source(tmp_path, interval_ms=1, tags=[{"path": "P.COUNT", "kind": "integer", "signal": {"shape": "counter"}}])
    for _ in range(2):
        await simulated.connect()
        assert [step[0].value for step in await steps(simulated, 3)] == [0, 1, 2]
        await simulated.close()
    with pytest.raises(SourceUnavailable, match="not connected"):
        await simulated.read()


async def test_no_steps_are_made_up_after_a_pause(tmp_path: Path) -> None:
    """A gateway that was held up gets the next reading, not a burst of all that it missed."""
    hour = 3600.0
    counting = {"path": "P.COUNT", "kind": "integer", "signal": {"shape": "counter"}}
    simulated = source(tmp_path, interval_ms=int(hour * 1000), tags=[counting])
    await simulated.connect()
    await steps(simulated, 1)
    simulated._due -= 10 * hour
    await steps(simulated, 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(steps(simulated, 1), 0.2)


async def test_writing_holds_a_tag(tmp_path: Path) -> None:
    tags = [{"path": "P.HELD", "writable": True}, {"path": "P.FIXED"}]
    simulated = source(tmp_path, interval_ms=1, tags=tags)
    with pytest.raises(SourceUnavailable):
        await simulated.write(WriteCommand("P.HELD", 1.0))
    await simulated.connect()
    assert await simulated.write(WriteCommand("P.HELD", 77)) is CommandOutcome.DONE
    assert [step[0].value for step in await steps(simulated, 2)] == [77.0, 77.0]
    assert await simulated.write(WriteCommand("P.HELD", "text")) is CommandOutcome.REFUSED
    assert await simulated.write(WriteCommand("P.HELD", None)) is CommandOutcome.REFUSED
    for path in ("P.FIXED", "P.NONE"):
        with pytest.raises(SourceMisconfigured, match="writable"):
            await simulated.write(WriteCommand(path, 1.0))
    await simulated.connect()
    assert (await steps(simulated, 1))[0][0].value != 77.0


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ({"kind": "boolean"}, "signal 'sine' makes double values"),
        ({"kind": "double", "signal": {"shape": "counter"}}, "makes integer values"),
        ({"signal": {"shape": "triangle"}}, "triangle"),
        ({"signal": {"shape": "sine", "period": 0}}, "greater than 0"),
        ({"signal": {"shape": "sine", "frequency": 1}}, "frequency"),
        ({"bad": 1.5}, "less than or equal to 1"),
    ],
)
def test_wrong_signals_are_refused(tag: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SimulatedTagConfig.model_validate({"path": "P.A", **tag})
