"""The router: transitions of alarms in, notification requests out. Pure: no clock but the one handed in (W-140 to W-145, D-35).

| what happens to an alarm | what is asked for |
| --- | --- |
| raised, live | `trigger` to every channel that its rules name, or a line of the next digest there |
| raised again within the hold of its asset and type | counted; told at the hold's end if it still stands unacknowledged |
| got worse | told at once: `update` where it was told, `trigger` elsewhere |
| unacknowledged for long | `escalate` |
| acknowledged | `acknowledge` where it was told; nothing that waits is sent |
| cleared, shelved, suppressed, out of service | `resolve` where it was told; nothing that waits is sent |
| more than a channel takes in a minute | one `storm` summary at the minute's end |
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from trunkline.config.channels import HEARS_ACKNOWLEDGE, HEARS_RESOLVE
from trunkline.config.notifications import NotificationsConfig
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.notifications import Item, NotificationRequest, RequestKind
from trunkline.processing.notify import wording
from trunkline.processing.notify.routing import Destination, Routing
from trunkline.processing.notify.state import Digest, Entries, Hold, Minute, Open, Told
from trunkline.processing.notify.transition import Transition, transition_of
from trunkline.processing.notify.writing import Writer

#: That somebody acknowledged an alarm is no news a day later.
_ACKNOWLEDGE_LASTS: Final = times.DAY

Requests = list[NotificationRequest]


class Router:
    """Routes the alarms of a site. Holds no lock: one thread owns it.

    Args:
        config: section `notifications`.
        zone: the site's IANA zone.
    """

    def __init__(self, config: NotificationsConfig, zone: str) -> None:
        self._config = config
        self._routing = Routing(config, zone)
        self._types = {channel.id: channel.type for channel in config.channels}
        self._writer = Writer(ZoneInfo(zone), (config.url,) if config.url else ())
        self._hold_us = round(config.hold_seconds * times.SECOND)
        self._open = Entries("open/", Open)
        self._holds = Entries("hold/", Hold)
        self._digests = Entries("digest/", Digest)
        self._minutes = Entries("minute/", Minute)

    # ------------------------------------------------------------------ the step

    def evaluate(self, alarms: Iterable[Alarm], now: int) -> Requests:
        """Return what these transitions, in their order, ask for at `now` (µs UTC), and what is due then.

        An acknowledgement or clear among them comes before what is due: after a standstill nobody is told of what is over.
        """
        requests = self._minutes_end(now)
        for alarm in alarms:
            transition = transition_of(alarm)
            if transition is not None:
                requests += self._step(transition, now)
        return requests + self.tick(now)

    def tick(self, now: int) -> Requests:
        """Return what is due at `now` (µs UTC): summaries, ends of holds, escalations, digests."""
        requests = self._minutes_end(now)
        for name, hold in self._holds.items():
            if hold.until <= now:
                requests += self._hold_ends(name, hold, now)
        for occurrence, alarm in self._open.items():
            if alarm.escalate_at is not None and alarm.escalate_at <= now:
                requests += self._escalate(occurrence, alarm, now)
        for name, digest in self._digests.items():
            if digest.due <= now:
                requests += self._digest(name, digest, now)
        return requests

    def changed(self) -> dict[str, bytes | None]:
        """Return the entries that changed since the last call; None for those that are gone."""
        return {name: entry for kind in self._kinds for name, entry in kind.changed()}

    def entries(self) -> dict[str, bytes]:
        """Return every entry."""
        return {name: entry for kind in self._kinds for name, entry in kind.encoded()}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take back all entries after a start."""
        for kind in self._kinds:
            kind.restore(entries)

    @property
    def _kinds(self) -> tuple[Entries[Any], ...]:
        return self._open, self._holds, self._digests, self._minutes

    # ------------------------------------------------------------------ transitions

    def _step(self, alarm: Transition, now: int) -> Requests:
        if alarm.standing == "active":
            return self._raised(alarm, now) if alarm.live else []
        if alarm.standing == "acknowledged":
            return self._acknowledged(alarm)
        return self._ended(alarm)

    def _raised(self, alarm: Transition, now: int) -> Requests:
        known = self._open.get(alarm.occurrence)
        if known is None or known.acknowledged:
            told = known.told if known is not None else []
            self._open.put(alarm.occurrence, Open(raised=alarm, told=told, escalate_at=self._escalates_at(alarm, now)))
            return self._offer(alarm, now)
        worse = alarm.severity > known.raised.severity
        known.raised = alarm
        if worse and known.escalate_at is None:
            known.escalate_at = self._escalates_at(alarm, now)
        self._open.put(alarm.occurrence, known)
        return self._offer(alarm, now) if worse else []

    def _offer(self, alarm: Transition, now: int) -> Requests:
        """Tell of an alarm, unless repeats of its asset and type are held back and it is no worse than what was told."""
        destinations = self._known(self._routing.destinations(alarm))
        if not destinations:
            return []
        name = f"{alarm.asset}|{alarm.type}"
        hold = self._holds.get(name)
        if hold is None or (hold.until <= now and not hold.waiting):
            self._holds.put(name, Hold(until=now + self._hold_us, severity=alarm.severity))
            return self._tell(alarm, destinations, now)
        if alarm.severity > hold.severity:
            hold.severity = alarm.severity
            hold.waiting = [one for one in hold.waiting if one != alarm.occurrence]
            self._holds.put(name, hold)
            return self._tell(alarm, destinations, now)
        hold.repeats += 1
        if alarm.occurrence not in hold.waiting:
            hold.waiting.append(alarm.occurrence)
        self._holds.put(name, hold)
        return []

    def _acknowledged(self, alarm: Transition) -> Requests:
        known = self._open.get(alarm.occurrence)
        if known is None or known.acknowledged:
            return []
        self._forget_waiting(known.raised)
        known.acknowledged, known.escalate_at = True, None
        self._open.put(alarm.occurrence, known)
        not_after = alarm.time + _ACKNOWLEDGE_LASTS
        return [
            self._writer.single(alarm, told, RequestKind.ACKNOWLEDGE, not_after=not_after)
            for told in known.told
            if self._types.get(told.channel) in HEARS_ACKNOWLEDGE
        ]

    def _ended(self, alarm: Transition) -> Requests:
        """Tell whoever was told that it is over, also when it is history by now: they would wait for ever."""
        known = self._open.pop(alarm.occurrence)
        if known is None:
            return []
        self._forget_waiting(known.raised)
        return [
            self._writer.single(alarm, told, RequestKind.RESOLVE) for told in known.told if self._types.get(told.channel) in HEARS_RESOLVE
        ]

    def _forget_waiting(self, alarm: Transition) -> None:
        """Cancel what was not sent yet."""
        name = f"{alarm.asset}|{alarm.type}"
        hold = self._holds.get(name)
        if hold is not None and alarm.occurrence in hold.waiting:
            hold.waiting.remove(alarm.occurrence)
            self._holds.put(name, hold)
        for key, digest in self._digests.items():
            if digest.items.pop(alarm.occurrence, None) is not None:
                digest.gone += 1
                self._digests.put(key, digest)
        for channel, minute in self._minutes.items():
            if minute.items.pop(alarm.occurrence, None) is not None:
                del minute.people[alarm.occurrence]
                minute.gone += 1
                self._minutes.put(channel, minute)

    # ------------------------------------------------------------------ what is due

    def _minutes_end(self, now: int) -> Requests:
        requests: Requests = []
        for channel, minute in self._minutes.items():
            if minute.end <= now:
                requests += self._summary(channel, minute, now)
        return requests

    def _hold_ends(self, name: str, hold: Hold, now: int) -> Requests:
        requests: Requests = []
        self._holds.pop(name)
        repeats = (f"Raised {hold.repeats} times more within {self._config.hold_seconds / 60:g} minutes.",)
        for occurrence in hold.waiting:
            known = self._open.get(occurrence)
            if known is not None:
                requests += self._tell(known.raised, self._known(self._routing.destinations(known.raised)), now, repeats)
        if requests or hold.waiting:
            self._holds.put(name, Hold(until=now + self._hold_us, severity=hold.severity))
        return requests

    def _escalate(self, occurrence: str, known: Open, now: int) -> Requests:
        known.escalate_at = None
        self._open.put(occurrence, known)
        people = self._routing.people(self._config.escalation, now)
        notes = (f"Nobody acknowledged it for {self._config.escalation.after_seconds / 60:g} minutes.",)
        requests: Requests = []
        for channel in self._config.escalates:
            told = Told(channel, f"{occurrence}/escalation", people)
            requests += self._send(known.raised, told, RequestKind.ESCALATE, now, notes)
        return requests

    def _digest(self, name: str, digest: Digest, now: int) -> Requests:
        self._digests.pop(name)
        if not digest.items or digest.channel not in self._types:
            return []
        items = _sorted(digest.items)
        return [self._writer.collection(RequestKind.DIGEST, "Alarms", digest.channel, digest.people, items, digest.gone, (digest.due, now))]

    def _summary(self, channel: str, minute: Minute, now: int) -> Requests:
        """Sum up what a channel did not get, for each group of people what was for them."""
        self._minutes.pop(channel)
        if channel not in self._types:
            return []
        requests: Requests = []
        for people in sorted({each for occurrence in minute.items for each in minute.people[occurrence]}):
            items = _sorted({name: one for name, one in minute.items.items() if people in minute.people[name]})
            when = (minute.end, now)
            requests.append(self._writer.collection(RequestKind.STORM, "Alarm flood", channel, people, items, minute.gone, when))
        return requests

    # ------------------------------------------------------------------ making requests

    def _tell(self, alarm: Transition, destinations: list[Destination], now: int, notes: tuple[str, ...] = ()) -> Requests:
        requests: Requests = []
        known = self._open.get(alarm.occurrence)
        before = {told.channel for told in known.told} if known is not None else set()
        for one in destinations:
            if one.digest_us is not None:
                self._collect(alarm, one, now)
            else:
                kind = RequestKind.UPDATE if one.channel in before else RequestKind.TRIGGER
                requests += self._send(alarm, Told(one.channel, alarm.occurrence, one.people), kind, now, notes)
        return requests

    def _collect(self, alarm: Transition, one: Destination, now: int) -> None:
        name = "|".join((one.channel, *one.people))
        due = now + (one.digest_us or 0)
        digest = self._digests.get(name) or Digest(channel=one.channel, people=one.people, due=due)
        digest.due = min(digest.due, due)
        digest.items[alarm.occurrence] = wording.item(alarm)
        self._digests.put(name, digest)

    def _send(self, alarm: Transition, told: Told, kind: RequestKind, now: int, notes: tuple[str, ...] = ()) -> Requests:
        """Ask for a message about one alarm, or keep it for the summary when the channel had enough in this minute."""
        minute = self._minutes.get(told.channel) or Minute(end=now + times.MINUTE)
        storm = self._config.storm
        most = max(storm.per_minute, storm.critical_per_minute) if alarm.severity is AlarmSeverity.CRITICAL else storm.per_minute
        if minute.sent >= most:
            minute.items[alarm.occurrence] = wording.item(alarm)
            named = minute.people.setdefault(alarm.occurrence, [])
            if told.people not in named:
                named.append(told.people)
            self._minutes.put(told.channel, minute)
            return []
        minute.sent += 1
        self._minutes.put(told.channel, minute)
        known = self._open.get(alarm.occurrence)
        if known is not None and all((one.channel, one.dedup_key) != (told.channel, told.dedup_key) for one in known.told):
            known.told.append(told)
            self._open.put(alarm.occurrence, known)
        return [self._writer.single(alarm, told, kind, notes)]

    def _known(self, destinations: list[Destination]) -> list[Destination]:
        return [one for one in destinations if one.channel in self._types]

    def _escalates_at(self, alarm: Transition, now: int) -> int | None:
        escalation = self._config.escalation
        return now + round(escalation.after_seconds * times.SECOND) if alarm.severity.name in escalation.severity else None


def _sorted(items: Mapping[str, Item]) -> tuple[Item, ...]:
    return tuple(sorted(items.values(), key=lambda one: (-one.severity, one.time, one.occurrence)))
