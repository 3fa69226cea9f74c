"""Encoding of answers: msgspec, because checking every one against its model again costs more than making it. Tests do that instead."""

import msgspec
from fastapi import Response

_encode = msgspec.json.Encoder().encode


def answer(data: object) -> Response:
    """Return data as JSON; floats that are not finite become null."""
    return Response(_encode(data), media_type="application/json")
