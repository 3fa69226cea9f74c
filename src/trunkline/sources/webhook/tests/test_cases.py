"""Golden cases: cases/<name>/ holds a source's section of the site file, requests, and what must be read and answered."""

import json
from pathlib import Path

import pytest
import yaml

from trunkline.model import quality, times
from trunkline.sources.webhook.tests.support import Gateway, listening

CASES = Path(__file__).parent / "cases"
NOW = times.from_iso("2026-11-21T13:00:05Z")


@pytest.mark.parametrize("name", sorted(case.name for case in CASES.iterdir()))
async def test_case(name: str, tmp_path: Path) -> None:
    """W-45, W-48, D-16, PD-26, PD-27: from real HTTP requests to readings; what makes no sense is refused whole, with place and mend."""
    section = yaml.safe_load((CASES / name / "config.yaml").read_text())
    requests = yaml.safe_load((CASES / name / "requests.yaml").read_text())
    expected = json.loads((CASES / name / "expected.json").read_text())
    gateway = Gateway(tmp_path, lambda: NOW, **section)
    answers = []
    async with listening(gateway) as client:
        for request in requests:
            headers = {"content-type": request.get("type", "application/json")}
            answer = await client.post(request.get("endpoint", "/"), content=request["body"], headers=headers)
            answers.append([answer.status_code, answer.json().get("error", answer.json().get("stored"))])
    told = [
        [one.tag, one.value, quality.name(one.quality), None if one.source_time is None else times.to_iso(one.source_time)]
        for one in gateway.readings
    ]
    assert told == expected["readings"]
    assert answers == expected["answers"]
    assert {one.gateway_time for one in gateway.readings} == {NOW}
