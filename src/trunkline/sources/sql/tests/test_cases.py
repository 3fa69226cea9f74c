"""Golden cases: cases/<name>/ holds a source's section of the site file, the tables, and what must be read of them."""

import json
from pathlib import Path

import psycopg
import pytest
import yaml

from trunkline.model import quality, times
from trunkline.sources.sql.tests.support import Gateway

CASES = Path(__file__).parent / "cases"
NOW = times.from_iso("2026-11-21T13:00:05Z")


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str, dsn: str, tmp_path: Path) -> None:
    """W-45, W-48, D-16, PD-26, PD-27: from tables of a real PostgreSQL to readings and events: types, forms, zones, NULL, nonsense."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((CASES / name / "setup.sql").read_bytes())
    gateway = Gateway(tmp_path, lambda: NOW, dsn=dsn, **section)
    await gateway.source.connect()
    await gateway.once()
    told = [
        [one.tag, one.value, quality.name(one.quality), None if one.source_time is None else times.to_iso(one.source_time)]
        for one in gateway.readings
    ]
    assert told == expected["readings"]
    assert [[one.type, *one.attributes.values()] for one in gateway.events] == expected["events"]
    assert gateway.checkpoint == expected["checkpoint"]
    await gateway.source.close()
