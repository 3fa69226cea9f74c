"""What pydantic found, in words that say how to mend it."""

import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from trunkline.config.problems import Location, did_you_mean
from trunkline.config.secrets import is_secret_key

_SHOWN = 60


def explain(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Return (message, mend) for one validation error.

    Args:
        error: as `ValidationError.errors()` gives it; `loc` counts from `model`.
        model: the model that refused the data.
    """
    location = error["loc"]
    name = str(location[-1]) if location else ""
    known = fields_at(model, location[:-1])
    match error["type"]:
        case "extra_forbidden":
            result = f"unknown key {name!r}", did_you_mean(name, known, "known keys here are")
        case "missing":
            result = f"key {name!r} is missing", f"add {_example(name, known.get(name))}"
        case "literal_error" | "enum":
            result = _choice(error, location)
        case "union_tag_invalid":
            result = _union(error)
        case "value_error" | "assertion_error":
            result = _own(error)
        case "string_pattern_mismatch":
            result = _pattern(error, location)
        case _:
            result = _plain(error, location, known.get(name))
    return result


def fields_at(model: type[BaseModel], location: Location) -> dict[str, FieldInfo]:
    """Return the keys that a model takes at a place, by the name they have in the file."""
    candidates = [model]
    for step in location:
        if isinstance(step, int):
            continue
        inner = [found for one in candidates if (known := _by_key(one).get(step)) for found in _models(known.annotation)]
        # a step that is no key names the arm of a union
        candidates = inner or [one for one in candidates if one.__name__ == step or step in _tags(one)] or candidates
    return {key: info for one in candidates for key, info in _by_key(one).items()}


def _by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _tags(model: type[BaseModel]) -> set[object]:
    return {value for info in model.model_fields.values() for value in get_args(info.annotation) if isinstance(value, str)}


def _shown(value: object, location: Location) -> str:
    """Return a value as the file has it, short; values of secret keys are not shown."""
    if any(isinstance(step, str) and is_secret_key(step) for step in location):
        return "the value (not shown)"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    if isinstance(value, dict | list | tuple):
        return "a section" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else str(value).lower()[:_SHOWN]


def _choice(error: ErrorDetails, location: Location) -> tuple[str, str]:
    expected = str(error.get("ctx", {}).get("expected", ""))
    allowed = re.findall(r"'([^']*)'", expected) or re.findall(r"-?\d+", expected)
    value = error["input"]
    guess = did_you_mean(value, allowed, "allowed are") if isinstance(value, str) else f"allowed are: {', '.join(allowed)}"
    return f"{_shown(value, location)} is not allowed here", guess


def _union(error: ErrorDetails) -> tuple[str, str]:
    context = error.get("ctx", {})
    tag = str(context.get("tag"))
    known = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    return f"{str(context.get('discriminator')).strip(chr(39))} {tag!r} is not known", did_you_mean(tag, known, "known are")


def _own(error: ErrorDetails) -> tuple[str, str]:
    """Split the text of our own validators: those that know a mend put it after the last colon."""
    text = str(error.get("ctx", {}).get("error") or error["msg"])
    message, colon, mend = text.rpartition(": ")
    if colon and mend.split(" ", 1)[0] in {"try", "use", "give", "add", "write", "choose", "at"}:
        return message, mend
    return text, ""


def _pattern(error: ErrorDetails, location: Location) -> tuple[str, str]:
    pattern = str(error.get("ctx", {}).get("pattern", ""))
    value = str(error["input"])
    message = f"{_shown(value, location)} must match {pattern}"
    guess = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")[:64]
    if "a-z0-9" in pattern and guess and re.fullmatch(pattern, guess):
        return f"{_shown(value, location)} must be lower-case letters, digits, '-' and '_', at most 64 of them", f"try {guess!r}"
    return message, ""


_HINTS = {
    "string_type": "put it in quotes",
    "int": "write a whole number",
    "float": "write a number",
    "bool": "write true or false",
    "tuple_type": "write a list: one line that starts with '- ' for each entry",
    "list_type": "write a list: one line that starts with '- ' for each entry",
    "dict_type": "write 'key: value' lines, indented below the key",
    "model_type": "write 'key: value' lines, indented below the key",
    "model_attributes_type": "write 'key: value' lines, indented below the key",
    "finite_number": "write a number that is neither infinite nor .nan",
}


def _plain(error: ErrorDetails, location: Location, info: FieldInfo | None) -> tuple[str, str]:
    kind = error["type"]
    hint = _HINTS.get(kind) or _HINTS.get(kind.split("_", 1)[0], "")
    if error["input"] is None:
        hint = "write a value, or remove the key"
    elif kind == "string_type" and isinstance(error["input"], dict | list):
        hint = "write a text"
    elif info is not None and hint and isinstance(info.default, int | float | str) and info.default != "":
        hint += f", for example {str(info.default).lower() if isinstance(info.default, bool) else info.default}"
    wanted = error["msg"].replace("Input should", "must").replace("String should", "must").replace("Value should", "must")
    wanted = wanted.replace("a valid tuple", "a list").replace("a valid dictionary", "a section")
    wanted = re.sub(r"must be (a valid dictionary or instance of|a section or instance of) \w+", "must be a section", wanted)
    return f"{_shown(error['input'], location)} {wanted}" if wanted.startswith("must") else wanted, hint


_EXAMPLES: dict[object, object] = {int: 1, float: 1.0, bool: "true"}


def _example(name: str, info: FieldInfo | None) -> str:
    if info is None:
        return f"'{name}: …'"
    value: Any = None
    if info.examples:
        value = info.examples[0]
    elif info.default is not PydanticUndefined and info.default is not None:
        value = info.default
    else:
        choices = [choice for choice in get_args(info.annotation) if isinstance(choice, str | int)]
        value = choices[0] if choices else _EXAMPLES.get(info.annotation, "…")
    about = f" ({info.description})" if info.description else ""
    return f"'{name}: {value}'{about}"
