"""Values, qualities and times between the log's integers and JSON."""

import math
import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from trunkline.api.problem import bad_request
from trunkline.model import quality, times
from trunkline.model.reading import Value

#: Largest integer that every JSON reader keeps exactly (RFC 8259, 6).
MAX_SAFE_INTEGER: Final = 2**53 - 1
#: A time in a query: see `parse_time`.
TimeText = Annotated[str, Field(max_length=40, examples=["1795276800000000", "2026-11-21T13:00:00Z"])]
#: A tag path or the beginning of one; an unknown one finds nothing.
PathText = Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9_.-]*$", examples=["PLANT01.AREA02"])]
#: Words to search for.
WordsText = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
_MICROSECONDS = re.compile(r"-?\d{1,18}")
_LATEST: Final = 253_402_300_799 * times.SECOND
_EARLIEST: Final = -62_135_596_800 * times.SECOND


def wire(value: Value) -> Value:
    """Return a value as JSON can carry it: large integers as text, what is not finite as nothing."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def is_big(value: Value) -> bool:
    """Return whether `wire` makes text of an integer."""
    return isinstance(value, int) and not isinstance(value, bool) and not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER


def quality_words(code: int) -> dict[str, object]:
    """Return a quality with its name, reason and severity."""
    return {"q": code, "quality": quality.name(code), "reason": quality.reason(code), "severity": quality.severity(code).name.lower()}


def live(tag: str, value: Value, code: int, time: int, gateway_time: int) -> dict[str, object]:
    """Return a reading as `GET /latest` tells it."""
    told: dict[str, object] = {
        "tag": tag,
        "v": wire(value),
        **quality_words(code),
        "t": time,
        "gateway_t": gateway_time,
    }
    if is_big(value):
        told["big"] = True
    return told


def parse_time(text: str, name: str) -> int:
    """Return µs UTC of a query parameter: an integer, or ISO 8601 with a zone.

    Raises:
        Problem: it is neither, or outside the years 1 to 9999.
    """
    try:
        # a plus sign that was not escaped arrives as a space
        us = int(text) if _MICROSECONDS.fullmatch(text) else times.from_datetime(datetime.fromisoformat(text.replace(" ", "+")))
    except (ValueError, OverflowError) as error:
        mend = "Use microseconds since 1970 in UTC, or ISO 8601 with a zone such as 2026-11-21T13:00:00Z."
        raise bad_request(f"'{name}' is no time: {error}", mend) from None
    if not _EARLIEST <= us <= _LATEST:
        raise bad_request(f"'{name}' lies outside the years 1 to 9999.", "Give microseconds, not nanoseconds.")
    return us


def span(start: str | None, end: str | None, default: int) -> tuple[int, int]:
    """Return [from, to) of a query; missing ends are now and `default` µs before the other one.

    Raises:
        Problem: an end is no time, or they run backwards.
    """
    to = times.now() if end is None else parse_time(end, "to")
    since = max(_EARLIEST, to - default) if start is None else parse_time(start, "from")
    if since >= to:
        raise bad_request("'from' must be before 'to'.", "Swap them, or give a longer span.")
    return since, to
