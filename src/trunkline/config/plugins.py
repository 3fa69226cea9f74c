"""Configuration models of installed source plugins, found by entry point: this layer imports no plugin by name."""

from functools import cache
from importlib.metadata import entry_points

from trunkline.config.problems import did_you_mean
from trunkline.config.tags import SourceConfig
from trunkline.model.errors import Misconfigured

ENTRY_POINT_GROUP = "trunkline.sources"


def source_types() -> list[str]:
    """Return the names of installed source plugins, sorted."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


@cache
def source_model(name: str) -> type[SourceConfig]:
    """Return the model that checks sources of type `name`.

    Raises:
        Misconfigured: no such plugin is installed, or it cannot be loaded.
    """
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            model: type[SourceConfig] = point.load().PLUGIN.config
        except Exception as error:  # a plugin is somebody else's code: whatever it raises is not the file's fault
            raise Misconfigured(f"source plugin {name!r} ({point.value}) cannot be loaded: {error}") from error
        return model
    raise Misconfigured(f"no source plugin named {name!r} is installed; {did_you_mean(name, source_types(), 'installed are')}")
