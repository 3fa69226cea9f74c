"""Times as people write them on the command line."""

from typing import Final

from trunkline.model import times

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> float:
    """Return the seconds of a span such as 90s, 15m, 2h or 1d. Raises ValueError saying how one looks."""
    if text[:-1].replace(".", "", 1).isdigit() and text[-1] in _UNITS:
        return float(text[:-1]) * _UNITS[text[-1]]
    raise ValueError(f"{text!r} is no span of time: use 90s, 15m, 2h or 1d")


def moment(text: str) -> int:
    """Return µs of an ISO time, of 'now', or of a span back from now. Raises ValueError saying how one looks."""
    if text == "now":
        return times.now()
    if text[:-1].replace(".", "", 1).isdigit() and text[-1] in _UNITS:
        return times.now() - int(seconds_of(text) * times.SECOND)
    try:
        return times.from_iso(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time: {error}; use 2026-01-31T12:00:00Z, 'now', or a span such as 15m, 2h, 3d") from error
