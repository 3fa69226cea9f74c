"""The alarm report for people, as tables of a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trunkline.model import times
from trunkline.processing.alarms.report import AlarmReport, Counted, Lasting


def render(report: AlarmReport) -> RenderableType:
    """Return the report; parts without findings are left out."""
    ack = report.acknowledgement
    head = f"Alarms from {_moment(report.begin)} to {_moment(report.end)}: {report.annunciations} annunciations"
    lines = [head + (f", {report.historic} transitions of history beside them" if report.historic else "")]
    if ack.median is not None and ack.p95 is not None and ack.longest is not None:
        lines.append(f"Acknowledged after {ack.median:.0f} s (median), {ack.p95:.0f} s (95 %), {ack.longest:.0f} s (longest)")
    if ack.waiting:
        lines.append(f"Not acknowledged: {ack.waiting}")
    parts: list[RenderableType] = [Text(line) for line in lines]
    if report.rates:
        parts += [_rates(report), _priorities(report)]
    if report.floods:
        rows = [
            (one.position, _moment(one.begin), _moment(one.end) if one.end else "lasts", one.annunciations, one.peak)
            for one in report.floods
        ]
        parts.append(_table("Floods: more than 10 in 10 minutes", ("position", "from", "to", "annunciations", "peak in 10 min"), rows))
    parts += _counted("Bad actors", "of all", report.bad_actors)
    parts += _counted("Chattering: 3 or more in a minute", "of its own", report.chattering)
    parts += _counted("Fleeting: gone within a minute, unseen", "of its own", report.fleeting)
    parts += _lasting("Standing: condition on for more than a day", report.standing)
    parts += _lasting("Stale: on the screen for more than a day", report.stale)
    if report.first_out:
        bursts = [(_moment(one.time), one.group, one.first, len(one.followers)) for one in report.first_out]
        parts.append(_table("First out", ("time", "group", "first alarm", "followed by"), bursts))
    return Group(*parts)


def _rates(report: AlarmReport) -> Table:
    rows = [(one.position, one.annunciations, f"{one.average:.2f}", one.most, f"{one.share_over:.1%}", one.band) for one in report.rates]
    heads = ("position", "annunciations", "average", "most", "intervals over 10", "EEMUA 191")
    return _table("Annunciations in 10 minutes", heads, rows)


def _priorities(report: AlarmReport) -> Table:
    rows = [(one.priority, one.count, f"{one.share:.0%}", f"{one.target:.0%}") for one in report.priorities]
    return _table("Priorities (CRITICAL counts as HIGH)", ("priority", "annunciations", "share", "target"), rows)


def _counted(title: str, share: str, found: Sequence[Counted]) -> list[RenderableType]:
    rows = [(one.key, one.count, f"{one.share:.1%}") for one in found]
    return [_table(title, ("alarm", "count", share), rows)] if rows else []


def _lasting(title: str, found: Sequence[Lasting]) -> list[RenderableType]:
    rows = [(one.key, _moment(one.since), f"{one.seconds / 3600:.1f}") for one in found]
    return [_table(title, ("alarm", "since", "hours"), rows)] if rows else []


def _table(title: str, heads: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Table:
    table = Table(*heads, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def _moment(us: int) -> str:
    return times.to_datetime(us).strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"
