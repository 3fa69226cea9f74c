import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from trunkline.sources.modbus import PLUGIN
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.port import plugin

FOLDER = Path(__file__).parent.parent
TOOL = FOLDER.parents[3] / "tools" / "plugin_docs.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plugin_docs", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plugin_is_found_by_its_name() -> None:
    assert plugin("modbus") is PLUGIN


def test_the_example_is_valid() -> None:
    section = yaml.safe_load((FOLDER / "example.yaml").read_text())
    config = ModbusConfig.model_validate(section)
    assert len(config.tags) == 8
    assert all(tag.time == "gateway" for tag in config.tags)


def test_the_sections_in_the_readme_are_valid() -> None:
    sections = (FOLDER / "README.md").read_text().split("```yaml\n")[1:]
    assert len(sections) == 2
    for section in sections:
        ModbusConfig.model_validate(yaml.safe_load(section.partition("```")[0]))


def test_the_options_table_is_up_to_date(tool: ModuleType) -> None:
    readme = (FOLDER / "README.md").read_text()
    assert tool.readme_with(readme, tool.options(PLUGIN)) == readme


def test_a_readme_without_a_place_for_the_table_is_told(tool: ModuleType) -> None:
    assert tool.readme_with("# Nothing here\n", "table") is None
    assert tool.readme_with(f"a{tool.BEGIN}old{tool.END}z", "new") == f"a{tool.BEGIN}\n\nnew\n{tool.END}z"
