"""Parsing Canonical Form and fingerprints (Avro 1.12 specification, "Parsing Canonical Form for Schemas" and "Schema Fingerprints")."""

import hashlib
import json
from typing import Final

from trunkline.log.codec.declarations import Array, Enum, Fixed, Json, Map, Named, Primitive, Record, Schema, Union

_EMPTY: Final = 0xC15D213AA4D7A795


def _row(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (_EMPTY & -(number & 1))
    return number


_TABLE: Final = [_row(number) for number in range(256)]


def canonical_form(schema: Schema) -> str:
    """Return the Parsing Canonical Form: two schemas with the same form write and read the same bytes."""
    return json.dumps(_reduced(schema, set()), separators=(",", ":"), ensure_ascii=False)


def _reduced(schema: Schema, declared: set[str]) -> Json:
    match schema:
        case Primitive(kind=kind):
            return kind
        case Array(items=items):
            return {"type": "array", "items": _reduced(items, declared)}
        case Map(values=values):
            return {"type": "map", "values": _reduced(values, declared)}
        case Union(branches=branches):
            return [_reduced(branch, declared) for branch in branches]
        case Record() | Enum() | Fixed() as named:
            return _reduced_named(named, declared)


def _reduced_named(schema: Named, declared: set[str]) -> Json:
    if schema.name in declared:
        return schema.name
    declared.add(schema.name)
    match schema:
        case Enum(symbols=symbols):
            return {"name": schema.name, "type": "enum", "symbols": list(symbols)}
        case Fixed(size=size):
            return {"name": schema.name, "type": "fixed", "size": size}
        case Record(fields=fields):
            inner: list[Json] = [{"name": one.name, "type": _reduced(one.type, declared)} for one in fields]
            return {"name": schema.name, "type": "record", "fields": inner}


def rabin(data: bytes) -> int:
    """Return the 64-bit Rabin fingerprint (CRC-64-AVRO)."""
    value = _EMPTY
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value


def fingerprint(schema: Schema) -> int:
    """Return the 64-bit Rabin fingerprint of a schema."""
    return rabin(canonical_form(schema).encode())


def sha256(schema: Schema) -> str:
    """Return the SHA-256 fingerprint of a schema, as hexadecimal digits."""
    return hashlib.sha256(canonical_form(schema).encode()).hexdigest()
