"""Golden cases: cases/<name>/ holds a source's section of the site file, what radios send, and what must be read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trunkline.model import quality
from trunkline.sources.xbee.config import XBeeConfig
from trunkline.sources.xbee.tests.radio import NODE, Module
from trunkline.sources.xbee.tests.support import connected, module, readings

CASES = Path(__file__).parent / "cases"


def put(at: Module, frame: dict[str, Any]) -> None:
    """Have a radio send a payload, a sample, or bytes that are no good."""
    node = frame.get("node", NODE)
    if "payload" in frame:
        at.receive(bytes.fromhex(frame["payload"]), node)
    elif "sample" in frame:
        at.sampled(bytes.fromhex(frame["sample"]), node)
    else:
        at.put(bytes.fromhex(frame["wire"]))


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str) -> None:
    """W-44, W-48, W-49, D-8: from radio frames on a serial port, through virtual registers, to readings."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    frames = yaml.safe_load((CASES / name / "frames.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    with module(section.get("api_mode", 1)) as at:
        config = XBeeConfig.model_validate({"id": "case", "type": "xbee", "port": str(at.path), "timeout_ms": 10_000, **section})
        async with connected(config) as source:
            for frame in frames:
                put(at, frame)
            found = await readings(source, len(expected["readings"]))
    assert [[tag, value, quality.name(code)] for tag, value, code in found] == expected["readings"]
    assert source.damaged == expected.get("damaged", 0)
    assert source.strange == expected.get("strange", 0)
