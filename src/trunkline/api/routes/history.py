"""Readings of the past."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response

from trunkline.api.answers import answer
from trunkline.api.models import At, Chart, Raw
from trunkline.api.problem import ProblemDetails
from trunkline.api.services import ServicesDep
from trunkline.api.values import PathText, TimeText, parse_time, span, wire
from trunkline.historian.reader import Reader
from trunkline.model import times

router = APIRouter(tags=["history"])

_UNKNOWN: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ProblemDetails, "description": "There is no such tag."}}


@router.get("/history", summary="Readings of a tag", response_model=Chart | Raw | At, responses=_UNKNOWN)
def history(
    found: ServicesDep,
    tag: Annotated[PathText, Query(min_length=1, description="full path")],
    mode: Annotated[
        Literal["chart", "raw", "at"], Query(description="buckets for a chart, every reading, or the value at one moment")
    ] = "chart",
    start: Annotated[TimeText | None, Query(alias="from", description="an hour before 'to' when missing")] = None,
    end: Annotated[TimeText | None, Query(alias="to", description="not included; now when missing")] = None,
    at: Annotated[TimeText | None, Query(description="mode 'at': the moment; now when missing")] = None,
    points: Annotated[int, Query(ge=1, le=20_000, description="mode 'chart': about how many buckets")] = 500,
    limit: Annotated[int, Query(ge=1, le=100_000, description="mode 'raw': at most so many readings")] = 10_000,
    interpolate: Annotated[Literal["hold", "linear"], Query(description="mode 'at': the last reading, or a line to the next one")] = "hold",
) -> Response:
    """Return readings by time in history, from 'from' up to but not including 'to'."""
    if mode == "at":
        moment = times.now() if at is None else parse_time(at, "at")
        return answer(_at(found.reader, tag, moment, interpolate))
    since, to = span(start, end, times.HOUR)
    return answer(_raw(found.reader, tag, since, to, limit) if mode == "raw" else _chart(found.reader, tag, since, to, points))


def _at(reader: Reader, tag: str, moment: int, interpolate: Literal["hold", "linear"]) -> dict[str, Any]:
    value = reader.at(tag, moment, interpolate)
    if value is None:
        return {"tag": tag, "mode": "at", "t": moment, "v": None, "q": None, "from_t": None}
    return {"tag": tag, "mode": "at", "t": moment, "v": wire(value.value), "q": value.quality, "from_t": value.from_time}


def _raw(reader: Reader, tag: str, since: int, to: int, limit: int) -> dict[str, Any]:
    raw = reader.raw(tag, since, to, limit)
    return {
        "tag": tag,
        "unit": raw.unit,
        "kind": raw.kind.name.lower(),
        "mode": "raw",
        "t": raw.time.tolist(),
        "v": [wire(value) for value in raw.values()],
        "q": raw.quality.tolist(),
        "truncated": raw.truncated,
    }


def _chart(reader: Reader, tag: str, since: int, to: int, points: int) -> dict[str, Any]:
    chart = reader.chart(tag, since, to, points)
    return {
        "tag": tag,
        "unit": chart.unit,
        "kind": chart.kind.name.lower(),
        "mode": "chart",
        "bucket_us": chart.width,
        "readings": chart.readings,
        "good_percent": chart.good_percent if chart.readings else None,
        "t": chart.time.tolist(),
        "n": chart.n.tolist(),
        "min": chart.min.tolist(),
        "max": chart.max.tolist(),
        "avg": chart.avg.tolist(),
        "bad": chart.bad.tolist(),
    }
