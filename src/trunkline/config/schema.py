"""JSON Schema of the site file with every installed source plugin: completion and checks while typing.

An editor with a YAML language server takes it from the first line of the file: `# yaml-language-server: $schema=site.schema.json`.
"""

from contextlib import suppress
from typing import Any, Final

from trunkline.config.plugins import source_model, source_types
from trunkline.config.site import SiteConfig
from trunkline.model.errors import Misconfigured

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12). Sources are a choice by their `type`; a plugin that cannot be loaded is no choice."""
    schema = SiteConfig.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    models = {}
    for name in source_types():
        with suppress(Misconfigured):
            models[name] = source_model(name)
    choices = []
    for name, model in models.items():
        own = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
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
        "properties": {"type": {"enum": list(models)}},
        "oneOf": choices,
    }
    return {"$schema": DIALECT, "title": "Trunkline site file", **{key: value for key, value in schema.items() if key != "title"}}
