"""Avro schema declarations, parsed and checked (Avro 1.12 specification, "Schema Declaration").

Libraries that encode are lenient about declarations; a registry must not be, for what it accepts every other library has to read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from trunkline.model.errors import Misconfigured

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RANGES: Final = {"int": range(-(2**31), 2**31), "long": range(-(2**63), 2**63)}
_MAX_DEPTH: Final = 64


class InvalidSchema(Misconfigured):
    """A text is no Avro schema; the message names the place and the fault."""


@dataclass(frozen=True, slots=True)
class Logical:
    """A logical type: its name, and precision and scale where it is a decimal."""

    name: str
    precision: int = 0
    scale: int = 0


@dataclass(eq=False, slots=True)
class Primitive:
    """One of `PRIMITIVES`."""

    kind: str
    logical: Logical | None = None


@dataclass(eq=False, slots=True)
class Array:
    """An array."""

    items: "Schema"
    kind: str = "array"


@dataclass(eq=False, slots=True)
class Map:
    """A map; keys are strings."""

    values: "Schema"
    kind: str = "map"


@dataclass(eq=False, slots=True)
class Union:
    """A union; `branches` are not unions themselves."""

    branches: "tuple[Schema, ...]"
    kind: str = "union"


@dataclass(eq=False, slots=True)
class Fixed:
    """A fixed; `size` in bytes."""

    name: str
    aliases: frozenset[str]
    size: int
    logical: Logical | None = None
    kind: str = "fixed"


@dataclass(eq=False, slots=True)
class Enum:
    """An enum; `default` stands for symbols that a reader does not know."""

    name: str
    aliases: frozenset[str]
    symbols: tuple[str, ...]
    default: str | None = None
    kind: str = "enum"


@dataclass(eq=False, slots=True)
class Field:
    """A record's field."""

    name: str
    type: "Schema"
    aliases: frozenset[str] = frozenset()
    has_default: bool = False
    default: Json = None


@dataclass(eq=False, slots=True)
class Record:
    """A record; may contain itself."""

    name: str
    aliases: frozenset[str]
    fields: tuple[Field, ...] = ()
    kind: str = "record"


Named: TypeAlias = Record | Enum | Fixed
Schema: TypeAlias = Primitive | Array | Map | Union | Named


def parse(text: str, known: Mapping[str, Named] | None = None) -> Schema:
    """Parse a schema.

    Args:
        text: JSON of a schema.
        known: named types declared elsewhere that the text may speak of, by full name.

    Raises:
        InvalidSchema: names the place and the fault.
    """
    return parse_with_names(text, known)[0]


def parse_with_names(text: str, known: Mapping[str, Named] | None = None) -> tuple[Schema, dict[str, Named]]:
    """As `parse`, with the named types that are known after it."""
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidSchema(f"the schema is no JSON: {error}") from None
    return parse_document(document, known)


def parse_document(document: Json, known: Mapping[str, Named] | None = None) -> tuple[Schema, dict[str, Named]]:
    """As `parse_with_names`, from JSON that was decoded already."""
    parser = _Parser(dict(known or {}))
    schema = parser.schema(document, "", "schema", 0)
    for path, declared in parser.fields:
        if declared.has_default and not fits(declared.default, declared.type):
            raise InvalidSchema(f"{path}: the default {json.dumps(declared.default)} is not of the field's type")
    return schema, parser.names


def fits(value: Json, schema: Schema) -> bool:
    """Return whether a JSON value can be the default of a field of this type; of a union, any branch may take it."""
    match schema:
        case Primitive(kind=kind):
            found = _fits_primitive(value, kind)
        case Fixed(size=size):
            found = isinstance(value, str) and _is_bytes(value) and len(value) == size
        case Enum(symbols=symbols):
            found = value in symbols
        case Array(items=items):
            found = isinstance(value, list) and all(fits(item, items) for item in value)
        case Map(values=values):
            found = isinstance(value, dict) and all(fits(item, values) for item in value.values())
        case Union(branches=branches):
            found = any(fits(value, branch) for branch in branches)
        case Record(fields=fields):
            found = isinstance(value, dict) and all(
                fits(value[one.name], one.type) if one.name in value else one.has_default for one in fields
            )
    return found


def _fits_primitive(value: Json, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int" | "long":
            return isinstance(value, int) and not isinstance(value, bool) and value in _RANGES[kind]
        case "float" | "double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bytes":
            return _is_bytes(value)
        case _:
            return isinstance(value, str)


def _is_bytes(value: Json) -> bool:
    """Bytes are written as text in JSON, a letter below 256 for each."""
    return isinstance(value, str) and all(ord(letter) < 256 for letter in value)


def full_name(name: str, namespace: str) -> str:
    """Return a name with its namespace; a name with dots has one already."""
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _no_constant(word: str) -> Json:
    raise ValueError(f"{word} is no JSON")


@dataclass(slots=True)
class _Parser:
    """Names declared so far, and fields whose defaults are checked once every name is known."""

    names: dict[str, Named]
    fields: list[tuple[str, Field]] = field(default_factory=list)

    def schema(self, document: Json, namespace: str, path: str, depth: int) -> Schema:
        if depth > _MAX_DEPTH:
            raise InvalidSchema(f"{path}: nested more than {_MAX_DEPTH} deep")
        if isinstance(document, str):
            return self._reference(document, namespace, path)
        if isinstance(document, list):
            return self._union(document, namespace, path, depth)
        kind = document.get("type") if isinstance(document, dict) else None
        if isinstance(document, dict) and isinstance(kind, str):
            return self._declared(kind, document, namespace, path, depth)
        if isinstance(kind, dict | list):
            return self.schema(kind, namespace, path, depth + 1)
        shown = json.dumps(document)[:80]
        raise InvalidSchema(f"{path}: {shown} is no type: a type is a name, a list of types or an object with 'type'")

    def _reference(self, name: str, namespace: str, path: str) -> Schema:
        if name in PRIMITIVES:
            return Primitive(name)
        found = self.names.get(full_name(name, namespace)) or self.names.get(name)
        if found is None:
            raise InvalidSchema(f"{path}: there is no type {full_name(name, namespace)!r}: declare it before it is used")
        return found

    def _declared(self, kind: str, document: dict[str, Json], namespace: str, path: str, depth: int) -> Schema:
        match kind:
            case "array" | "map":
                part = "items" if kind == "array" else "values"
                if part not in document:
                    raise InvalidSchema(f"{path}: a type of kind {kind} needs {part!r}")
                inner = self.schema(document[part], namespace, f"{path}.{part}", depth + 1)
                return Array(inner) if kind == "array" else Map(inner)
            case "record" | "error" | "enum" | "fixed":
                return self._named(kind, document, namespace, path, depth)
            case _ if kind in PRIMITIVES:
                return Primitive(kind, _logical(document, kind, None))
            case _:
                return self._reference(kind, namespace, path)

    def _union(self, document: list[Json], namespace: str, path: str, depth: int) -> Union:
        branches = tuple(self.schema(one, namespace, f"{path}[{place}]", depth + 1) for place, one in enumerate(document))
        seen: set[str] = set()
        for branch in branches:
            if isinstance(branch, Union):
                raise InvalidSchema(f"{path}: a union cannot have a union as a branch")
            label = label_of(branch)
            if label in seen:
                raise InvalidSchema(f"{path}: the union has the branch {label!r} twice")
            seen.add(label)
        return Union(branches)

    def _named(self, kind: str, document: dict[str, Json], namespace: str, path: str, depth: int) -> Named:
        name, namespace = _name_of(document, namespace, path)
        if name in self.names or name in PRIMITIVES:
            raise InvalidSchema(f"{path}: the name {name!r} is taken already")
        aliases = frozenset(
            full_name(_checked(alias, path, dots=True), namespace) for alias in _list(document, "aliases", path, optional=True)
        )
        if kind == "enum":
            return self._keep(_enum(name, aliases, document, path))
        if kind == "fixed":
            size = document.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise InvalidSchema(f"{path}: 'size' of {name} must be a number of bytes")
            return self._keep(Fixed(name, aliases, size, _logical(document, "fixed", size)))
        record = Record(name, aliases)
        self._keep(record)
        record.fields = tuple(self._field(one, namespace, name, depth) for one in _list(document, "fields", path))
        if (twice := _first_twice([one.name for one in record.fields])) is not None:
            raise InvalidSchema(f"{name}: the field {twice!r} is there twice")
        return record

    def _keep(self, named: Named) -> Named:
        self.names[named.name] = named
        return named

    def _field(self, document: Json, namespace: str, record: str, depth: int) -> Field:
        if not isinstance(document, dict) or not isinstance(document.get("name"), str):
            raise InvalidSchema(f"{record}: a field is an object with 'name' and 'type'")
        name = _checked(document["name"], record, dots=False)
        path = f"{record}.{name}"
        if "type" not in document:
            raise InvalidSchema(f"{path}: the field has no 'type'")
        order = document.get("order", "ascending")
        if order not in {"ascending", "descending", "ignore"}:
            raise InvalidSchema(f"{path}: 'order' must be ascending, descending or ignore")
        aliases = frozenset(_checked(alias, path, dots=False) for alias in _list(document, "aliases", path, optional=True))
        kind = self.schema(document["type"], namespace, path, depth + 1)
        declared = Field(name, kind, aliases, "default" in document, document.get("default"))
        self.fields.append((path, declared))
        return declared


def label_of(schema: Schema) -> str:
    """Return how a schema is called in a union: the full name of a named type, else its kind."""
    return schema.name if isinstance(schema, Record | Enum | Fixed) else schema.kind


def _enum(name: str, aliases: frozenset[str], document: dict[str, Json], path: str) -> Enum:
    symbols = tuple(_checked(symbol, path, dots=False) for symbol in _list(document, "symbols", path))
    if (twice := _first_twice(symbols)) is not None:
        raise InvalidSchema(f"{path}: the symbol {twice!r} of {name} is there twice")
    default = document.get("default")
    if default is not None and default not in symbols:
        raise InvalidSchema(f"{path}: the default {json.dumps(default)} of {name} is none of its symbols")
    return Enum(name, aliases, symbols, default)


def _name_of(document: dict[str, Json], namespace: str, path: str) -> tuple[str, str]:
    """Return the full name of a declaration and the namespace that holds inside it."""
    name = document.get("name")
    if not isinstance(name, str):
        raise InvalidSchema(f"{path}: a type of kind {document['type']} needs a 'name'")
    _checked(name, path, dots=True)
    if "." not in name:
        own = document.get("namespace", namespace)
        if not isinstance(own, str):
            raise InvalidSchema(f"{path}: 'namespace' must be a text")
        if own:
            _checked(own, path, dots=True)
        name = full_name(name, own)
    return name, name.rpartition(".")[0]


def _checked(name: Json, path: str, *, dots: bool) -> str:
    parts = name.split(".") if isinstance(name, str) and dots else [name]
    if not all(isinstance(part, str) and _NAME.fullmatch(part) for part in parts):
        raise InvalidSchema(f"{path}: {json.dumps(name)[:80]} is no name: use letters, digits and '_', not beginning with a digit")
    return str(name)


def _list(document: dict[str, Json], key: str, path: str, *, optional: bool = False) -> list[Json]:
    value = document.get(key, [] if optional else None)
    if not isinstance(value, list):
        raise InvalidSchema(f"{path}: {key!r} must be a list")
    return value


def _first_twice(names: list[str] | tuple[str, ...]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def _logical(document: dict[str, Json], kind: str, size: int | None) -> Logical | None:
    """Return the logical type. One that is not valid is ignored, as the specification has it."""
    name = document.get("logicalType")
    if not isinstance(name, str):
        return None
    if name != "decimal":
        return Logical(name)
    precision, scale = document.get("precision"), document.get("scale", 0)
    if kind not in {"bytes", "fixed"} or not isinstance(precision, int) or not isinstance(scale, int):
        return None
    # a fixed of n bytes holds this many decimal digits
    most = len(str(2 ** (8 * size - 1) - 1)) - 1 if size else precision
    return Logical(name, precision, scale) if 0 < precision <= most and 0 <= scale <= precision else None
