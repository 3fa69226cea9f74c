"""Errors as problem details (RFC 9457): `{code, title, detail, mend}`. Never a stack, a secret or a path of the server's code."""

import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from trunkline.historian.reader import UnknownTag
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.security.errors import NotAllowed, NotAuthenticated, TooManyAttempts, WrongCredentials

MEDIA_TYPE: Final = "application/problem+json"

_log = logging.getLogger(__name__)


class ProblemDetails(BaseModel):
    """What went wrong and what to do about it (RFC 9457)."""

    code: str = Field(description="stable word for programs", examples=["TAG_UNKNOWN"])
    title: str = Field(description="what kind of problem it is")
    detail: str = Field(description="what went wrong this time")
    mend: str = Field(description="what to do about it; may be empty")


class Problem(Exception):
    """An answer that explains itself.

    Attributes:
        status: HTTP status.
        code: stable word for programs.
        title: what kind of problem it is.
        detail: what went wrong this time.
        mend: what to do about it.
        headers: to send with it.
    """

    def __init__(self, status: int, code: str, title: str, detail: str, mend: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.mend = mend
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the HTTP answer."""
        body = {"code": self.code, "title": self.title, "detail": self.detail, "mend": self.mend}
        return Response(msgspec.json.encode(body), self.status, self.headers, MEDIA_TYPE)


def not_signed_in(detail: str = "This needs a session or an API token.") -> Problem:
    """Return the 401 answer."""
    mend = "Log in, or send 'Authorization: Bearer' with an API token."
    return Problem(401, "NOT_SIGNED_IN", "Not signed in", detail, mend, {"WWW-Authenticate": "Bearer"})


def of_error(error: Exception) -> Problem:
    """Return the answer to an error of the layers below."""
    match error:
        case Problem():
            problem = error
        case TooManyAttempts():
            headers = {"Retry-After": str(error.retry_after)}
            mend = f"Wait {error.retry_after} seconds."
            problem = Problem(429, "TOO_MANY_ATTEMPTS", "Too many attempts", "Too many logins failed lately.", mend, headers)
        case WrongCredentials():
            mend = "Check both; the first password is printed where the server was started."
            problem = Problem(401, "SIGN_IN_REFUSED", "Sign-in refused", "User name or password is wrong.", mend)
        case NotAuthenticated():
            problem = not_signed_in(f"{error}.".capitalize())
        case NotAllowed():
            problem = Problem(403, "NOT_ALLOWED", "Not allowed", str(error), "Ask an administrator for the role that this needs.")
        case UnknownTag():
            problem = Problem(404, "TAG_UNKNOWN", "Unknown tag", f"{error}.".capitalize(), "Look it up under /api/v1/tags.")
        case RetryLater():
            mend = "It is tried again by itself; 'trunkline status' shows which part is down."
            problem = Problem(503, "UNAVAILABLE", "Not available now", str(error), mend, {"Retry-After": "2"})
        case Misconfigured():
            problem = Problem(503, "MISCONFIGURED", "Not configured", str(error), "Run 'trunkline check' on the server.")
        case _:
            problem = _unexpected(error)
    return problem


def _unexpected(error: Exception) -> Problem:
    reference = str(uuid.uuid4())
    _log.error("unexpected error while answering", exc_info=error, extra={"reference": reference})
    mend = f"Look for {reference} in the log of the API and report it."
    return Problem(500, "INTERNAL_ERROR", "Something broke", "An unexpected error occurred while answering.", mend)


def _of_http(error: HTTPException) -> Problem:
    try:
        title = HTTPStatus(error.status_code).phrase
    except ValueError:
        title = "The request failed"
    return Problem(error.status_code, title.upper().replace(" ", "_"), title, str(error.detail), headers=error.headers)


def _of_validation(error: RequestValidationError) -> Problem:
    """Say which parameter is wrong without repeating its value: it may be a password."""
    parts = []
    for one in error.errors():
        name = ".".join(str(step) for step in one["loc"][1:]) or str(one["loc"][0])
        parts.append(f"{name}: {str(one['msg']).removeprefix('Value error, ')}")
    return bad_request("; ".join(parts))


def bad_request(detail: str, mend: str = "Compare the request with the API reference.") -> Problem:
    """Return the answer to parameters that mean nothing."""
    return Problem(422, "BAD_REQUEST", "The request is not valid", detail, mend)


def install(app: FastAPI) -> None:
    """Answer every error of an application with problem details."""

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _of_http(error).response()

    async def validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _of_validation(error).response()

    async def other(_: Request, error: Exception) -> Response:
        return of_error(error).response()

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, validation)
    for kind in (Problem, NotAuthenticated, NotAllowed, TooManyAttempts, RetryLater, Misconfigured, UnknownTag, Exception):
        app.add_exception_handler(kind, other)
