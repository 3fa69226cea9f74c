"""JSON Schema of the site file with every installed source plugin: completion and checks while typing.

An editor with a YAML language server takes it from the first line of the file: `# yaml-language-server: $schema=site.schema.json`.
"""

from typing import Any, Final

from trunkline.config.plugins import source_model, source_types
from trunkline.config.site import SiteConfig

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12). Sources are a choice by their `type`.

    Raises:
        Misconfigured: an installed plugin cannot be loaded.
    """
    schema = SiteConfig.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    choices = []
    for name in source_types():
        own = source_model(name).model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        for key, definition in own.pop("$defs", {}).items():
            definitions[f"{name}.{key}"] = definition
        own["properties"]["type"] = {"const": name, "description": own["properties"]["type"].get("description", "protocol")}
        own["required"] = sorted({*own.get("required", ()), "type"})
        definitions[f"source.{name}"] = own
        choices.append({"$ref": f"#/$defs/source.{name}"})
    sources = definitions["GatewayConfig"]["properties"]["sources"]
    sources["items"] = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": source_types()}},
        "oneOf": choices,
    }
    return {"$schema": DIALECT, "title": "Trunkline site file", **{key: value for key, value in schema.items() if key != "title"}}
