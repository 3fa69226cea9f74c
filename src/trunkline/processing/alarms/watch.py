"""Watches readings for conditions that come and go: by columns, and one by one only where something could change."""

from typing import Final

import numpy as np

from trunkline.log.codec.columns import BOOL, F64, I64
from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.processing.alarms.conditions import (
    EVERYTHING,
    NEVER_DUE,
    NOTHING,
    Change,
    Condition,
    Deviation,
    Equals,
    Fault,
    Limit,
    Quiet,
    Rate,
    Sample,
    Silence,
    Truth,
    number,
)
from trunkline.processing.alarms.plan import FAULTY, MISSING, Item, Plan
from trunkline.processing.alarms.samples import Samples

#: A tag without a reading yet.
UNKNOWN: Final = -(2**62)
#: History with a longer hole is two stretches, each judged by itself.
STRETCH_GAP: Final = 10 * times.MINUTE


class Watch:
    """The conditions of a plan over one course of readings: the live one, or history as it arrives late.

    For each tag it keeps what is quiet: ranges of value and rate, the end of a delay, the silence allowed. A batch is compared with them
    as columns; only the tags with a reading outside are gone through one by one.

    Attributes:
        conditions: by place in the plan.
        last_time: time of each tag's last reading that counted, µs; UNKNOWN before the first.
        last_number: its value; NaN for text.
        last_text: its value by place, for text.
        heard: since when a tag without a reading is waited for, µs; UNKNOWN until somebody looked.
        moved: places of conditions whose state changed; whoever keeps it takes them out.
    """

    def __init__(self, plan: Plan, *, history: bool = False) -> None:
        tags = len(plan.tags)
        self._plan = plan
        self._history = history
        self.conditions = [item.condition(place) for place, item in enumerate(plan.items)]
        self._own: list[list[int]] = [[] for _ in range(tags)]
        self._group, self._members = _groups(plan)
        self.last_time: I64 = np.full(tags, UNKNOWN, np.int64)
        self.last_number: F64 = np.full(tags, np.nan)
        self.last_text: dict[int, str] = {}
        self._low, self._high = np.full(tags, -np.inf), np.full(tags, np.inf)
        self._rate_low, self._rate_high = np.full(tags, -np.inf), np.full(tags, np.inf)
        self._due: I64 = np.full(tags, NEVER_DUE, np.int64)
        self._silence: I64 = np.full(tags, NEVER_DUE, np.int64)
        self._each, self._asks_bad, self._look = (np.zeros(tags, np.bool_) for _ in range(3))
        self._worst = np.zeros(tags, np.int8)
        self.heard: I64 = np.full(tags, UNKNOWN, np.int64)
        self._rate: dict[int, float] = {}
        self.moved: set[int] = set()
        self._spread(plan.items)
        self.look_anew()

    def _spread(self, items: list[Item]) -> None:
        for place, item in enumerate(items):
            for tag in item.tags:
                where = self._plan.tag_place[tag]
                self._own[where].append(place)
                self._worst[where] = max(self._worst[where], item.worst)
                self._asks_bad[where] |= item.clear_on_bad or isinstance(item.judge, Fault)
                self._each[where] |= isinstance(item.judge, Equals | Truth)
        self._has_rate = any(isinstance(item.judge, Rate) for item in items)
        self._has_silence = any(isinstance(item.judge, Silence) for item in items)

    def look_anew(self) -> None:
        """Forget what is quiet: the next reading of every tag is looked at. After a restart, when only last values are known."""
        self._look[:] = True
        for place in range(len(self._own)):
            self._refresh(place)

    # --- what is quiet -----------------------------------------------------------------------------------------------------------------

    def _refresh(self, place: int) -> None:
        """Work out again what is quiet for one tag."""
        value, rate, due, silence = EVERYTHING, EVERYTHING, NEVER_DUE, NEVER_DUE
        for own in self._own[place]:
            condition = self.conditions[own]
            due = min(due, condition.due)
            if isinstance(condition.judge, Rate):
                rate = rate.meet(condition.judge.bounds.quiet(self._rate.get(place), on=condition.on, wanted=condition.wanted))
                continue
            value = value.meet(self._quiet(condition, place))
            if isinstance(condition.judge, Silence) and not condition.on:
                silence = min(silence, condition.judge.after)
        self._low[place], self._high[place] = value
        self._rate_low[place], self._rate_high[place] = rate
        self._due[place], self._silence[place] = due, silence

    def _quiet(self, condition: Condition, place: int) -> Quiet:
        """Return which values of a tag leave a condition as it is."""
        match condition.judge:
            case Limit(bounds):
                return bounds.quiet(float(self.last_number[place]), on=condition.on, wanted=condition.wanted)
            case Deviation():
                return self._quiet_deviation(condition, condition.judge, place)
            case Silence() | Fault():
                return EVERYTHING if not condition.on and not condition.wanted else NOTHING
            case _:
                return EVERYTHING  # `_each` has every change of value looked at

    def _quiet_deviation(self, condition: Condition, judge: Deviation, place: int) -> Quiet:
        """Return how far a value may go by itself; of two tags that may both move, each has half of the way."""
        value = float(self.last_number[self._plan.tag_place[judge.tag]])
        aim = judge.setpoint if judge.setpoint_tag is None else float(self.last_number[self._plan.tag_place[judge.setpoint_tag]])
        if aim is None or np.isnan(value) or np.isnan(aim):
            return NOTHING
        quiet = judge.bounds.quiet(value - aim, on=condition.on, wanted=condition.wanted)
        # rounding of value - aim must not matter: a hair less than the range
        hair = 1e-9 * (abs(value) + abs(aim) + 1e-300)
        down, up = value - aim - quiet.low - hair, quiet.high - (value - aim) - hair
        if judge.setpoint_tag is None:
            return Quiet(value - down, value + up)
        if self._plan.tag_place[judge.tag] == place:
            return Quiet(value - down / 2, value + up / 2)
        return Quiet(aim - up / 2, aim + down / 2)

    # --- readings ----------------------------------------------------------------------------------------------------------------------

    def detect(self, samples: Samples) -> list[Change]:
        """Take readings and return what came of them, in no order. A live watch wants each tag's in order of time."""
        if not len(samples):
            return []
        counts = samples.level <= self._worst[samples.place]
        counted = samples if counts.all() else samples.take(counts)
        dirty = np.zeros(len(self._own), np.bool_)
        dirty[self._group[counted.place[self._could_change(counted)]]] = True
        if counted is not samples:
            rest = samples.place[~counts]
            dirty[self._group[rest[self._asks_bad[rest]]]] = True
        changes: list[Change] = []
        touched = dirty[self._group[samples.place]]
        if touched.any():
            changes = self._go_through(samples, np.flatnonzero(touched))
        self._remember(counted)
        for group in np.flatnonzero(dirty).tolist():
            for place in self._members[group]:
                self._refresh(place)
        return changes

    def _could_change(self, counted: Samples) -> BOOL:
        """Return which readings are not quiet."""
        place, time, x = counted.place, counted.time, counted.number
        found: BOOL = ~((x >= self._low[place]) & (x <= self._high[place]))
        found |= (time >= self._due[place]) | self._look[place]
        first = counted.first()
        before, x_before = np.empty_like(time), np.empty_like(x)
        before[1:], x_before[1:] = time[:-1], x[:-1]
        before[first], x_before[first] = self.last_time[place[first]], self.last_number[place[first]]
        found |= self._each[place] & (x != x_before)
        gone, known = time - before, before != UNKNOWN
        if self._has_rate:
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = (x - x_before) * times.SECOND / gone
            found |= known & (gone > 0) & ~((rate >= self._rate_low[place]) & (rate <= self._rate_high[place]))
        if self._has_silence:
            found |= known & (gone >= self._silence[place])
        if self._history:
            found |= known & ((gone < 0) | (gone > STRETCH_GAP))
        return found

    def _remember(self, counted: Samples) -> None:
        """Take the last reading of each tag as known; of several in a batch the last stays."""
        self.last_time[counted.place] = counted.time
        self.last_number[counted.place] = counted.number
        if counted.columns.text:
            for position in np.flatnonzero(np.isnan(counted.number)).tolist():
                self.last_text[int(counted.place[position])] = str(counted.value(position))

    def recall(self, samples: Samples) -> None:
        """Take readings that were judged before a restart: they are known, and nothing comes of them."""
        self._remember(samples.take(samples.level <= self._worst[samples.place]))

    def _go_through(self, samples: Samples, positions: I64) -> list[Change]:
        """Go through the readings of tags where something could change: tag by tag, those of linked tags in order of time.

        History of linked tags is taken in the order of the log: it may hold several stretches.
        """
        group = self._group[samples.place[positions]]
        order = positions
        if self._is_linked(group):
            arrival, time = samples.origin[positions], samples.time[positions]
            order = positions[np.lexsort((arrival, group) if self._history else (arrival, time, group))]
        known: dict[str, Value] = {}
        last: dict[int, int] = {}
        changes: list[Change] = []
        for position, place, time, level in zip(
            order.tolist(), samples.place[order].tolist(), samples.time[order].tolist(), samples.level[order].tolist(), strict=True
        ):
            if place not in last:
                self._recollect(place, known, last)
            tag, before = self._plan.tags[place], last[place]
            counts = level <= self._worst[place]
            if self._history and counts and before != UNKNOWN and not 0 <= time - before <= STRETCH_GAP:
                changes += [change for own in self._own[place] for change in self.conditions[own].drop(before)]
                self.moved.update(self._own[place])
                before = UNKNOWN
            rate = None
            if counts:
                then, known[tag] = number(known.get(tag)), samples.value(position)
                now = number(known[tag])
                if before != UNKNOWN and time > before and then is not None and now is not None:
                    rate = self._rate[place] = (now - then) * times.SECOND / (time - before)
                last[place] = time
                self._look[place] = False
            for own in self._own[place]:
                sample = Sample(known.get(self._plan.items[own].tags[0]), rate, known)
                changes += self._see(own, time, level, before, sample)
        return changes

    def _is_linked(self, group: I64) -> bool:
        return any(len(self._members[one]) > 1 for one in np.unique(group).tolist())

    def _recollect(self, place: int, known: dict[str, Value], last: dict[int, int]) -> None:
        """Fetch what is known of a tag and of those that are linked to it."""
        for member in self._members[int(self._group[place])]:
            if member in last:
                continue
            last[member] = int(self.last_time[member])
            if last[member] != UNKNOWN:
                x = float(self.last_number[member])
                known[self._plan.tags[member]] = self.last_text.get(member) if np.isnan(x) else x

    def _see(self, own: int, time: int, level: int, before: int, sample: Sample) -> list[Change]:
        """Let one condition see one reading."""
        condition, item = self.conditions[own], self._plan.items[own]
        was = condition.on, condition.since
        changes = self._shown(condition, item, time, level, before, sample)
        if changes or was != (condition.on, condition.since):
            self.moved.add(own)
        return changes

    def _shown(self, condition: Condition, item: Item, time: int, level: int, before: int, sample: Sample) -> list[Change]:
        if isinstance(item.judge, Fault):
            return condition.ask(time, wanted=level == FAULTY) if level != MISSING else []
        if level > item.worst:
            return condition.ask(time, wanted=False) if item.clear_on_bad else []
        if isinstance(item.judge, Silence) and before != UNKNOWN and time - before >= item.judge.after:
            return [*condition.ask(before + item.judge.after, wanted=True), *condition.see(time, sample)]
        return condition.see(time, sample)

    # --- time alone --------------------------------------------------------------------------------------------------------------------

    def tick(self, seen: int) -> list[Change]:
        """Return what comes of time alone, when every reading up to `seen` has been shown."""
        changes: list[Change] = []
        places = set(np.flatnonzero(self._due <= seen).tolist())
        for place in places:
            changes += [change for own in self._own[place] if (change := self.conditions[own].end_delay(seen))]
        if self._has_silence:
            silent = self._silent(seen)
            places |= silent.keys()
            for place, since in silent.items():
                for own in self._own[place]:
                    judge = self.conditions[own].judge
                    if isinstance(judge, Silence) and seen - since >= judge.after:
                        changes += self.conditions[own].ask(since + judge.after, wanted=True)
        self.moved.update(change.place for change in changes)
        for group in {int(self._group[place]) for place in places}:
            for place in self._members[group]:
                self._refresh(place)
        return changes

    def _silent(self, seen: int) -> dict[int, int]:
        """Return since when tags are silent that have been for too long; one never heard of is silent since the first look."""
        self.heard[(self.last_time == UNKNOWN) & (self.heard == UNKNOWN)] = seen
        since = np.where(self.last_time == UNKNOWN, self.heard, self.last_time)
        return {place: int(since[place]) for place in np.flatnonzero(seen - since >= self._silence).tolist()}

    def end_delay(self, place: int, moment: int) -> list[Change]:
        """End the delay of one condition if it is over by `moment`: something else happens to the alarm then."""
        change = self.conditions[place].end_delay(moment)
        if change is None:
            return []
        self.moved.add(place)
        for tag in self._plan.items[place].tags:
            self._refresh(self._plan.tag_place[tag])
        return [change]


def _groups(plan: Plan) -> tuple[I64, list[list[int]]]:
    """Return the group of each tag, and the tags of each: tags of one condition are judged together, in order of time."""
    group = list(range(len(plan.tags)))

    def root(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    for item in plan.items:
        for tag in item.tags[1:]:
            group[root(plan.tag_place[tag])] = root(plan.tag_place[item.tags[0]])
    roots = [root(place) for place in range(len(group))]
    members: list[list[int]] = [[] for _ in group]
    for place, one in enumerate(roots):
        members[one].append(place)
    return np.array(roots, np.int64), members
