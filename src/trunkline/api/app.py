"""The application: routes, guard, errors, page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Cookie, Depends, FastAPI, WebSocket
from starlette.types import Lifespan

import trunkline
from trunkline.api import problem, static
from trunkline.api.guard import Guard
from trunkline.api.live.socket import Connection
from trunkline.api.problem import ProblemDetails
from trunkline.api.pulse import Pulse
from trunkline.api.routes import alarms, deadletters, events, history, ledger, live, session, site, tags
from trunkline.api.services import COOKIE, Services, identify
from trunkline.security.origin import OriginRules

PREFIX: Final = "/api/v1"
_DESCRIPTION: Final = """\
Live values, history, events, dead letters and the ledger of one site.

Times are integers, µs UTC, in fields named `…_us` or `t`; query parameters also take ISO 8601 with a zone. Errors are problem details
(RFC 9457). Log in with `POST /api/v1/session`, or send an API token as `Authorization: Bearer`. A change made with a session needs the
header `X-Requested-With: trunkline`. Live values come over the WebSocket `/api/v1/live`: see docs/reference/live.md.
"""
_COMMON: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": ProblemDetails, "description": "No valid session or token."},
    403: {"model": ProblemDetails, "description": "Unknown host name, foreign page, or the header of a change is missing."},
    422: {"model": ProblemDetails, "description": "A parameter means nothing."},
    503: {"model": ProblemDetails, "description": "The historian or the site log is away; try again after Retry-After seconds."},
}


def create_app(services: Services, *, static_dir: Path = static.FOLDER) -> FastAPI:
    """Return the application for one site.

    Args:
        services: what it works with; the caller closes them.
        static_dir: the built page.
    """
    pulse = Pulse(services)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await pulse.start()
        try:
            yield
        finally:
            await pulse.stop()

    app = new_app(life)
    app.state.services = services
    problem.install(app)
    add_routes(app)
    static.install(app, static_dir)
    rules = OriginRules(services.site.config.api.host, services.site.config.api.allowed_hosts)
    app.add_middleware(Guard, rules=rules, metrics=services.metrics)
    return app


class Application(FastAPI):
    """FastAPI, but errors are documented as what they are: problem details."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            for methods in document["paths"].values():
                for operation in methods.values():
                    for status, response in operation["responses"].items():
                        if status >= "400":
                            response["content"] = {problem.MEDIA_TYPE: response["content"].pop("application/json")}
        return super().openapi()


def new_app(lifespan: Lifespan[FastAPI] | None = None) -> Application:
    """Return an application without routes."""
    return Application(
        title="Trunkline",
        version=trunkline.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )


def add_routes(app: FastAPI) -> None:
    """Add every route of the API; what they need is found in the application's state."""
    for module in (session, site):
        app.include_router(module.public, prefix=PREFIX, responses={code: _COMMON[code] for code in (403, 422)})
    private = APIRouter(prefix=PREFIX, dependencies=[Depends(identify)], responses={**_COMMON})
    for router in (
        session.router,
        site.router,
        tags.router,
        live.router,
        history.router,
        events.router,
        alarms.router,
        deadletters.router,
        ledger.router,
    ):
        private.include_router(router)
    app.include_router(private)
    app.include_router(site.metrics_router)

    @app.websocket(f"{PREFIX}/live")
    async def live_socket(socket: WebSocket, cookie: Annotated[str | None, Cookie(alias=COOKIE)] = None) -> None:
        found: Services = socket.app.state.services
        await Connection(socket, found.hub, found.door, found.metrics).serve(cookie)
