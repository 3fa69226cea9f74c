"""One reading of a site file: the site's keys by the site's model, every source by its plugin's, every error kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from trunkline.config import document
from trunkline.config.document import Document
from trunkline.config.explain import explain
from trunkline.config.plugins import source_model, source_types
from trunkline.config.problems import Location, Problem, errors
from trunkline.config.site import SiteConfig
from trunkline.config.tags import SourceConfig
from trunkline.model.errors import Misconfigured


class PlacedSource(NamedTuple):
    """A source that its plugin accepted, and where the file has it."""

    location: Location
    gateway: str
    source: SourceConfig


@dataclass(slots=True)
class Examined:
    """What one reading of a site file brought.

    Attributes:
        document: the file.
        config: the file as a model; None when the site's own keys have errors.
        sources: those that their plugins accepted.
        problems: in no order.
    """

    document: Document
    config: SiteConfig | None = None
    sources: list[PlacedSource] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def examine(path: Path) -> Examined:
    """Read a file and validate the site's keys and, separately, every source, so that no error hides another."""
    read = document.read(path)
    examined = Examined(read, problems=list(read.problems))
    if errors(read.problems) and read.data is None:
        return examined
    if not isinstance(read.data, dict):
        message = "the file is empty" if read.data is None else "a site file is a section of keys"
        examined.problems.append(
            Problem(str(path), 1, 1, "", message, "start with 'site: plant-1'; docs/reference/site-file.md has every key")
        )
        return examined
    try:
        examined.config = SiteConfig.model_validate(read.data)
    except ValidationError as error:
        examined.problems.extend(problems_of(error, SiteConfig, (), read))
    for location, gateway, section in _source_sections(read.data):
        source = _source(location, section, examined)
        if source is not None:
            examined.sources.append(PlacedSource(location, gateway, source))
    return examined


def _source_sections(data: dict[Any, Any]) -> Iterator[tuple[Location, str, dict[Any, Any]]]:
    gateways = data.get("gateways")
    for position, gateway in enumerate(gateways if isinstance(gateways, list) else ()):
        sources = gateway.get("sources") if isinstance(gateway, dict) else None
        for place, section in enumerate(sources if isinstance(sources, list) else ()):
            if isinstance(section, dict):
                yield ("gateways", position, "sources", place), str(gateway.get("id")), section


def _source(location: Location, section: dict[Any, Any], examined: Examined) -> SourceConfig | None:
    kind = section.get("type")
    if not isinstance(kind, str):
        known = ", ".join(source_types())
        where = (*location, "type") if "type" in section else location
        message = "'type' must name a source plugin" if "type" in section else "key 'type' is missing"
        examined.problems.append(examined.document.problem(where, message, f"add 'type: …' with one of: {known}"))
        return None
    try:
        model = source_model(kind)
    except Misconfigured as error:
        message, _, mend = str(error).partition("; ")
        examined.problems.append(examined.document.problem((*location, "type"), message, mend))
        return None
    try:
        return model.model_validate(section)
    except ValidationError as error:
        examined.problems.extend(problems_of(error, model, location, examined.document))
        return None


def problems_of(error: ValidationError, model: type[BaseModel], base: Location, read: Document) -> Iterator[Problem]:
    """Yield the problems of a section of a document, each with line and mend."""
    for detail in error.errors(include_url=False):
        message, mend = explain(detail, model)
        unknown = detail["type"] in {"extra_forbidden", "invalid_key"}
        yield read.problem((*base, *detail["loc"]), message, mend, key=unknown)
