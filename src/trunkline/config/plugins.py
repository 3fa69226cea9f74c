"""Configuration models of installed source plugins, found by entry point: this layer imports no plugin by name.

A plugin is somebody else's code: whatever its import raises is told as Misconfigured by who needs that plugin, and concerns nobody else.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from trunkline.config.problems import did_you_mean
from trunkline.config.tags import SourceConfig
from trunkline.model.errors import Misconfigured

ENTRY_POINT_GROUP = "trunkline.sources"
DISTRIBUTION: Final = "trunkline"


def distribution_of(point: EntryPoint) -> str:
    """Return the name of the distribution that an entry point came with."""
    return point.dist.name if point.dist is not None else ""


def all_source_points() -> list[EntryPoint]:
    """Return every entry point of a source plugin, by name; of those with the same name, ours first, then by distribution."""
    points = entry_points(group=ENTRY_POINT_GROUP)
    return sorted(points, key=lambda point: (point.name, distribution_of(point) != DISTRIBUTION, distribution_of(point)))


def source_points() -> dict[str, EntryPoint]:
    """Return the entry point that each name of a source plugin stands for: a package that takes another's name changes nothing."""
    return {point.name: point for point in reversed(all_source_points())}


def source_types() -> list[str]:
    """Return the names of installed source plugins, sorted."""
    return sorted(source_points())


def source_point(name: str) -> EntryPoint:
    """Return the entry point of one plugin. Raises Misconfigured naming those installed."""
    points = source_points()
    if name not in points:
        raise Misconfigured(f"no source plugin named {name!r} is installed; {did_you_mean(name, points, 'installed are')}")
    return points[name]


def load_plugin(point: EntryPoint) -> Any:  # noqa: ANN401 - the type is the source port's, which this layer does not know
    """Return the `PLUGIN` that an entry point leads to. Raises Misconfigured saying why it cannot be loaded."""
    try:
        return point.load().PLUGIN
    except (Exception, SystemExit) as error:
        why = str(error) or type(error).__name__
        raise Misconfigured(f"source plugin {point.name!r} ({point.value}) cannot be loaded: {why}") from error


@cache
def source_model(name: str) -> type[SourceConfig]:
    """Return the model that checks sources of type `name`.

    Raises:
        Misconfigured: no such plugin is installed, or it cannot be loaded.
    """
    point = source_point(name)
    model = getattr(load_plugin(point), "config", None)
    if not (isinstance(model, type) and issubclass(model, SourceConfig)):
        raise Misconfigured(f"source plugin {name!r} ({point.value}) cannot be used: its 'config' is no model of a source")
    return model
