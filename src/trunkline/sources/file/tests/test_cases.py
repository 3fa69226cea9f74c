"""Golden cases: cases/<name>/ holds a source's section of the site file, a file, and what must be read of it."""

import json
from pathlib import Path

import pytest
import yaml

from trunkline.model import quality, times
from trunkline.sources.file.tests.support import Gateway

CASES = Path(__file__).parent / "cases"
NOW = times.from_iso("2026-11-21T13:00:05Z")


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str, tmp_path: Path) -> None:
    """W-45, W-48, D-16, PD-26, PD-27: columns, forms, zones and lines that make no sense, from real files to readings and events."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    gateway = Gateway(str(CASES / name / "data.txt"), tmp_path, lambda: NOW, **{"format": {"syntax": "csv"}, **section})
    await gateway.source.connect()
    await gateway.settle()
    told = [
        [one.tag, one.value, quality.name(one.quality), None if one.source_time is None else times.to_iso(one.source_time)]
        for one in gateway.readings
    ]
    assert told == expected["readings"]
    assert [[one.attributes[key] for key in ("line", "lines", "reason")] for one in gateway.events] == expected.get("events", [])
    assert {one.type for one in gateway.events} <= {"LINE_UNDECODABLE"}
    assert gateway.source.undecodable == expected.get("undecodable", 0)
    assert {one.gateway_time for one in gateway.readings} == {NOW}
    await gateway.source.close()
