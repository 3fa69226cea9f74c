"""The alarm book: readings, device alarms, time and people's actions go in, transitions come out. Pure: no log, no clock.

Readings that come in the order of their tag's time are live. Others are history (D-36): older than the tag's last one, from a record marked
as backlog, or further behind than `live_within`. History has conditions of its own, its transitions say `live: false`, and nobody has to
acknowledge them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np

from trunkline.config.alarms import AlarmsConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.columns import BOOL, I64, Columns
from trunkline.model import times
from trunkline.model.alarms import Action, ActionKind, Trigger
from trunkline.model.events import Alarm, Event
from trunkline.model.reading import Value
from trunkline.processing.alarms import actions
from trunkline.processing.alarms.conditions import Change
from trunkline.processing.alarms.devices import DeviceAlarms, devices_standing
from trunkline.processing.alarms.life import Cause, Life, Subject, advance
from trunkline.processing.alarms.plan import Plan
from trunkline.processing.alarms.samples import Samples
from trunkline.processing.alarms.standing import Standing, standing
from trunkline.processing.alarms.watch import UNKNOWN, Watch

#: Entry with the last reading of every tag; it is a function of the input, and so among all entries but never among the changed ones.
READINGS: Final = "readings"
_LIVE, _HISTORY = "live/", "history/"


class Entry(msgspec.Struct, array_like=True):
    """What one alarm must not forget: its condition (on, since, value) and its life."""

    condition: tuple[bool, int | None, Value] | None = None
    life: Life | None = None


class Remembered(msgspec.Struct, array_like=True):
    """The last reading of every tag: live order, and per watch time, number and text."""

    tags: list[str]
    newest: bytes
    heard: bytes
    times: tuple[bytes, bytes]
    numbers: tuple[bytes, bytes]
    texts: tuple[dict[int, str], dict[int, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action: transitions, or why it was refused (empty when it was not)."""

    transitions: list[Event]
    refused: str = ""


class AlarmBook:
    """Every alarm of a site. See the module for what is live.

    Args:
        settings: the site file's section.
        tags: every tag that a pattern may select, by path; a definition may name others too.
    """

    def __init__(self, settings: AlarmsConfig, tags: Mapping[str, TagConfig]) -> None:
        self._plan = Plan(settings, tags)
        self._live_within = round(settings.live_within * times.SECOND)
        self._live, self._history = Watch(self._plan), Watch(self._plan, history=True)
        self._newest: I64 = np.full(len(self._plan.tags), UNKNOWN, np.int64)
        self._lives: dict[int, Life] = {}
        self._past: dict[int, Life] = {}
        self._timed: dict[int, int] = {}
        self._changed: set[str] = set()
        self._opened = False
        self._devices = DeviceAlarms(round(settings.device_max_shelve * times.SECOND), self._live_within)

    # --- readings ----------------------------------------------------------------------------------------------------------------------

    def evaluate(self, columns: Columns, now: int, backlog: BOOL | None = None) -> list[Event]:
        """Take readings and return transitions, each alarm's in order of event time.

        Args:
            columns: in the order of the log.
            now: µs UTC.
            backlog: per block of `columns`, whether its record is marked as backlog; None when none is.
        """
        samples = Samples.of(columns, self._plan)
        if not len(samples):
            return []
        late = self._late(samples, backlog)
        aged = samples.time < now - self._live_within
        past = late | aged
        if not past.any():
            return self._came(self._live.detect(samples), now)
        transitions = self._came_late(self._history.detect(samples.take(past)), now)
        return transitions + self._came(self._live.detect(samples.take(~past)), now)

    def _late(self, samples: Samples, backlog: BOOL | None) -> BOOL:
        """Return which readings are behind their tag's newest or marked as backlog, and note the newest."""
        late = np.zeros(len(samples), np.bool_) if backlog is None else backlog[samples.columns.block[samples.origin]]
        ordered = samples.take(~late) if late.any() else samples
        first = ordered.first()
        behind = ordered.time < self._newest[ordered.place]
        in_order = ordered.time[1:] >= ordered.time[:-1]
        if behind.any() or not (in_order | first[1:]).all():
            # the newest before each reading, tag by tag: places in the order of time, lifted so that no tag sees another's
            _, rank = np.unique(ordered.time, return_inverse=True)
            lifted = np.cumsum(first) * len(ordered) + rank
            behind[1:] |= lifted[1:] < np.maximum.accumulate(lifted)[:-1]
            late[np.flatnonzero(~late)[behind]] = True
            ordered = ordered.take(~behind)
        self._newest[ordered.place] = ordered.time
        return late

    def _came(self, changes: list[Change], now: int) -> list[Event]:
        """Return the transitions of live conditions and of the plant states that suppress alarms, in order of event time."""
        found: list[Event] = []
        for change in sorted(changes, key=lambda one: one.time):
            item = self._plan.items[change.place]
            if item.subject is not None:
                trigger = Trigger.CONDITION_ON if change.on else Trigger.CONDITION_OFF
                found += self._advance(change.place, Cause(trigger=trigger, time=change.time, value=change.value), now)
                continue
            trigger = Trigger.SUPPRESS if change.on else Trigger.UNSUPPRESS
            for place in item.suppresses:
                # a delay that ended before the plant's state changed was first
                found += self._came(self._live.end_delay(place, change.time), now)
                cause = Cause(trigger=trigger, time=change.time, reason=item.key.removeprefix("while:"), by_design=True)
                found += self._advance(place, cause, now)
        return found

    def _came_late(self, changes: list[Change], now: int) -> list[Event]:
        """Return the transitions of history. Plant states of the past suppress nothing: nothing was announced."""
        found: list[Event] = []
        for change in sorted(changes, key=lambda one: one.time):
            item = self._plan.items[change.place]
            if item.subject is None:
                continue
            trigger = Trigger.CONDITION_ON if change.on else Trigger.CONDITION_OFF
            cause = Cause(trigger=trigger, time=change.time, value=change.value, reason=change.reason, live=False)
            life = self._past.setdefault(change.place, Life())
            event = advance(replace(item.subject, ack_required=False, latching=False), life, cause, now)
            if life.at_rest:
                del self._past[change.place]
            self._changed.add(_HISTORY + item.key)
            found += [event] if event is not None else []
        return found

    def _advance(self, place: int, cause: Cause, now: int) -> list[Event]:
        """Let one alarm take one trigger."""
        item = self._plan.items[place]
        life = self._lives.setdefault(place, Life())
        event = advance(self._subject(place), life, cause, now)
        self._changed.add(_LIVE + item.key)
        self._note_end(place, life)
        if life.at_rest:
            del self._lives[place]
        if event is None or not (isinstance(event, Alarm) or cause.trigger in {Trigger.CONDITION_ON, Trigger.CONDITION_OFF}):
            return []
        return [event]

    def _note_end(self, place: int, life: Life) -> None:
        """Note when the first silence ends that has an end."""
        if ends := [end for end in (life.shelved_until, life.suppressed_until) if end]:
            self._timed[place] = min(ends)
        else:
            self._timed.pop(place, None)

    def _subject(self, place: int) -> Subject:
        subject = self._plan.items[place].subject
        if subject is None:
            raise LookupError(f"{self._plan.items[place].key} is a plant state, not an alarm")
        return subject

    # --- time, devices, people ---------------------------------------------------------------------------------------------------------

    def tick(self, now: int, read_up_to: int | None = None) -> list[Event]:
        """Return what comes of time alone: ends of delays, silence, ends of shelving.

        Args:
            now: µs UTC.
            read_up_to: when input still waits: event time up to which it has been shown. Silence and delays are judged up to then only,
                or a step that catches up would take what it has not read yet for silence.
        """
        found = [] if self._opened else self._follow_plant(now)
        found += self._came(self._live.tick(now if read_up_to is None else min(now, read_up_to)), now)
        for place in sorted(place for place, end in self._timed.items() if end <= now):
            for cause in actions.expired(self._lives[place], now):
                found += self._advance(place, cause, now)
        return found + self._devices.tick(now)

    def _follow_plant(self, now: int) -> list[Event]:
        """Let alarms follow the plant's state as they are defined now: definitions may have changed while the book was closed."""
        self._opened = True
        states = [
            (item, place) for item, one in zip(self._plan.items, self._live.conditions, strict=True) if one.on for place in item.suppresses
        ]
        silenced = {place: item.key.removeprefix("while:") for item, place in states}
        found: list[Event] = []
        for place in sorted(silenced.keys() | self._lives.keys()):
            life = self._lives.get(place, Life())
            if life.by_design != (place in silenced):
                trigger = Trigger.UNSUPPRESS if life.by_design else Trigger.SUPPRESS
                cause = Cause(trigger=trigger, time=now, reason=silenced.get(place, "as it is defined now"), by_design=True)
                found += self._advance(place, cause, now)
        return found

    def device(self, alarm: Alarm, now: int, *, backlog: bool = False) -> list[Event]:
        """Take an alarm that a device reports itself and return transitions: `active` is the condition."""
        return self._devices.take(alarm, now, backlog=backlog)

    def act(self, action: Action, now: int) -> Outcome:
        """Do what a person wants, or say why not: nothing of that alarm, not allowed, or the person saw a state that is over."""
        if action.key in self._devices:
            return Outcome(*self._devices.act(action, now))
        place = self._plan.by_key.get(action.key)
        if place is None or self._plan.items[place].subject is None:
            return Outcome([], f"there is no alarm {action.key!r}: 'trunkline alarms list' shows keys")
        subject, life = self._subject(place), self._lives.get(place, Life())
        if refused := actions.refusal(subject, life, action):
            return Outcome([], refused)
        if action.kind is ActionKind.COMMENT:
            self._changed.add(_LIVE + action.key)
            return Outcome([actions.comment(subject, life, action, now)])
        return Outcome(self._advance(place, actions.cause(action, now), now))

    # --- what outlives a restart -------------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes | None]:
        """Return the entries changed since the last call; None deletes."""
        keys, self._changed = self._changed, set()
        for prefix, watch, _ in self._courses():
            keys |= {prefix + self._plan.items[place].key for place in watch.moved}
            watch.moved.clear()
        return {**{key: self._entry(key) for key in sorted(keys)}, **self._devices.changed()}

    def entries(self) -> dict[str, bytes]:
        """Return every entry, with the last readings."""
        keys = {_LIVE + self._plan.items[place].key for place in self._lives}
        for prefix, watch, lives in self._courses():
            keys |= {prefix + self._plan.items[place].key for place in lives}
            keys |= {prefix + self._plan.items[one.place].key for one in watch.conditions if one.state() is not None}
        found = {key: entry for key in sorted(keys) if (entry := self._entry(key)) is not None}
        return {**found, **self._devices.entries(), READINGS: self._remembered()}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take entries into a new book. Those of alarms that no definition makes any more are deleted with the next step."""
        for prefix, watch, lives in self._courses():
            for key, value in entries.items():
                place = self._plan.by_key.get(key.removeprefix(prefix)) if key.startswith(prefix) else None
                if place is None:
                    if key.startswith(prefix):
                        self._changed.add(key)
                    continue
                entry = msgspec.msgpack.decode(value, type=Entry)
                watch.conditions[place].set_state(entry.condition)
                if entry.life is not None:
                    lives[place] = entry.life
        for place, life in self._lives.items():
            self._note_end(place, life)
        self._devices.restore(entries)
        if READINGS in entries:
            self._recall(msgspec.msgpack.decode(entries[READINGS], type=Remembered))
        for watch in (self._live, self._history):
            watch.look_anew()

    def warm(self, columns: Columns, backlog: BOOL | None = None) -> None:
        """Take readings again that were evaluated after the last readings among the entries; nothing comes of them."""
        samples = Samples.of(columns, self._plan)
        if len(samples):
            late = self._late(samples, backlog)
            self._history.recall(samples.take(late))
            self._live.recall(samples.take(~late))
            for watch in (self._live, self._history):
                watch.look_anew()

    def _courses(self) -> Iterator[tuple[str, Watch, dict[int, Life]]]:
        yield _LIVE, self._live, self._lives
        yield _HISTORY, self._history, self._past

    def _entry(self, key: str) -> bytes | None:
        """Return one alarm's entry; None at rest."""
        for prefix, watch, lives in self._courses():
            if key.startswith(prefix):
                place = self._plan.by_key.get(key.removeprefix(prefix))
                if place is None:
                    return None
                entry = Entry(watch.conditions[place].state(), lives.get(place))
                return msgspec.msgpack.encode(entry) if entry != Entry() else None
        raise LookupError(key)

    def _remembered(self) -> bytes:
        watches = (self._live, self._history)
        return msgspec.msgpack.encode(
            Remembered(
                tags=self._plan.tags,
                newest=self._newest.tobytes(),
                heard=self._live.heard.tobytes(),
                times=(watches[0].last_time.tobytes(), watches[1].last_time.tobytes()),
                numbers=(watches[0].last_number.tobytes(), watches[1].last_number.tobytes()),
                texts=(watches[0].last_text, watches[1].last_text),
            )
        )

    def _recall(self, known: Remembered) -> None:
        """Take the last readings; the plan may have other tags by now."""
        pairs = [(old, self._plan.tag_place[tag]) for old, tag in enumerate(known.tags) if tag in self._plan.tag_place]
        old, new = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
        self._newest[new] = np.frombuffer(known.newest, np.int64)[old]
        self._live.heard[new] = np.frombuffer(known.heard, np.int64)[old]
        for side, watch in enumerate((self._live, self._history)):
            watch.last_time[new] = np.frombuffer(known.times[side], np.int64)[old]
            watch.last_number[new] = np.frombuffer(known.numbers[side], np.float64)[old]
            watch.last_text = {place: known.texts[side][before] for before, place in pairs if before in known.texts[side]}


def standing_of(plan: Plan, entries: Mapping[str, bytes]) -> list[Standing]:
    """Return how every alarm stands that is not at rest, in no order, by the entries that a book of this plan handed out."""
    found = devices_standing(entries)
    for key, value in entries.items():
        place = plan.by_key.get(key.removeprefix(_LIVE)) if key.startswith(_LIVE) else None
        subject = None if place is None else plan.items[place].subject
        life = msgspec.msgpack.decode(value, type=Entry).life if subject is not None else None
        if subject is not None and life is not None and not life.at_rest:
            found.append(standing(subject, life))
    return found
