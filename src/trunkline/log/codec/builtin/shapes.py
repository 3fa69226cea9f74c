"""Short words for declarations, so that a record reads like the table of the requirement that it comes from."""

from typing import Any, Final, NamedTuple

from trunkline.log.codec.compatibility import Level

Declaration = dict[str, Any]


class Subject(NamedTuple):
    """A record's history.

    Attributes:
        name: full name of the record, which is the subject it is registered under.
        versions: (schema id, declaration), oldest first.
        level: what a new version must be able to do with the earlier ones.
    """

    name: str
    versions: tuple[tuple[int, Declaration], ...]
    level: Level = Level.FULL_TRANSITIVE


MICROS: Final = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS: Final = {"type": "long", "logicalType": "timestamp-millis"}


def record(name: str, namespace: str, doc: str, *fields: Declaration) -> Declaration:
    """Return a record."""
    return {"type": "record", "name": name, **({"namespace": namespace} if namespace else {}), "doc": doc, "fields": list(fields)}


def must(name: str, kind: object, doc: str = "") -> Declaration:
    """Return a field that every writer has to fill."""
    return {"name": name, "type": kind, **({"doc": doc} if doc else {})}


def may(name: str, kind: object, doc: str = "") -> Declaration:
    """Return a field that may be null, and is when nobody fills it."""
    branches = kind if isinstance(kind, list) else [kind]
    return {"name": name, "type": ["null", *branches], "default": None, **({"doc": doc} if doc else {})}


def default(name: str, kind: object, value: object, doc: str = "") -> Declaration:
    """Return a field with a default."""
    return {"name": name, "type": kind, "default": value, **({"doc": doc} if doc else {})}


def enum(name: str, *symbols: str, default: str | None = None) -> Declaration:
    """Return an enum; with a default, readers survive symbols that they do not know."""
    return {"type": "enum", "name": name, "symbols": list(symbols), **({"default": default} if default else {})}


def array(items: object) -> Declaration:
    """Return an array."""
    return {"type": "array", "items": items}
