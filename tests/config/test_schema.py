"""The JSON Schema accepts what loads and refuses what does not."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from trunkline.config import schema as site_schema
from trunkline.config.document import parse
from trunkline.config.plugins import source_types


@pytest.fixture
def validator(monkeypatch: pytest.MonkeyPatch) -> Draft202012Validator:
    monkeypatch.setattr(site_schema, "source_types", lambda: ["meter"])
    schema = site_schema.json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def data(text: str) -> Any:
    return parse(text, "site.yaml").data


def test_sources_are_a_choice_by_type(validator: Draft202012Validator) -> None:
    good = "site: a\ngateways: [{id: g, sources: [{id: s, type: meter, tags: [{path: A.B, node: 1}]}]}]\n"
    assert validator.is_valid(data(good))
    for wrong in ("type: metre", "type: meter, hots: x", "host: x"):
        assert not validator.is_valid(data(f"site: a\ngateways: [{{id: g, sources: [{{id: s, {wrong}}}]}}]\n")), wrong
    assert not validator.is_valid(data("site: a\nfoo: 1\n"))
    assert not validator.is_valid(data(good.replace("node: 1", "node: x")))


def test_keys_are_described(validator: Draft202012Validator) -> None:
    schema: Any = validator.schema
    assert schema["$defs"]["meter.MeterTag"]["properties"]["node"]["description"] == "register of the meter"
    assert "properties" in schema["$defs"]["source.meter"]


def test_installed_plugins_are_listed() -> None:
    """Third parties' packages are first-class: found by entry point, as ours are."""
    assert {"meter", "modbus", "opcua", "mqtt", "simulated"} <= set(source_types())
