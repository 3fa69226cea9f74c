"""All rules of a site over a batch of readings: whom they judge, what a verdict does, what is remembered."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from trunkline.config.rules import AnyRule, GapRule, RangeRule, StatusRule
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.columns import BOOL, F64, I64, U16, Columns
from trunkline.model.quality import Quality
from trunkline.model.tags import TagPattern
from trunkline.processing.rules.batch import NEVER, Batch, Evaluator, Hit, grown
from trunkline.processing.rules.frozen import Frozen
from trunkline.processing.rules.others import Contradiction, Others, Status
from trunkline.processing.rules.plain import ClockSkew, Duplicate, Range, Rate
from trunkline.processing.rules.silence import Silence, Timer
from trunkline.processing.rules.spike import Spike

#: Kind of rule: what works it, and the reason that an UNCERTAIN and a BAD reading carries.
KINDS: Final[dict[str, tuple[Callable[[Any], Evaluator], Quality, Quality]]] = {
    "range": (Range, Quality.UNCERTAIN_RANGE, Quality.BAD_OUT_OF_RANGE),
    "rate": (Rate, Quality.UNCERTAIN_SUSPECT_RATE, Quality.BAD_SUSPECT_RATE),
    "duplicate": (Duplicate, Quality.UNCERTAIN_TIME, Quality.BAD_TIME),
    "clock_skew": (ClockSkew, Quality.UNCERTAIN_CLOCK_SKEW, Quality.BAD_TIME),
    "frozen": (Frozen, Quality.UNCERTAIN_FROZEN, Quality.BAD_FROZEN),
    "spike": (Spike, Quality.UNCERTAIN_SPIKE, Quality.BAD_SPIKE),
    "status": (Status, Quality.UNCERTAIN_SENSOR, Quality.BAD_SENSOR_FAULT),
    "expression": (Contradiction, Quality.UNCERTAIN_IMPLAUSIBLE, Quality.BAD_IMPLAUSIBLE),
    "gap": (Timer, Quality.UNCERTAIN_GAP, Quality.UNCERTAIN_GAP),
}

#: Reasons that no device gives: a reading that carries one came as GOOD, as far as can be told.
OWN_MARKS: Final = np.array(
    [
        *(Quality.UNCERTAIN_SUSPECT_RATE, Quality.UNCERTAIN_FROZEN, Quality.UNCERTAIN_SPIKE, Quality.UNCERTAIN_IMPLAUSIBLE),
        *(Quality.BAD_SUSPECT_RATE, Quality.BAD_FROZEN, Quality.BAD_SPIKE, Quality.BAD_IMPLAUSIBLE),
    ],
    np.uint16,
)

#: Entry of what other tags said; no tag has lower case.
_OTHERS: Final = "others"


class RuleSet:
    """The rules, and what they remember of each tag that has one.

    The memory is a function of the readings seen, however they were cut into batches; readings that are shown again change nothing.

    Args:
        rules: as the site file has them.
        tags: every tag of the site by its path.
    """

    def __init__(self, rules: Sequence[AnyRule], tags: Mapping[str, TagConfig]) -> None:
        self._tags = tags
        self._rules = [(rule, [TagPattern(text) for text in rule.tags], KINDS[rule.kind][0](rule)) for rule in rules]
        self._slots: dict[str, int] = {}
        self._paths: list[str] = []
        self._of_rule: list[BOOL] = [np.empty(0, np.bool_) for _ in rules]
        self._last_time: I64 = np.empty(0, np.int64)
        self._last_value: F64 = np.empty(0)
        self._kept: dict[str, bytes] = {}
        self._others = Others(self.looked_at())

    def judge(self, columns: Columns, value: F64, quality: U16, use: BOOL, now: int | None) -> list[Hit]:
        """Return which readings break which rules, in the order of the rules, and remember the readings.

        Args:
            columns: readings in log order.
            value: their values as numbers; NaN without one.
            quality: as they came.
            use: False for what was refused or dropped already.
            now: present time, µs UTC; 0 for what is shown again after a start, None for history, whose readings came when they say.
        """
        if not self._rules:
            return []
        self._others.see(columns, use)
        slots = np.fromiter(map(self._slot, columns.tags), np.int64, len(columns.tags))
        if not len(slots) or slots.max() < 0:
            return []
        slot = slots[columns.tag]
        position = np.flatnonzero(use & (slot >= 0))
        if not len(position):
            return []
        batch = self._batch(columns, position[np.argsort(slot[position], kind="stable")], slot, value, quality, now)
        hits = []
        for (_, _, evaluator), mine in zip(self._rules, self._of_rule, strict=True):
            rows = mine[batch.slot]
            if rows.any() and (hit := evaluator.judge(batch if rows.all() else batch.take(np.flatnonzero(rows)))):
                hits.append(hit)
        return hits

    def judges(self, tag: str) -> bool:
        """Return whether a rule judges a tag."""
        return self._slot(tag) >= 0

    def looked_at(self) -> set[str]:
        """Return the other tags that rules look at."""
        found: set[str] = set()
        for rule, patterns, evaluator in self._rules:
            if isinstance(evaluator, Status | Contradiction):
                found.update(*(evaluator.others(tag) for tag, config in self._tags.items() if _judges(rule, patterns, config)))
        return found

    def _slot(self, tag: str) -> int:
        """Return the number of a tag with rules, -1 for one without."""
        slot = self._slots.get(tag)
        if slot is None:
            config = self._tags.get(tag)
            mine = [config is not None and _judges(rule, patterns, config) for rule, patterns, _ in self._rules]
            slot = self._slots[tag] = self._add(tag, mine) if any(mine) else -1
        return slot

    def _add(self, tag: str, mine: list[bool]) -> int:
        slot = len(self._paths)
        self._paths.append(tag)
        if slot >= len(self._last_time):
            room = max(64, 2 * slot)
            self._last_time = grown(self._last_time, room, NEVER)
            self._last_value = grown(self._last_value, room, np.nan)
            self._of_rule = [grown(of, room, 0) for of in self._of_rule]
            for _, _, evaluator in self._rules:
                evaluator.grow(room)
        for of, judges in zip(self._of_rule, mine, strict=True):
            of[slot] = judges
        if (entry := self._kept.pop(tag, None)) is not None:
            self._load(slot, entry)
        return slot

    def _batch(self, columns: Columns, position: I64, slots: I64, value: F64, quality: U16, now: int | None) -> Batch:
        """Return the readings tag by tag, each with the newest one before it, and remember the newest of each tag."""
        slot, time, number = slots[position], columns.time[position], value[position]
        batch = Batch(
            position, slot, time, columns.gateway_time[position], number, quality[position], time, number, now, self._paths, self._others
        )
        starts = np.flatnonzero(batch.first)
        before_time, before_value = np.empty_like(time), np.empty_like(number)
        before_time[1:], before_value[1:] = time[:-1], number[:-1]
        before_time[starts], before_value[starts] = self._last_time[slot[starts]], self._last_value[slot[starts]]
        ends = np.append(starts[1:], len(slot))
        for tag in np.unique(np.searchsorted(starts, np.flatnonzero(time < before_time), "right") - 1).tolist():
            for row in range(int(starts[tag]) + 1, int(ends[tag])):  # after a late reading the newest is not the one before
                if time[row - 1] < before_time[row - 1]:
                    before_time[row], before_value[row] = before_time[row - 1], before_value[row - 1]
        last = ends - 1
        newest = time[last] >= before_time[last]
        self._last_time[slot[last]] = np.where(newest, time[last], before_time[last])
        self._last_value[slot[last]] = np.where(newest, number[last], before_value[last])
        batch.before_time, batch.before_value = before_time, before_value
        return batch

    def tick(self, now: int) -> list[tuple[str, Silence]]:
        """Return the tags that have become silent for too long, with their silences."""
        found = [silence for _, _, evaluator in self._rules if isinstance(evaluator, Timer) for silence in evaluator.tick(now)]
        return [(self._paths[silence.slot], silence) for silence in found]

    def timed(self, tag: str) -> bool:
        """Return whether a rule watches for silences of a tag."""
        slot = self._slot(tag)
        return slot >= 0 and any(mine[slot] for (rule, _, _), mine in zip(self._rules, self._of_rule, strict=True) if rule.kind == "gap")

    # --- state

    def changed(self) -> dict[str, bytes | None]:
        """Return what is remembered of the tags whose silence was told, or ended, since the last call: what input alone does not tell."""
        slots = {slot for _, _, evaluator in self._rules if isinstance(evaluator, Timer) for slot in evaluator.changed()}
        return {self._paths[slot]: self._dump(slot) for slot in slots}

    def entries(self) -> dict[str, bytes]:
        """Return everything remembered, by tag, of the tags seen."""
        entries = {tag: self._dump(slot) for tag, slot in self._slots.items() if slot >= 0}
        others = self._others.dump()
        return entries if others is None else {**entries, _OTHERS: others}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take what `entries` returned; each is used when its tag is seen, for tags of other members' partitions never are."""
        self._kept.update(entries)
        if (entry := self._kept.pop(_OTHERS, None)) is not None:
            self._others.load(entry)

    def _load(self, slot: int, entry: bytes) -> None:
        last_time, last_value, states = msgspec.msgpack.decode(entry)
        self._last_time[slot], self._last_value[slot] = last_time, last_value
        for (rule, _, evaluator), mine in zip(self._rules, self._of_rule, strict=True):
            if mine[slot] and (state := states.get(rule.id)) is not None and state[0] == rule.kind:
                evaluator.load(slot, state[1])

    def _dump(self, slot: int) -> bytes:
        states = {}
        for (rule, _, evaluator), mine in zip(self._rules, self._of_rule, strict=True):
            if mine[slot] and (state := evaluator.dump(slot)) is not None:
                states[rule.id] = (rule.kind, state)
        return msgspec.msgpack.encode((int(self._last_time[slot]), float(self._last_value[slot]), states))


def _judges(rule: AnyRule, patterns: list[TagPattern], config: TagConfig) -> bool:
    fits = not isinstance(rule, RangeRule) or rule.unit in ("", config.unit)
    return fits and any(pattern.matches(config.path) for pattern in patterns)


def outcome(rule: AnyRule, config: ValidationConfig) -> Literal["uncertain", "keep", "dead_letter", "drop", "tell"]:
    """Return what becomes of a reading that breaks a rule."""
    if isinstance(rule, GapRule):
        return "tell"
    if rule.action != "bad":
        return rule.action
    return rule.bad or ("keep" if isinstance(rule, StatusRule) else config.bad)


def reasons(hits: Sequence[Hit]) -> defaultdict[int, list[tuple[AnyRule, str]]]:
    """Return every reason of every reading that broke a rule, by its place in the batch."""
    found: defaultdict[int, list[tuple[AnyRule, str]]] = defaultdict(list)
    for hit in hits:
        for one, position in enumerate(hit.positions.tolist()):
            found[position].append((hit.rule, hit.words(one)))
    return found
