"""The OpenAPI document: up to date, and true for whatever a client may send."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from tests.api.support import Plant

from trunkline.api import openapi

schema = schemathesis.openapi.from_dict(openapi.document()).exclude(path_regex="/session$")


@schema.parametrize()
@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_documented(case: schemathesis.Case[Any], plant: Plant) -> None:
    """Good and bad parameters alike: never a server error, always a documented status and shape."""
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    case.call_and_validate(base_url=plant.url, headers={"Authorization": f"Bearer {plant.token}"}, checks=checks)


def test_everything_is_described() -> None:
    document = openapi.document()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            for status, response in operation["responses"].items():
                assert response["description"], (method, path, status)
                if status >= "400":
                    assert response["content"].keys() == {"application/problem+json"}, (method, path, status)
    for name, model in document["components"]["schemas"].items():
        assert model.get("description"), name
    assert set(document["components"]["securitySchemes"]) == {"session", "token"}


def test_the_document_in_the_tree_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "docs" / "openapi.json"
    assert openapi.main(["--check", str(file)]) == 1
    assert "out of date" in capsys.readouterr().err
    assert openapi.main([str(file)]) == 0
    assert openapi.main(["--check", str(file)]) == 0
    file.write_text("{}")
    assert openapi.main(["--check", str(file)]) == 1


def test_the_document_in_the_tree_is_up_to_date() -> None:
    root = Path(__file__).parents[2]
    assert openapi.main(["--check", str(root / openapi.DEFAULT)]) == 0
