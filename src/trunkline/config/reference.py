"""Writes the reference of the site file from its models: `python -m trunkline.config.reference [--check] [FILE]`."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from trunkline.config.plugins import DISTRIBUTION, distribution_of, source_model, source_points
from trunkline.config.site import SiteConfig
from trunkline.config.tags import SourceConfig, TagConfig

DEFAULT: Final = Path("docs/reference/site-file.md")
_HEAD: Final = """\
<!-- Written by `python -m trunkline.config.reference`; do not edit. -->
# The site file

One YAML document describes a site. `trunkline check site.yaml` reports everything that is wrong with it, each with line and mend.
With `trunkline schema > site.schema.json` and the first line `# yaml-language-server: $schema=site.schema.json` an editor completes keys.

Scalars follow YAML 1.2: `on` and `no` are text, `true` and `false` are not. Anchors, aliases and `<<` share settings.

Secrets are never written out: `${secret:NAME}` is the file `secrets/NAME` in the data directory (readable by its owner only), `${env:NAME}`
an environment variable (`${NAME}` in capitals as well), `${file:PATH}` any file, relative to the site file.
"""
_TYPES: Final[dict[object, str]] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def markdown() -> str:
    """Return the whole page."""
    parts = [_HEAD, *_sections(SiteConfig, "Top level", set())]
    parts += [*_sections(SourceConfig, "Every source", set()), *_sections(TagConfig, "Every tag", set())]
    common = {*SourceConfig.model_fields, *TagConfig.model_fields}
    for name in own_types():
        model = source_model(name)
        parts += _sections(model, f"Sources of type `{name}`", common)
    return "\n".join(parts)


def own_types() -> list[str]:
    """Return the source plugins that come with this package."""
    return sorted(name for name, point in source_points().items() if distribution_of(point) == DISTRIBUTION)


def _sections(model: type[BaseModel], title: str, hidden: set[str]) -> Iterator[str]:
    """Yield a model's table and then those of the models inside it."""
    first_line = (model.__doc__ or "").strip().split("\n", 1)[0]
    yield f"\n## {title}\n\n{first_line}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |"
    fields = {name: info for name, info in model.model_fields.items() if name not in hidden}
    for name, info in fields.items():
        yield f"| `{info.alias or name}` | {_cell(_type(info))} | {_default(info)} | {_cell(info.description or _about(info))} |"
    shown = set()
    for name, info in model.model_fields.items():
        inners = _models(info.annotation)
        for inner in inners:
            if inner in shown or inner in (SourceConfig, TagConfig) or (name in hidden and inner in _common(name)):
                continue
            shown.add(inner)
            label = f"`{name}`" if title == "Top level" else f"{title}, `{name}`"
            yield from _sections(inner, label + _kind(inner) * (len(inners) > 1), hidden)


def _kind(model: type[BaseModel]) -> str:
    """Return what tells a model of several from the others: the value of its 'kind'."""
    kind = model.model_fields.get("kind")
    return f" of kind {_name(kind.annotation)}" if kind is not None and get_origin(kind.annotation) is Literal else ""


def _common(name: str) -> list[type[BaseModel]]:
    """Return the models in an option that every source or tag has: they are shown once, with it."""
    infos = (model.model_fields.get(name) for model in (SourceConfig, TagConfig))
    return [inner for info in infos if info is not None for inner in _models(info.annotation)]


def _type(info: FieldInfo) -> str:
    limits = [f"{word} {value}" for item in info.metadata for word, value in _limits(item)]
    return ", ".join([_name(info.annotation), *limits])


def _limits(item: object) -> Iterator[tuple[str, int | float]]:
    for attribute, word in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to")):
        value = getattr(item, attribute, None)
        if isinstance(value, int | float):
            yield word, value


def _name(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        name = _name(arguments[0])
    elif origin is Literal:
        name = " | ".join(f"`{choice}`" for choice in arguments)
    elif origin in (Union, types.UnionType):
        name = " or ".join(dict.fromkeys(_name(one) for one in arguments if one is not type(None)))
    elif origin is tuple:
        name = f"list of {_name(arguments[0])}"
    elif origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        name = "section"
    else:
        name = _TYPES.get(annotation, "text")
    return name


def _default(info: FieldInfo) -> str:
    value = info.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", ()):
        return "—"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _about(info: FieldInfo) -> str:
    for model in _models(info.annotation):
        return (model.__doc__ or "").strip().split("\n", 1)[0]
    return ""


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write the page, or with --check say whether the file is up to date. Returns the exit status."""
    names = [name for name in arguments if not name.startswith("-")]
    file = Path(names[0]) if names else DEFAULT
    if "--check" in arguments:
        if file.is_file() and file.read_text("utf-8") == markdown():
            return 0
        sys.stderr.write(f"{file} is out of date: run 'python -m trunkline.config.reference'\n")
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(markdown(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
