"""Writes the options tables in the README of every source plugin, from the pydantic models that are the only description of the options.

A table stands between `<!-- options:begin -->` and `<!-- options:end -->`; the rest of a README is its author's. `--check` changes nothing
and fails when a table is old or a README has no place for one.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from trunkline.sources.port import ENTRY_POINT_GROUP, SourcePlugin

BEGIN, END = "<!-- options:begin -->", "<!-- options:end -->"
HEAD = "| option | value | default | meaning |\n| --- | --- | --- | --- |\n"
REFERENCE = "#/$defs/"
#: A limit as large as the seconds of a year only keeps out nonsense.
UNBOUNDED = 31_536_000
TYPES = {"string": "text", "boolean": "true or false", "object": "mapping"}

Schema = dict[str, Any]


def alternatives(field: Schema) -> list[Schema]:
    """Return the types a field may have, null apart."""
    return [one for one in field.get("anyOf") or field.get("oneOf") or [field] if one.get("type") != "null"]


def references(field: Schema) -> Iterator[tuple[str, str]]:
    """Yield (name of a nested model, '[]' if it comes in a list) for each that a field holds."""
    for one in alternatives(field):
        if "$ref" in one:
            yield one["$ref"].removeprefix(REFERENCE), ""
        elif "items" in one:
            for name, deeper in references(one["items"]):
                yield name, f"[]{deeper}"


def bounds(field: Schema) -> str:
    """Return the range of a number in words; empty without one worth a word."""
    low, high = field.get("minimum"), field.get("maximum")
    if high is not None and high >= UNBOUNDED:
        high = None
    if low is not None and high is not None:
        return f" {low} to {high}"
    words = [(low, "from"), (field.get("exclusiveMinimum"), "above"), (high, "up to"), (field.get("exclusiveMaximum"), "below")]
    return "".join(f" {word} {limit}" for limit, word in words if limit is not None)


def value(field: Schema) -> str:
    """Return what may be written for a field."""
    words = []
    for one in alternatives(field):
        if "enum" in one or "const" in one:
            words += [f"`{choice}`" for choice in one.get("enum", [one.get("const")])]
        elif "$ref" in one:
            words.append("see below")
        elif "items" in one:
            inside = value(one["items"])
            words.append("list, see below" if inside == "see below" else f"list of {inside}")
        else:
            name = str(one.get("type", "anything"))
            words.append(TYPES.get(name, name) + bounds(one))
    return ", ".join(dict.fromkeys(words))


def default(field: Schema, *, required: bool) -> str:
    """Return the default as one would write it."""
    if required:
        return "required"
    given = field.get("default")
    if given is None or given in ("", [], {}) or isinstance(given, dict):
        return ""
    if isinstance(given, list):
        return ", ".join(f"`{one}`" for one in given)
    if isinstance(given, bool):
        return f"`{str(given).lower()}`"
    return f"`{given:g}`" if isinstance(given, float) else f"`{given}`"


def table(model: Schema) -> str:
    """Return the table of one model."""
    rows = []
    for name, field in model.get("properties", {}).items():
        cells = [f"`{name}`", value(field), default(field, required=name in model.get("required", ())), field.get("description", "")]
        rows.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n")
    return HEAD + "".join(rows)


def nested(schema: Schema) -> dict[str, list[str]]:
    """Return the nested models, in the order met, with the places where each may stand."""
    models = schema.get("$defs", {})
    places: dict[str, list[str]] = {}
    pending = [("", schema)]
    while pending:
        above, model = pending.pop(0)
        for name, field in model.get("properties", {}).items():
            for inner, suffix in references(field):
                place = f"{above}{name}{suffix}"
                if inner not in places:
                    pending.append((f"{place}.", models[inner]))
                places.setdefault(inner, []).append(place)
    return places


def options(plugin: SourcePlugin) -> str:
    """Return the whole text between the markers."""
    schema = plugin.config.model_json_schema()
    parts = [table(schema)]
    for name, places in nested(schema).items():
        model = schema["$defs"][name]
        chosen = "".join(f", {key}: {field['const']}" for key, field in model.get("properties", {}).items() if "const" in field)
        summary = " ".join(model.get("description", "").split("\n\n")[0].split())
        parts.append(f"### {', '.join(f'`{place}`' for place in places)}{chosen}\n\n{summary}\n\n{table(model)}")
    return "\n".join(parts)


def readme_with(readme: str, text: str) -> str | None:
    """Return a README with its table renewed; None if it has no place for one."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{text}\n{END}{tail}" if begin and end else None


def main() -> int:
    """Renew or check every README; return the exit status."""
    parser = argparse.ArgumentParser(description="renew the options tables in the READMEs of the source plugins")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a table is old")
    parser.add_argument("plugin", nargs="*", help="names of plugins; default: all")
    arguments = parser.parse_args()
    check = arguments.check
    faults = 0
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        if arguments.plugin and point.name not in arguments.plugin:
            continue
        module = importlib.import_module(point.module)
        page = Path(str(module.__file__)).parent / "README.md"
        before = page.read_text() if page.exists() else ""
        after = readme_with(before, options(module.PLUGIN))
        if after is None:
            print(f"{point.name}: {page} has no place for the options: put {BEGIN} and {END} there", file=sys.stderr)
        elif after != before and check:
            print(f"{point.name}: {page} is old: run tools/plugin_docs.py", file=sys.stderr)
        elif after != before:
            page.write_text(after)
        faults += after is None or (check and after != before)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
