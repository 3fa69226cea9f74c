"""The site and how it is."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CONTENT_TYPE_LATEST

import trunkline
from trunkline.api.answers import answer
from trunkline.api.models import HealthInfo, SiteInfo, StatusInfo
from trunkline.api.services import ServicesDep, bearer_scheme, cookie_scheme, identify
from trunkline.config.addresses import is_loopback
from trunkline.model import times

public = APIRouter(tags=["site"])
router = APIRouter(tags=["site"])
metrics_router = APIRouter(tags=["site"])


@public.get("/health", summary="Is the API well")
async def health(found: ServicesDep) -> HealthInfo:
    """Return 'ok', or 'degraded' when the site log or the historian cannot be reached. Details need a session."""
    return HealthInfo.model_validate({"status": found.health.status, "since_us": found.health.since_us})


@router.get("/site", summary="Which site is this")
async def site(found: ServicesDep) -> SiteInfo:
    """Return the site's names, zone and clock."""
    config = found.site.config
    return SiteInfo(
        site=config.site, title=config.title or config.site, timezone=config.timezone, version=trunkline.__version__, now_us=times.now()
    )


@router.get("/status", summary="State of processes, gateways and brokers", response_model=StatusInfo)
def status(found: ServicesDep) -> Response:
    """Return the state of every role, what each gateway last reported, and what was last seen of the Kafka cluster."""
    return answer(found.board.status())


@router.get("/openapi.json", summary="This document", response_model=dict[str, Any])
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return answer(request.app.openapi())


@metrics_router.get("/metrics", summary="Figures about the API", response_class=Response, include_in_schema=False)
async def metrics(
    request: Request,
    found: ServicesDep,
    cookie: Annotated[str | None, Security(cookie_scheme)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(bearer_scheme)] = None,
) -> Response:
    """Return the metrics in the Prometheus text format: to this machine, or with a session or token."""
    if request.client is None or not is_loopback(request.client.host):
        await identify(request, found, cookie, bearer)
    return Response(found.metrics.text(), media_type=CONTENT_TYPE_LATEST)
