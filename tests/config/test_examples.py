"""What the documentation shows is right: the example of every plugin of ours, and the example plants."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from tests.config.conftest import SiteWriter

from trunkline.config.loading import check, load
from trunkline.config.problems import errors, render
from trunkline.config.reference import own_types

ROOT = Path(__file__).parents[2]
PLANTS = sorted((ROOT / "examples").glob("*/site.yaml"))


@pytest.mark.parametrize("name", own_types())
def test_the_example_of_a_plugin_loads(name: str, site_file: SiteWriter) -> None:
    spec = find_spec(f"trunkline.sources.{name}")
    assert spec is not None
    assert spec.origin is not None
    given = yaml.safe_load((Path(spec.origin).parent / "example.yaml").read_text("utf-8"))
    sources = given if isinstance(given, list) else [given]
    path = site_file(yaml.safe_dump({"site": "a", "gateways": [{"id": "g", "sources": sources}]}, allow_unicode=True))
    site = load(path)
    assert site.tags()
    assert {source.type for source in site.sources("g")} == {name}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda path: path.parent.name)
def test_the_example_plants_are_right(plant: Path) -> None:
    problems = [problem for problem in check(plant) if problem.path != "data_dir"]
    assert errors(problems) == [], render(problems)
