"""The REST API of Confluent's Schema Registry over a `Registry`: paths, bodies and codes as its clients know them.

Source: Confluent Platform documentation, "Schema Registry API Reference".
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from trunkline.model.errors import RetryLater
from trunkline.registry import errors
from trunkline.registry.access import Guard
from trunkline.registry.answers import Answer, refusal
from trunkline.registry.credential import Credential
from trunkline.registry.errors import Refused
from trunkline.registry.routes import compatibility_of, deletions_of, schemas_of, subjects_of
from trunkline.registry.service import Registry
from trunkline.registry.settings import levels_of, modes_of
from trunkline.security.origin import OriginRules


def create_app(registry: Registry, rules: OriginRules, credential: Credential | None = None) -> FastAPI:
    """Return the application; it closes the registry when it ends.

    Args:
        registry: what answers.
        rules: names under which this server may be asked.
        credential: what clients have to present; None lets everybody in who can reach the address.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        registry.close()

    app = FastAPI(title="Trunkline schema registry", lifespan=lifespan, default_response_class=Answer, openapi_url=None)
    app.include_router(schemas_of(registry))
    app.include_router(subjects_of(registry))
    app.include_router(deletions_of(registry))
    app.include_router(compatibility_of(registry))
    app.include_router(levels_of(registry))
    app.include_router(modes_of(registry))
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RetryLater, _store_error)
    app.add_exception_handler(RequestValidationError, _invalid_query)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Guard, rules=rules, credential=credential)
    return app


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error.code, str(error))


def _store_error(_: Request, error: Exception) -> Response:
    return refusal(errors.STORE_ERROR, str(error))


def _invalid_query(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return refusal(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, str(error.detail))
