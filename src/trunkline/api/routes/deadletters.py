"""What could not be accepted, straight from the dead-letter topics."""

import heapq
import itertools
import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from trunkline.api.answers import answer
from trunkline.api.models import DeadLetterPage
from trunkline.api.problem import bad_request
from trunkline.api.services import ServicesDep
from trunkline.api.values import wire
from trunkline.log.port import Log, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Category
from trunkline.processing.deadletter import decode_dead_letter

router = APIRouter(tags=["trust"])

_CURSOR = re.compile(r"\d{1,18}(\.\d{1,18}){0,63}")


@router.get("/deadletters", summary="Records that were refused", response_model=DeadLetterPage)
def deadletters(
    found: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=1300, description="'next' of the page before")] = None,
) -> Response:
    """Return dead letters, newest first."""
    return answer(page(found.log, found.layout, limit, cursor, found.board.gateway_of))


def page(log: Log, layout: Layout, limit: int, cursor: str | None, gateway_of: Callable[[str], str]) -> dict[str, Any]:
    """Return one page: `{rows, total, next}`.

    The cursor holds, for each partition in order, the offset before which to go on. `gateway_of` names the gateway of an origin.

    Raises:
        Problem: the cursor is not one of ours.
        RetryLater: the log cannot be read now.
    """
    bounds: dict[TopicPartition, tuple[int, int]] = {}
    for category in (Category.TELEMETRY, Category.EVENT, Category.ALARM):
        bounds |= log.bounds(layout.topic(category, "dead"))
    places = sorted(bounds)
    ends = {at: bounds[at][1] for at in places}
    if cursor is not None:
        given = [int(part) for part in cursor.split(".")] if _CURSOR.fullmatch(cursor) else []
        if len(given) != len(places):
            raise bad_request("The cursor is not one that this server gave.", "Begin without a cursor.")
        ends = {at: min(bounds[at][1], offset) for at, offset in zip(places, given, strict=True)}
    newest_first = [reversed(_before(log, at, bounds[at][0], ends[at], limit)) for at in places]
    # by time between partitions, by offset within one, whatever the clocks did: the cursor relies on it
    merged = heapq.merge(*newest_first, key=lambda record: record.timestamp, reverse=True)
    chosen = list(itertools.islice(merged, limit))
    for record in chosen:
        ends[TopicPartition(record.topic, record.partition)] = record.offset
    more = any(ends[at] > bounds[at][0] for at in places)
    return {
        "rows": [_row(record, gateway_of) for record in chosen],
        "total": sum(end - first for first, end in bounds.values()),
        "next": ".".join(str(ends[at]) for at in places) if more and chosen else None,
    }


def _before(log: Log, at: TopicPartition, first: int, end: int, limit: int) -> list[StoredRecord]:
    """Return the last `limit` records before `end`; offsets may have gaps, so the window grows until there are enough."""
    window = limit
    while True:
        start = max(first, end - window)
        records: list[StoredRecord] = []
        position = start
        while position < end:
            some = log.read(at, position, end - position)
            if not some:
                break
            records.extend(record for record in some if record.offset < end)
            position = some[-1].offset + 1
        if len(records) >= limit or start == first:
            return records[-limit:]
        window *= 4


def _row(record: StoredRecord, gateway_of: Callable[[str], str]) -> dict[str, Any]:
    row: dict[str, Any] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    try:
        letter = decode_dead_letter(record)
    except CorruptData as error:
        return row | {"time_us": record.timestamp, "reason": str(error), "tag": None, "gateway": None, "source": None, "value": None}
    return row | {
        "time_us": letter.at_us,
        "reason": letter.reason,
        "tag": letter.tag,
        "gateway": gateway_of(letter.gateway) or None,
        "source": letter.source,
        "value": wire(letter.value),
    }
