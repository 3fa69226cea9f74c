"""Bodies of requests and answers."""

import json
from collections.abc import Sequence
from typing import Any, Final, Self, TypeVar

import msgspec
from fastapi import Request, Response
from starlette.responses import JSONResponse

from trunkline.registry import errors
from trunkline.registry.catalogue import Reference, Stored, Version
from trunkline.registry.errors import Refused
from trunkline.registry.service import Submitted

_MAX_BODY: Final = 1 << 20

T = TypeVar("T")


class Answer(JSONResponse):
    """JSON under the registry's own content type."""

    media_type = "application/vnd.schemaregistry.v1+json"

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Return an answer whose body is JSON already."""
        return cls(json.loads(text))


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename={"schema_type": "schemaType", "rules": "ruleSet"}):
    """A schema as clients send it; `metadata` and `ruleSet` are Confluent's data contracts, which are not kept here."""

    schema: str
    schema_type: str | None = None
    references: tuple[Reference, ...] | None = None
    id: int | None = None
    version: int | None = None
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Body)


async def read_body(request: Request) -> bytes:
    """Return the body of a request. Raises Refused when it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise Refused(413, f"the body is larger than {_MAX_BODY:,} bytes")
    return bytes(body)


def body_of(raw: bytes) -> Submitted:
    """Return the schema that a client sent. Raises Refused."""
    try:
        body = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(errors.INVALID_SCHEMA, f'Send {{"schema": TEXT}}: {error}') from None
    if body.schema_type not in {None, "AVRO"}:
        raise Refused(errors.INVALID_SCHEMA, f"Invalid schema type {body.schema_type}: this registry keeps AVRO")
    if body.metadata or body.rules:
        raise Refused(errors.INVALID_SCHEMA, "Metadata and rules are not kept by this registry: register the schema without them")
    # Confluent's clients send -1 where there is no number
    numbers = (None if number in {None, -1, 0} else number for number in (body.id, body.version))
    return Submitted(body.schema, body.references or (), *numbers)


def without_subject(stored: Stored) -> dict[str, Any]:
    """Return a schema as `/schemas/ids` shows it."""
    references = [msgspec.to_builtins(one) for one in stored.references]
    return {"schema": stored.text, "schemaType": "AVRO"} | ({"references": references} if references else {})


def whole(one: Version) -> dict[str, Any]:
    """Return a version with everything that is known of it."""
    return {"subject": one.subject, "version": one.version, "id": one.schema.id, **without_subject(one.schema)}


def versions_page(items: Sequence[T], offset: int, limit: int) -> list[T]:
    """Return a part of a list; a negative limit means all of it."""
    start = max(offset, 0)
    return list(items[start:] if limit < 0 else items[start : start + limit])


def refusal(code: int, message: str) -> Response:
    """Return an error with Confluent's code; its first three digits are the HTTP status."""
    return Answer({"error_code": code, "message": message}, int(str(code)[:3]))
