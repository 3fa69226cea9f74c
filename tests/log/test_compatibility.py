"""Compatibility of Avro schemas: golden cases, and property tests against an independent decoder (W-93, D-12, ED-5)."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import SchemaParseException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.log.codec.compatibility import Level, judge, problems
from trunkline.log.codec.declarations import Array, Enum, Fixed, InvalidSchema, Map, Primitive, Record, Schema, Union, parse, parse_document

CASES = sorted((Path(__file__).parent / "compatibility").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Path) -> None:
    """Each folder holds a reader, a writer, and what must be found."""
    reader, writer = (parse((case / f"{side}.avsc").read_text()) for side in ("reader", "writer"))
    expected = json.loads((case / "expected.json").read_text())["problems"]
    found = problems(reader, writer)
    assert [[one.kind, one.path] for one in found] == expected
    assert all(one.text and one.change_reader.endswith(".") and one.change_writer.endswith(".") for one in found)


V1 = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}'
V2 = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"q","type":"string","default":"UNKNOWN"}]}'
V3 = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"q","type":"string"}]}'
V4 = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"u","type":"string"}]}'


@pytest.mark.parametrize(
    ("level", "earlier", "new", "versions"),
    [
        (Level.BACKWARD, [V1], V2, []),
        (Level.BACKWARD, [V1, V2], V3, []),  # only the last version counts
        (Level.BACKWARD_TRANSITIVE, [V1, V2], V3, [1]),
        (Level.FORWARD, [V1], V4, []),
        (Level.FORWARD, [V1, V3], V1, [2]),
        (Level.FORWARD_TRANSITIVE, [V3, V1], V2, []),
        (Level.FORWARD_TRANSITIVE, [V3, V1], V1, [1]),
        (Level.FORWARD, [V3, V1], V1, []),
        (Level.FULL, [V1], V2, []),
        (Level.FULL, [V1], V4, [1]),
        (Level.FULL_TRANSITIVE, [V4, V1], V2, [1]),
        (Level.FULL, [V4, V1], V2, []),
        (Level.NONE, [V1], V4, []),
        (Level.FULL_TRANSITIVE, [], V4, []),
    ],
)
def test_levels(level: Level, earlier: list[str], new: str, versions: list[int]) -> None:
    """W-93: what a level asks of a new version, and of which earlier ones."""
    found = judge(parse(new), [(number, parse(text)) for number, text in enumerate(earlier, 1)], level)
    assert sorted({one.version for one in found}) == versions


def test_a_finding_names_the_place_and_the_mend() -> None:
    (found,) = judge(parse(V3), [(1, parse(V1))], Level.BACKWARD)
    assert found.message == (
        "R.q: the field is not written and has no default; so the new schema cannot read what version 1 wrote. "
        "Give the field 'q' a default. [READER_FIELD_MISSING_DEFAULT_VALUE]"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ('{"type":"long","default":NaN}', "no JSON"),
        ('"integer"', "no type 'integer'"),
        ("17", "is no type"),
        ('{"type":"record","name":"R"}', "'fields' must be a list"),
        ('{"type":"record","name":"1R","fields":[]}', "is no name"),
        ('{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}', "there twice"),
        ('{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}', "R.a: the default"),
        ('{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":3000000000}]}', "R.a: the default"),
        ('{"type":"record","name":"R","fields":[{"name":"a"}]}', "no 'type'"),
        ('{"type":"record","name":"R","fields":[{"name":"a","type":"int","order":"up"}]}', "'order'"),
        ('{"type":"enum","name":"E","symbols":["A","A"]}', "there twice"),
        ('{"type":"enum","name":"E","symbols":["A"],"default":"B"}', "none of its symbols"),
        ('{"type":"fixed","name":"F","size":-1}', "number of bytes"),
        ('["null","null"]', "twice"),
        ('["null",["int"]]', "union"),
        ('{"type":"array"}', "needs 'items'"),
        ('{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"R","symbols":[]}}]}', "taken already"),
        ("[" * 5000 + "]" * 5000, "no JSON"),
        ('{"type":"array","items":' * 80 + '"int"' + "}" * 80, "deep"),
    ],
)
def test_invalid_declarations_are_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidSchema, match=said):
        parse(text)


# --- property: the judge and a decoder that knows nothing of it agree

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_FIELD_NAMES = ("a", "b", "c", "d")
_DEFAULTS = {"null": None, "boolean": True, "int": 1, "long": 2, "float": 1.5, "double": 2.5, "bytes": "x", "string": "word"}


@st.composite
def _named(draw: st.DrawFn, taken: frozenset[str]) -> dict[str, Any]:
    """An enum or a fixed; a name says its kind, for fastavro does not compare kinds of named types."""
    kind = draw(st.sampled_from(["enum", "fixed"]))
    free = [name for name in (f"{kind}_one", f"{kind}_two") if name not in taken]
    name = draw(st.sampled_from(free or [f"{kind}_{len(taken)}"]))
    if kind == "fixed":
        return {"type": "fixed", "name": name, "size": draw(st.integers(1, 2))}
    symbols = draw(st.lists(st.sampled_from("PQR"), unique=True, min_size=1))
    return {"type": "enum", "name": name, "symbols": symbols} | ({"default": symbols[0]} if draw(st.booleans()) else {})


@st.composite
def _types(draw: st.DrawFn, depth: int, taken: set[str]) -> Any:
    choice = draw(st.sampled_from(["primitive"] * 3 + ["named"] * 3 + (["array", "map", "record", "union"] if depth else [])))
    match choice:
        case "primitive":
            return draw(st.sampled_from(_PRIMITIVES))
        case "named":
            made = draw(_named(frozenset(taken)))
            taken.add(made["name"])
            return made
        case "array":
            return {"type": "array", "items": draw(_types(depth - 1, taken))}
        case "map":
            return {"type": "map", "values": draw(_types(depth - 1, taken))}
        case "union":
            return draw(st.lists(st.sampled_from(_PRIMITIVES), unique=True, min_size=1, max_size=4))
        case _:
            return draw(_records(depth - 1, taken))


@st.composite
def _records(draw: st.DrawFn, depth: int, taken: set[str]) -> dict[str, Any]:
    name = f"record_{len(taken)}"
    taken.add(name)
    fields = []
    for field in draw(st.lists(st.sampled_from(_FIELD_NAMES), unique=True, max_size=3)):
        kind = draw(_types(depth, taken))
        made: dict[str, Any] = {"name": field, "type": kind}
        first = kind[0] if isinstance(kind, list) else kind
        if isinstance(first, str) and draw(st.booleans()):
            made["default"] = _DEFAULTS[first]
        if draw(st.integers(0, 4)) == 0:
            made["aliases"] = [draw(st.sampled_from(_FIELD_NAMES))]
        fields.append(made)
    return {"type": "record", "name": name, "fields": fields}


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """A reader, and a writer that is either another schema or the same one slightly changed."""
    reader = draw(_types(2, set()))
    writer = draw(st.one_of(_types(2, set()), st.just(json.loads(json.dumps(reader)))))
    return reader, _shaken(draw, writer)


def _shaken(draw: st.DrawFn, schema: Any) -> Any:
    if isinstance(schema, str):
        return draw(st.sampled_from(_PRIMITIVES)) if draw(st.integers(0, 3)) == 0 else schema
    if isinstance(schema, list):
        return [branch for branch in schema if len(schema) == 1 or draw(st.integers(0, 3))] or schema
    match schema["type"]:
        case "record":
            kept = [{**one, "type": _shaken(draw, one["type"])} for one in schema["fields"] if draw(st.integers(0, 4))]
            changed = {"fields": [{key: value for key, value in one.items() if key != "default"} for one in kept]}
        case "array":
            changed = {"items": _shaken(draw, schema["items"])}
        case "map":
            changed = {"values": _shaken(draw, schema["values"])}
        case "enum" if draw(st.booleans()):
            changed = {"symbols": sorted({*schema["symbols"], draw(st.sampled_from("PQRS"))})}
            schema = {key: value for key, value in schema.items() if key != "default"}
        case _:
            changed = {}
    return {**schema, **changed}


_DATA: dict[str, Any] = {"null": None, "boolean": True, "int": 7, "long": 8, "float": 0.5, "double": 0.25, "bytes": b"b", "string": "s"}


def _data(schema: Schema) -> list[Any]:
    """Data that visit every branch, every symbol and the inside of every array and map at least once."""
    match schema:
        case Primitive(kind=kind):
            data = [_DATA[kind]]
        case Enum(symbols=symbols):
            data = list(symbols)
        case Fixed(size=size):
            data = [b"f" * size]
        case Array(items=items):
            data = [[one] for one in _data(items)]
        case Map(values=values):
            data = [{"k": one} for one in _data(values)]
        case Union(branches=branches):
            data = [(branch.kind, one) if isinstance(branch, Primitive) else one for branch in branches for one in _data(branch)]
        case Record(fields=fields):
            columns = [(one.name, _data(one.type)) for one in fields]
            longest = max((len(column) for _, column in columns), default=1)
            data = [{name: column[min(row, len(column) - 1)] for name, column in columns} for row in range(longest)]
    return data


def _decodes(writer: Any, reader: Any, datum: Any) -> bool:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, writer, datum)
    try:
        fastavro.schemaless_reader(io.BytesIO(out.getvalue()), writer, reader)
    except (fastavro.read.SchemaResolutionError, SchemaParseException):
        return False
    return True


@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(_pairs())
def test_what_is_judged_compatible_decodes_and_what_is_not_fails(pair: tuple[Any, Any]) -> None:
    """A pair without problems decodes for data that visit every part of the writer's schema; with problems, at least one of them fails."""
    reader_json, writer_json = pair
    reader, _ = parse_document(reader_json)
    writer, _ = parse_document(writer_json)
    outcomes = [_decodes(writer_json, reader_json, datum) for datum in _data(writer)]
    found = problems(reader, writer)
    assert all(outcomes) == (not found), [one.kind + " " + one.path for one in found]
