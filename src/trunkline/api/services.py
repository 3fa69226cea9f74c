"""What routes work with, and who is asking."""

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from trunkline.api.board import Board
from trunkline.api.guard import SAFE_METHODS
from trunkline.api.health import Health
from trunkline.api.live.cache import LiveCache
from trunkline.api.live.hub import Hub
from trunkline.api.metrics import Metrics
from trunkline.api.problem import Problem, not_signed_in
from trunkline.config.loading import Site
from trunkline.historian.reader import Reader
from trunkline.log.port import Log
from trunkline.log.topics import Layout
from trunkline.processing.alarms.desk import AlarmList
from trunkline.security.door import Door, Identity

COOKIE: Final = "trunkline_session"
CSRF_HEADER: Final = "X-Requested-With"
CSRF_VALUE: Final = "trunkline"


@dataclass(slots=True)
class Services:
    """Everything an application needs; one for each application."""

    site: Site
    reader: Reader
    log: Log
    layout: Layout
    door: Door
    board: Board
    alarms: AlarmList
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)
    hub: Hub = field(default_factory=lambda: Hub(LiveCache()))


def services(request: Request) -> Services:
    """Return the services of the application that answers."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]

cookie_scheme = APIKeyCookie(name=COOKIE, auto_error=False, scheme_name="session", description="set by POST /api/v1/session")
bearer_scheme = HTTPBearer(auto_error=False, scheme_name="token", description="an API token: 'trunkline token create'")


async def identify(
    request: Request,
    found: ServicesDep,
    cookie: Annotated[str | None, Security(cookie_scheme)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(bearer_scheme)] = None,
) -> Identity:
    """Return who is asking.

    Raises:
        Problem: nobody, or a page of another site that makes a browser send its cookie.
        NotAuthenticated: the session or token is not valid any more.
    """
    if bearer is not None:
        return found.door.by_token(bearer.credentials)
    if not cookie:
        raise not_signed_in()
    if request.method not in SAFE_METHODS and request.headers.get(CSRF_HEADER) != CSRF_VALUE:
        mend = f"Send the header '{CSRF_HEADER}: {CSRF_VALUE}'."
        raise Problem(403, "CSRF_HEADER_MISSING", "Header missing", f"A change with a session needs the header {CSRF_HEADER}.", mend)
    return found.door.by_session(cookie)


IdentityDep = Annotated[Identity, Depends(identify)]
