from pathlib import Path

import yaml

from trunkline.sources.port import plugin
from trunkline.sources.xbee import PLUGIN
from trunkline.sources.xbee.config import XBeeConfig

FOLDER = Path(__file__).parent.parent


def test_the_plugin_is_found_by_its_name() -> None:
    assert plugin("xbee") is PLUGIN


def test_the_example_shows_payloads_inputs_and_writes() -> None:
    """W-44, D-8: several radios in one source, each with its full address and a map of its own."""
    config = XBeeConfig.model_validate(yaml.safe_load((FOLDER / "example.yaml").read_text()))
    assert {unit: (radio.map.has_bytes, radio.map.has_channels) for unit, radio in config.radios.items()} == {
        12: (True, False),
        13: (False, True),
    }
    written = [tag.path for tag in config.tags if config.radios[config.unit_of(tag)].map.written(config.place(tag), config.layout_of(tag))]
    assert written == ["OFFSHORE.WELLS.WELL_12.CHOKE_SETPOINT"]
    assert all(tag.time == "gateway" for tag in config.tags)


def test_the_sections_in_the_readme_are_valid() -> None:
    sections = (FOLDER / "README.md").read_text().split("```yaml\n")[1:]
    assert len(sections) == 2
    for section in sections:
        XBeeConfig.model_validate(yaml.safe_load(section.partition("```")[0]))
