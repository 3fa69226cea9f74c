"""The definitions shown in the how-to of alarms are definitions, and the pictures are those that the golden cases give."""

import re
from pathlib import Path

import pytest
import yaml

from trunkline.config.alarms import AlarmDefinition, AlarmsConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/alarms.md").read_text("utf-8")
#: P-42 to P-47: type, priority, limit.
PLANT = {
    "P-42": ("HIGH_FLOW", "MEDIUM", 95),
    "P-43": ("LOW_PRESSURE", "HIGH", 2),
    "P-44": ("HIGH_TEMP", "HIGH", 320),
    "P-45": ("CRITICAL_TEMP", "CRITICAL", 380),
    "P-46": ("VIBRATION_HIGH", "MEDIUM", 7.1),
    "P-47": ("INSTRUMENT_FAULT", "LOW", None),
}


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_what_is_shown_can_be_written(text: str) -> None:
    read = yaml.safe_load(text)
    made = AlarmsConfig.model_validate(read["alarms"] if isinstance(read, dict) else {"definitions": read})
    assert made.definitions


def test_the_alarms_of_the_plant_ingestion() -> None:
    rows = dict(re.findall(r"^\| (P-4\d) \| `(.*)` \|$", PAGE, re.MULTILINE))
    made = {name: AlarmDefinition.model_validate(yaml.safe_load(text)) for name, text in rows.items()}
    found = {name: (one.alarm_type("A.B"), one.severity.name if one.severity else "INFO", one.limit) for name, one in made.items()}
    assert found == PLANT


def test_every_picture_of_the_page_is_there_and_of_a_case() -> None:
    names = re.findall(r"\.\./images/alarm-([a-z-]+)\.png", PAGE)
    assert len(names) > 10
    for name in names:
        assert (ROOT / f"docs/images/alarm-{name}.png").is_file()
        assert (ROOT / f"tests/processing/alarms/cases/{name}/expected.csv").is_file()
