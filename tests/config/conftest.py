"""A third party's source plugin, installed the way pip installs one, so that these tests need no plugin of ours."""

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.config import plugins

_PLUGIN = '''
from types import SimpleNamespace
from typing import Literal
from pydantic import Field
from trunkline.config.tags import Model, SourceConfig, TagConfig

class Line(Model):
    device: str = ""
    baud: int = 9600

class MeterTag(TagConfig):
    node: int = Field(ge=0, description="register of the meter", examples=[7])

class MeterConfig(SourceConfig):
    """A meter."""
    type: Literal["meter"] = "meter"
    host: str = Field("", description="address")
    line: Line | None = None
    username: str = ""
    password: str = ""
    tags: tuple[MeterTag, ...] = ()

PLUGIN = SimpleNamespace(name="meter", config=MeterConfig)
'''


@pytest.fixture(autouse=True)
def meter(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the plugin 'meter', and 'broken' whose import fails."""
    place = tmp_path_factory.mktemp("site-packages")
    (place / "meter_plugin.py").write_text(_PLUGIN)
    (place / "broken_plugin.py").write_text("raise RuntimeError('no driver here')\n")
    info = place / "meter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: meter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trunkline.sources]\nmeter = meter_plugin\nbroken = broken_plugin\n")
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
    plugins.source_model.cache_clear()
    yield
    plugins.source_model.cache_clear()
    sys.modules.pop("meter_plugin", None)


SiteWriter = Callable[[str], Path]


@pytest.fixture
def site_file(tmp_path: Path) -> SiteWriter:
    """Write a site file and return its path."""
    numbers = itertools.count()

    def write(text: str) -> Path:
        path = tmp_path / f"site{next(numbers) or ''}.yaml"
        path.write_text(text, "utf-8")
        return path

    return write
