"""Golden cases: cases/<name>/ holds a source's section of the site file, the registers of a device, and what one scan must bring."""

import json
from pathlib import Path

import pytest
import yaml

from trunkline.model import quality
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.modbus.source import plan
from trunkline.sources.modbus.tests.support import connected, plant, scan

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str) -> None:
    """W-41, W-48, W-49, D-8: from configuration to readings over real Modbus TCP."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    registers = yaml.safe_load((CASES / name / "registers.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    async with plant(registers) as (_, front):
        config = ModbusConfig.model_validate(
            {"id": name.replace("_", "-"), "host": "127.0.0.1", "port": front.port, "timeout_ms": 10_000, "poll_interval_ms": 10, **section}
        )
        if "requests" in expected:
            assert len(plan(config, config.tags)) == expected["requests"]
        async with connected(config) as source:
            for _ in range(2):  # the second scan uses what the first one learnt
                readings = await scan(source)
                assert {path: [value, quality.name(code)] for path, (value, code) in readings.items()} == expected["readings"]
