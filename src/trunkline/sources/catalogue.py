"""The source plugins that are installed, the broken ones among them, for people who choose one or look for what is wrong."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

from trunkline.config.plugins import all_source_points, distribution_of, source_points
from trunkline.model.errors import Misconfigured
from trunkline.sources.port import plugin_at


@dataclass(frozen=True, slots=True)
class Installed:
    """One entry point of a source plugin.

    Attributes:
        name: what a site file's `type` says.
        summary: what it reads, in one line.
        can_write, can_browse: what it can do beyond reading.
        module: its Python package.
        distribution, version: what was installed.
        page: its README; empty when it brings none.
        example: its example of a section of the site file; empty when it brings none.
        error: why it cannot be used; empty when it can.
    """

    name: str
    summary: str
    can_write: bool
    can_browse: bool
    module: str
    distribution: str
    version: str
    page: str
    example: str
    error: str


def installed() -> list[Installed]:
    """Return every installed source plugin by name, also those that cannot be used."""
    first = source_points()
    return [_described(point, first[point.name]) for point in all_source_points()]


def folder_of(module: str) -> Path:
    """Return the folder of a plugin's package."""
    return Path(str(import_module(module).__file__)).parent


def _described(point: EntryPoint, first: EntryPoint) -> Installed:
    version = point.dist.version if point.dist is not None else ""
    summary, page, example, error = "", "", "", ""
    can_write = can_browse = False
    try:
        plugin = plugin_at(point)
    except Misconfigured as problem:
        error = str(problem)
    else:
        can_write, can_browse = plugin.can_write, plugin.can_browse
        summary = (inspect.getdoc(import_module(point.module)) or "").partition("\n")[0]
        page, example = (_path(folder_of(point.module) / name) for name in ("README.md", "example.yaml"))
        if point != first:
            error = f"{distribution_of(first)} has a source named {point.name!r}, and that one is used: rename this one, or uninstall one"
    return Installed(point.name, summary, can_write, can_browse, point.module, distribution_of(point), version, page, example, error)


def _path(file: Path) -> str:
    return str(file) if file.exists() else ""
