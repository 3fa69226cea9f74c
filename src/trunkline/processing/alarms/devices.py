"""Alarms that devices report themselves, given the same life as the platform's own."""

from collections.abc import Mapping

import msgspec

from trunkline.config.alarms import DEVICE_RULE
from trunkline.model.alarms import Action, ActionKind, Trigger
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.processing.alarms import actions
from trunkline.processing.alarms.life import Cause, Life, Subject, advance
from trunkline.processing.alarms.standing import Standing, standing

_PREFIX = "device/"


class DeviceAlarm(msgspec.Struct, array_like=True):
    """One alarm of a device: what it last said of itself, when (µs UTC), and where the alarm stands, live and in history."""

    type: str
    asset: str
    tag: str
    source: str
    severity: int
    unit: str
    threshold: float | None
    newest: int
    life: Life
    past: Life

    @property
    def key(self) -> str:
        """Identity across restarts."""
        return f"{self.source}|{self.asset}|{self.type}"


class DeviceAlarms:
    """Every alarm that any device has reported.

    Args:
        max_shelve: longest time that one may be silenced at once, µs.
        live_within: how far behind a report is still live, µs.
    """

    def __init__(self, max_shelve: int, live_within: int) -> None:
        self._max_shelve = max_shelve
        self._live_within = live_within
        self._alarms: dict[str, DeviceAlarm] = {}
        self._timed: set[str] = set()
        self._changed: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._alarms

    def take(self, alarm: Alarm, now: int, *, backlog: bool) -> list[Event]:
        """Take a report; one of the same condition again changes nothing."""
        known = self._known(alarm)
        live = not backlog and alarm.time >= known.newest and alarm.time >= now - self._live_within
        life = known.life if live else known.past
        if live:
            known.newest = alarm.time
        if life.condition == alarm.active:
            return []
        trigger = Trigger.CONDITION_ON if alarm.active else Trigger.CONDITION_OFF
        cause = Cause(trigger=trigger, time=alarm.time, value=alarm.value, reason="", live=live)
        return self._advance(known, life, cause, now)

    def _known(self, alarm: Alarm) -> DeviceAlarm:
        found = DeviceAlarm(
            alarm.type, alarm.asset, alarm.tag, alarm.source, alarm.severity, alarm.unit, alarm.threshold, 0, Life(), Life()
        )
        known = self._alarms.setdefault(found.key, found)
        if known is not found:
            known.tag, known.severity, known.unit, known.threshold = found.tag, found.severity, found.unit, found.threshold
        self._changed.add(known.key)
        return known

    def _subject(self, known: DeviceAlarm, *, live: bool) -> Subject:
        return _subject(known, live=live, max_shelve=self._max_shelve)

    def _advance(self, known: DeviceAlarm, life: Life, cause: Cause, now: int) -> list[Event]:
        event = advance(self._subject(known, live=cause.live), life, cause, now)
        self._note(known)
        return [event] if event is not None else []

    def _note(self, known: DeviceAlarm) -> None:
        self._changed.add(known.key)
        if known.life.shelved_until or known.life.suppressed_until:
            self._timed.add(known.key)
        else:
            self._timed.discard(known.key)

    def tick(self, now: int) -> list[Event]:
        """Return what ends by itself."""
        found: list[Event] = []
        for key in sorted(self._timed):
            known = self._alarms[key]
            for cause in actions.expired(known.life, now):
                found += self._advance(known, known.life, cause, now)
        return found

    def act(self, action: Action, now: int) -> tuple[list[Event], str]:
        """Do what a person wants of a device's alarm, or say why not."""
        known = self._alarms[action.key]
        subject = self._subject(known, live=True)
        if refused := actions.refusal(subject, known.life, action):
            return [], refused
        if action.kind is ActionKind.COMMENT:
            self._note(known)
            return [actions.comment(subject, known.life, action, now)], ""
        return self._advance(known, known.life, actions.cause(action, now), now), ""

    def changed(self) -> dict[str, bytes | None]:
        """Return the entries changed since the last call."""
        keys, self._changed = self._changed, set()
        return {_PREFIX + key: msgspec.msgpack.encode(self._alarms[key]) for key in sorted(keys)}

    def entries(self) -> dict[str, bytes]:
        """Return every entry."""
        return {_PREFIX + key: msgspec.msgpack.encode(self._alarms[key]) for key in sorted(self._alarms)}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take entries; others than devices' are passed over."""
        for key, value in entries.items():
            if key.startswith(_PREFIX):
                known = msgspec.msgpack.decode(value, type=DeviceAlarm)
                self._alarms[known.key] = known
                self._note(known)
        self._changed.clear()


def devices_standing(entries: Mapping[str, bytes]) -> list[Standing]:
    """Return how every alarm stands that is not at rest, by the entries that `DeviceAlarms` handed out; others are passed over."""
    known = [msgspec.msgpack.decode(value, type=DeviceAlarm) for key, value in entries.items() if key.startswith(_PREFIX)]
    return [standing(_subject(one, live=True, max_shelve=0), one.life) for one in known if not one.life.at_rest]


def _subject(known: DeviceAlarm, *, live: bool, max_shelve: int) -> Subject:
    return Subject(
        key=known.key,
        rule=DEVICE_RULE,
        type=known.type,
        asset=known.asset,
        tag=known.tag,
        severity=AlarmSeverity(known.severity),
        source=known.source,
        unit=known.unit,
        threshold=known.threshold,
        ack_required=live,
        max_shelve=max_shelve,
    )
