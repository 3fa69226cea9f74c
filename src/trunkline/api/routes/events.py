"""Events and alarms."""

import re
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response

from trunkline.api.answers import answer
from trunkline.api.models import EventPage
from trunkline.api.problem import bad_request
from trunkline.api.services import ServicesDep
from trunkline.api.values import PathText, TimeText, WordsText, span, wire
from trunkline.model import times
from trunkline.model.events import Alarm, Event
from trunkline.model.reading import Category

router = APIRouter(tags=["events"])

_CURSOR = re.compile(r"\d{1,16}:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@router.get("/events", summary="Events and alarms", response_model=EventPage)
def events(
    found: ServicesDep,
    start: Annotated[TimeText | None, Query(alias="from", description="a day before 'to' when missing")] = None,
    end: Annotated[TimeText | None, Query(alias="to", description="not included; now when missing")] = None,
    category: Annotated[Literal["event", "alarm"] | None, Query(description="both when missing")] = None,
    under: Annotated[PathText, Query(description="only of this asset, those below it, or this tag")] = "",
    search: Annotated[WordsText, Query(description="words that type, asset, tag, text, actor or source must contain")] = "",
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
    cursor: Annotated[str, Query(max_length=80, description="'next' of the page before")] = "",
) -> Response:
    """Return events and alarms, newest first."""
    since, to = span(start, end, times.DAY)
    if cursor and not _CURSOR.fullmatch(cursor):
        raise bad_request("The cursor is not one that this server gave.", "Begin without a cursor.")
    rows, following = found.reader.events(
        since, to, category=Category[category.upper()] if category else None, under=under, search=search, limit=limit, cursor=cursor
    )
    return answer({"events": [_row(event, gateway) for event, gateway in rows], "next": following})


def _row(event: Event, gateway: str) -> dict[str, Any]:
    told = msgspec.structs.asdict(event)
    alarm = event if isinstance(event, Alarm) else None
    return {
        **{name: told[name] for name in ("id", "type", "asset", "tag", "source", "text", "actor")},
        "category": "alarm" if alarm else "event",
        "time_us": event.time,
        "gateway": gateway,
        "severity": int(alarm.severity) if alarm else None,
        "active": alarm.active if alarm else None,
        "value": wire(alarm.value) if alarm else None,
        "threshold": alarm.threshold if alarm else None,
        "unit": alarm.unit if alarm else "",
        "before": wire(event.before),
        "after": wire(event.after),
        "attributes": {name: wire(value) for name, value in event.attributes.items()},
    }
