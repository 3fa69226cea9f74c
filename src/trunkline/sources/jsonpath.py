"""JSONPath (RFC 9535) compiled to a function; the paths that nearly every device needs cost a few dictionary look-ups."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jsonpath_rfc9535
from jsonpath_rfc9535.exceptions import JSONPathError
from jsonpath_rfc9535.selectors import IndexSelector, NameSelector
from pydantic import AfterValidator, Field

#: Takes a decoded JSON document and returns the values found, in order; nothing found is an empty list.
Finder: TypeAlias = Callable[[Any], list[Any]]


def check_path(text: str) -> str:
    """Return a JSONPath unchanged. Raises ValueError with the place of the mistake."""
    try:
        jsonpath_rfc9535.compile(text)
    except JSONPathError as error:
        raise ValueError(f"{text!r} is not a JSONPath such as '$.value' or '$.sensors[0].flow': {error}") from error
    return text


JsonPath = Annotated[str, AfterValidator(check_path), Field(examples=["$.value", "$.sensors[0].flow", "$.samples[*].v"])]


def compile_path(text: str) -> Finder:
    """Compile a JSONPath that `check_path` accepts."""
    query = jsonpath_rfc9535.compile(text)
    if not query.singular_query():
        return lambda document: [node.value for node in query.find(document)]
    steps: list[str | int] = []
    for segment in query.segments:
        selector = segment.selectors[0]
        if isinstance(selector, NameSelector):
            steps.append(selector.name)
        elif isinstance(selector, IndexSelector):
            steps.append(selector.index)
    return _walker(tuple(steps))


def is_singular(text: str) -> bool:
    """Tell whether a path can find one value at most (RFC 9535, 2.3.5.1)."""
    return bool(jsonpath_rfc9535.compile(text).singular_query())


def _walker(steps: tuple[str | int, ...]) -> Finder:
    def find(document: Any) -> list[Any]:  # noqa: ANN401 - any JSON document
        node = document
        for step in steps:
            if isinstance(step, str):
                if not isinstance(node, dict) or step not in node:
                    return []
                node = node[step]
            else:
                if not isinstance(node, list) or not -len(node) <= step < len(node):
                    return []
                node = node[step]
        return [node]

    return find
