"""The table of a plugin's options, made from the pydantic model that is their only description.

A README holds it between `<!-- options:begin -->` and `<!-- options:end -->`; the rest of the page is its author's.
"""

from collections.abc import Iterator
from typing import Any, Final

from trunkline.config.tags import SourceConfig
from trunkline.sources.port import SourcePlugin

BEGIN: Final = "<!-- options:begin -->"
END: Final = "<!-- options:end -->"
HEAD: Final = "| option | value | default | meaning |\n| --- | --- | --- | --- |\n"
REFERENCE: Final = "#/$defs/"
#: A limit as large as the seconds of a year only keeps out nonsense.
UNBOUNDED: Final = 31_536_000
TYPES: Final = {"string": "text", "boolean": "true or false", "object": "mapping"}

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


def options_of(model: type[SourceConfig]) -> str:
    """Return the tables of a model and of those inside it, as Markdown."""
    schema = model.model_json_schema()
    parts = [table(schema)]
    for name, places in nested(schema).items():
        inner = schema["$defs"][name]
        chosen = "".join(f", {key}: {field['const']}" for key, field in inner.get("properties", {}).items() if "const" in field)
        summary = " ".join(inner.get("description", "").split("\n\n")[0].split())
        parts.append(f"### {', '.join(f'`{place}`' for place in places)}{chosen}\n\n{summary}\n\n{table(inner)}")
    return "\n".join(parts)


def options(plugin: SourcePlugin) -> str:
    """Return the whole text between the markers of a plugin's page."""
    return options_of(plugin.config)


def readme_with(readme: str, text: str) -> str | None:
    """Return a README with its table renewed; None if it has no place for one."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{text}\n{END}{tail}" if begin and end else None
