"""Logging in and out."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response
from starlette.concurrency import run_in_threadpool

from trunkline.api.models import LoginRequest, SessionInfo
from trunkline.api.problem import ProblemDetails
from trunkline.api.services import COOKIE, IdentityDep, ServicesDep
from trunkline.model import times
from trunkline.security.door import ABSOLUTE, Identity

public = APIRouter(tags=["session"])
router = APIRouter(tags=["session"])


def _info(identity: Identity) -> SessionInfo:
    return SessionInfo.model_validate({"username": identity.name, "role": identity.role.label, "expires_us": identity.expires_us})


@public.post(
    "/session",
    summary="Log in",
    responses={
        401: {"model": ProblemDetails, "description": "User name or password is wrong."},
        429: {"model": ProblemDetails, "description": "Too many failed logins; Retry-After says when to try again."},
    },
)
async def login(request: Request, response: Response, body: LoginRequest, found: ServicesDep) -> SessionInfo:
    """Check a password and set the session cookie."""
    address = request.client.host if request.client else ""
    token, identity = await run_in_threadpool(found.door.login, body.username, body.password, address)
    response.set_cookie(
        COOKIE,
        token,
        max_age=ABSOLUTE // times.SECOND,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return _info(identity)


@router.get("/session", summary="Who am I")
async def current(identity: IdentityDep) -> SessionInfo:
    """Return who is logged in."""
    return _info(identity)


@router.delete("/session", status_code=204, summary="Log out")
async def logout(
    response: Response, found: ServicesDep, cookie: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None
) -> None:
    """End the session of the cookie."""
    if cookie:
        found.door.logout(cookie)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
