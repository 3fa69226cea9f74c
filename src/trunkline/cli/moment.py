"""Times as people write them on the command line."""

from trunkline.model import times


def moment(text: str) -> int:
    """Return µs of an ISO time, of 'now', or of a span back from now. Raises ValueError saying how one looks."""
    if text == "now":
        return times.now()
    units = {"s": times.SECOND, "m": times.MINUTE, "h": times.HOUR, "d": times.DAY}
    if text[:-1].replace(".", "", 1).isdigit() and text[-1] in units:
        return times.now() - int(float(text[:-1]) * units[text[-1]])
    try:
        return times.from_iso(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time: {error}; use 2026-01-31T12:00:00Z, 'now', or a span such as 15m, 2h, 3d") from error
