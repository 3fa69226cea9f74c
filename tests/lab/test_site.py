"""The site file of the lab: valid, complete, up to date, and good for reading the plant through the real sources."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.harness import PATIENCE, PlantProcess, spared_ports
from typer.testing import CliRunner

from trunkline.config.loading import Site, check, load
from trunkline.config.tags import SourceConfig
from trunkline.lab.cli import app
from trunkline.lab.control import Endpoints
from trunkline.lab.truth import Truth
from trunkline.lab.vocabulary import ALARMS, EVENTS, TAG_NAMES, TAGS, ProtocolName, plant_units
from trunkline.model import times
from trunkline.model.events import Alarm, Event
from trunkline.model.quality import Severity, severity
from trunkline.model.reading import Reading, Value
from trunkline.sources.port import SourceContext, plugin

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECS = {tag.name: tag for tag in TAGS}


def write_site(path: Path, *options: str) -> Site:
    result = CliRunner().invoke(app, ["site", "--output", str(path), *options])
    assert result.exit_code == 0, result.output
    return load(path)


@pytest.mark.parametrize(("units", "period"), [(1, 1000), (2, 10), (10, 1000), (60, 100), (200, 5000)])
def test_sites_of_all_sizes_are_valid_and_complete(tmp_path: Path, units: int, period: int) -> None:
    """Every tag of every unit is read once, with kind, unit and range; nothing is wrong with the file."""
    site = write_site(tmp_path / "site.yaml", "--units", str(units), "--period-ms", str(period))
    problems = check(tmp_path / "site.yaml")
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert not problems or units < len(ProtocolName)  # without a unit of its own, a source is odd for having no tags
    assert set(site.tags()) == {f"{unit.path}.{name}" for unit in plant_units(units) for name in TAG_NAMES}
    for path, placed in site.tags().items():
        spec = SPECS[path.rpartition(".")[2]]
        assert (placed.tag.value_kind, placed.tag.unit, placed.tag.min, placed.tag.max) == (spec.kind, spec.unit, spec.low, spec.high)
        assert placed.tag.time == ("gateway" if placed.source.type == "modbus" else "device")
    assert site.config.lab is not None
    assert (site.config.lab.units, site.config.lab.period_ms) == (units, period)


def test_deadbands_can_be_left_out(tmp_path: Path) -> None:
    """A checker wants every reading; a newcomer's plant has deadbands on some tags."""
    assert any(placed.tag.deadband for placed in write_site(tmp_path / "with.yaml").tags().values())
    assert not any(placed.tag.deadband for placed in write_site(tmp_path / "without.yaml", "--no-deadbands").tags().values())


@pytest.mark.parametrize(("plant", "options"), [("plant", []), ("plant-kafka", ["--kafka-port", "19092"])])
def test_the_examples_are_what_the_command_writes(plant: str, options: list[str]) -> None:
    """Committed examples are never behind the code: `trunkline lab site … -o examples/<plant>/site.yaml` renews them."""
    result = CliRunner().invoke(app, ["site", *options])
    assert result.exit_code == 0
    assert (EXAMPLES / plant / "site.yaml").read_text() == result.stdout
    assert max(len(line) for line in result.stdout.splitlines() if line.lstrip().startswith("#")) <= 140


@pytest.fixture(scope="module")
def plant_and_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PlantProcess, Site, Endpoints]]:
    """A running plant, and the site file that the command writes for its ports."""
    directory = tmp_path_factory.mktemp("site") / "data" / "lab"
    process = PlantProcess(directory, "--units", "6", "--period-ms", "100", *spared_ports())
    ports = process.start()
    options = [f"--{name}-port={getattr(ports, f'{name}_port')}" for name in ("modbus", "opcua", "mqtt")]
    site = write_site(directory.parents[1] / "site.yaml", "--units", "6", "--period-ms", "100", "--no-deadbands", *options)
    yield process, site, ports
    process.close()


async def read_all(config: SourceConfig, directory: Path, seconds: float) -> tuple[list[Reading], list[Event]]:
    """Read a source for a while, as a gateway would; at least until every tag has a good value."""
    readings: list[Reading] = []
    events: list[Event] = []
    context = SourceContext("gw", directory, times.now, lambda reference: reference)
    source: Any = plugin(config.type).create(config, context)
    await source.connect()
    try:
        wanted = {tag.path for tag in config.tags}
        until = times.now() + int(seconds * times.SECOND)
        async with asyncio.timeout(PATIENCE):
            while wanted or times.now() < until:
                batch = await source.read()
                await batch.ack()
                readings += batch.readings
                events += batch.events
                wanted -= {reading.tag for reading in batch.readings if severity(reading.quality) is not Severity.BAD}
    finally:
        with contextlib.suppress(OSError):
            await source.close()
    return readings, events


async def test_real_sources_read_the_plant(plant_and_site: tuple[PlantProcess, Site, Endpoints], tmp_path: Path) -> None:
    """P-1, P-2: the three source plugins, configured by the file, read every tag with the values of the truth, and events and alarms."""
    process, site, _ = plant_and_site
    sources = site.sources("gw-plant")
    for source in sources:
        (tmp_path / source.id).mkdir()
    results = await asyncio.gather(*(read_all(source, tmp_path / source.id, 4) for source in sources))
    readings = [reading for part, _ in results for reading in part]
    events = [event for _, part in results for event in part]
    assert {reading.tag for reading in readings} == set(site.tags())
    truth = process.truth()
    known = true_values(truth)
    good = [reading for reading in readings if severity(reading.quality) is Severity.GOOD and reading.value is not None]
    strangers = [reading for reading in good if (reading.tag, reading.value) not in known]
    assert strangers == []
    assert len(good) > 6 * len(TAG_NAMES)
    assert {event.type for event in events} <= {spec.type for spec in (*EVENTS, *ALARMS)}
    assert {event.id for event in events} <= {message.id for message, _ in truth.messages()}
    assert {isinstance(event, Alarm) for event in events if event.type == "SETPOINT_CHANGE"} == {False}


def true_values(truth: Truth) -> set[tuple[str, Value]]:
    return {(value.tag, value.value) for value in truth.values()}


def test_faults_find_the_plant_by_its_site_file(plant_and_site: tuple[PlantProcess, Site, Endpoints]) -> None:
    """`trunkline lab fault … --site FILE` needs no knowledge of directories."""
    _, site, _ = plant_and_site
    runner = CliRunner()
    on = runner.invoke(app, ["fault", "drift", "all", "--site", str(site.file)])
    assert on.exit_code == 0, on.output
    assert "drift all 5 on" in on.stdout
    assert "cleared" in runner.invoke(app, ["fault", "clear", "--site", str(site.file)]).stdout
