"""What people read: subjects, messages and lines of digests. Text of devices is cut to one line without control characters."""

import re
from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

from trunkline.model import times
from trunkline.model.events import AlarmSeverity
from trunkline.model.notifications import Item, RequestKind
from trunkline.processing.notify.transition import Transition

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_SUBJECT: Final = 200
_LINES: Final = 200
_WORDS: Final = {
    RequestKind.TRIGGER: "",
    RequestKind.UPDATE: "Now ",
    RequestKind.ESCALATE: "Not acknowledged: ",
    RequestKind.ACKNOWLEDGE: "Acknowledged: ",
    RequestKind.RESOLVE: "Cleared: ",
}


def one_line(text: str, most: int = 500) -> str:
    """Return a text that cannot break out of its line."""
    flat = _CONTROL.sub(" ", text).strip()
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def local(moment: int, zone: ZoneInfo) -> str:
    """Return a time for people: seconds and offset of the site's zone."""
    return times.to_datetime(moment).astimezone(zone).isoformat(" ", "seconds")


def headline(alarm: Transition, kind: RequestKind) -> str:
    """Return the subject of a message about one alarm."""
    word = "Shelved or suppressed: " if kind is RequestKind.RESOLVE and alarm.standing == "suppressed" else _WORDS[kind]
    return one_line(f"{word}{alarm.severity.name} {_about(alarm)}", _SUBJECT)


def message(alarm: Transition, zone: ZoneInfo, notes: Iterable[str] = ()) -> str:
    """Return the message about one alarm, one fact a line."""
    measured = "" if alarm.value is None else f"{alarm.value} {alarm.unit}".strip()
    limit = "" if alarm.threshold is None else f"{alarm.threshold:g} {alarm.unit}".strip()
    facts = [
        ("", alarm.text),
        ("Severity", alarm.severity.name),
        ("Alarm", alarm.type),
        ("Asset", alarm.asset),
        ("Tag", alarm.tag),
        ("Value", measured),
        ("Limit", limit),
        ("Time", local(alarm.time, zone)),
        ("By", alarm.who),
        ("Reason", alarm.reason),
        ("Until", "" if alarm.until is None else local(alarm.until, zone)),
        *(("", note) for note in notes),
    ]
    return "\n".join(f"{name}: {one_line(text)}" if name else one_line(text) for name, text in facts if text)


def item(alarm: Transition) -> Item:
    """Return the line of one alarm in a digest or summary."""
    return Item(occurrence=alarm.occurrence, severity=alarm.severity, time=alarm.time, text=one_line(_about(alarm), _SUBJECT))


def _about(alarm: Transition) -> str:
    """Return type, place and text, each once: the text often names the others."""
    if alarm.type in alarm.text and alarm.path in alarm.text:
        return alarm.text
    return f"{alarm.type} {alarm.path}" + (f": {alarm.text}" if alarm.text else "")


def counts(items: Iterable[Item]) -> str:
    """Return how many there are of each severity, the worst first: '2 CRITICAL, 1 LOW'."""
    numbers: dict[AlarmSeverity, int] = {}
    for one in items:
        numbers[one.severity] = numbers.get(one.severity, 0) + 1
    return ", ".join(f"{numbers[severity]} {severity.name}" for severity in sorted(numbers, reverse=True))


def listing(items: Iterable[Item], zone: ZoneInfo, gone: int) -> str:
    """Return a digest's or summary's text: a line an alarm, and how many came and went meanwhile."""
    listed = list(items)
    lines = [f"{one.severity.name:8} {local(one.time, zone)}  {one.text}" for one in listed[:_LINES]]
    if len(listed) > _LINES:
        lines.append(f"and {len(listed) - _LINES} more")
    if gone:
        lines.append(f"{gone} more came and are gone, or were acknowledged, meanwhile")
    return "\n".join(lines)
