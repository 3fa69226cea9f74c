"""The derive step: clean telemetry in, readings of derived tags out, into the raw topics, where validation takes them like any other.

A pure step: no I/O and no clock. What follows from its input alone (the last readings of inputs, moments that wait) is told by `entries`
for a checkpoint and rebuilt by `warm`; what does not (numbers given, moments reckoned, counts) is told by `changed` with every commit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from trunkline.config.derived import DERIVED, DerivedConfig, in_order
from trunkline.log.codec.columns import I64, Columns
from trunkline.log.codec.slots import RecentSlots, TagSlot
from trunkline.log.codec.writer import Rows
from trunkline.log.topics import Layout
from trunkline.model.reading import Category, Kind
from trunkline.processing.author import Author, Emitted
from trunkline.processing.derive.memory import Arrived, InputMemory
from trunkline.processing.derive.rule import Reckoned, Rule

_MARK, _INPUT, _PENDING = "mark ", "input ", "pending "
_NONE: Final = np.empty(0, np.int64)


class DeriveStep:
    """Reckons all derived tags of a site.

    Args:
        layout: names of the topics.
        derived: the definitions.
        kinds: of the values of all tags, derived ones included.
        new_origin: identity for the readings of a step that starts without entries: one that was never used before.
    """

    name = "derive"

    def __init__(self, layout: Layout, derived: Sequence[DerivedConfig], kinds: Mapping[str, Kind], new_origin: str) -> None:
        self._layout = layout
        ordered = in_order(tuple(derived))
        inputs = dict.fromkeys(tag for one in ordered for tag in one.expression.tags)
        self._memory = InputMemory({tag: kinds.get(tag, Kind.DOUBLE) for tag in inputs})
        self._rules = [Rule(one, self._memory) for one in ordered]
        self._derived = frozenset(one.path for one in ordered)
        lanes = [layout.lane_of(one.path, one.measurement) for one in ordered]
        self._slots = [TagSlot(rule.config.path, DERIVED, rule.kind, lane) for rule, lane in zip(self._rules, lanes, strict=True)]
        self._recent = RecentSlots()
        self._users = _users(self._rules, len(inputs))
        self._author = Author(layout, DERIVED, len(ordered), new_origin)
        self._waiting: set[int] = set()
        self._changed: set[str] = set()
        self._dropped: set[str] = set()

    @property
    def inputs(self) -> Sequence[str]:
        """Topics read: clean telemetry."""
        return self._layout.topics(Category.TELEMETRY, "clean")

    @property
    def outputs(self) -> Sequence[str]:
        """Topics written: raw telemetry, and the reports of gateways."""
        return (*self._layout.topics(Category.TELEMETRY, "raw"), self._layout.gateway_status)

    @property
    def late(self) -> int:
        """Moments that came after newer ones had been reckoned, since the start."""
        return sum(rule.late for rule in self._rules)

    @property
    def forgotten(self) -> int:
        """Late moments that could not be reckoned, since the start."""
        return sum(rule.forgotten for rule in self._rules)

    # ---------------------------------------------------------------- at work

    def evaluate(self, columns: Columns, now: int) -> list[Emitted]:
        """Return what follows from new readings.

        Args:
            columns: readings of clean topics; those of tags that are no inputs are passed over.
            now: present time, µs: when derived readings are read, so to speak.
        """
        found: list[tuple[int, Reckoned]] = []
        for portion in self._memory.portions(self._memory.arrived(columns, self._derived)):
            self._memory.add(portion)
            found += self._run(self._moments(portion), now)
        return self._emitted(found, now)

    def tick(self, now: int) -> list[Emitted]:
        """Return what follows from time alone: moments that waited long enough, and the report."""
        return self._emitted(self._run({}, now), now)

    def _moments(self, arrived: Arrived) -> dict[int, I64]:
        """Return the distinct times of readings by the number of the rule that uses their tag."""
        first, count, users = self._users
        counts = count[arrived.row]
        ends = np.cumsum(counts)
        within = np.arange(int(ends[-1])) - np.repeat(ends - counts, counts)
        rules = users[np.repeat(first[arrived.row], counts) + within]
        order = np.argsort(rules, kind="stable")  # times are in order already
        rules, moments = rules[order], np.repeat(arrived.time, counts)[order]
        new = np.ones(len(rules), np.bool_)
        new[1:] = (rules[1:] != rules[:-1]) | (moments[1:] != moments[:-1])
        rules, moments = rules[new], moments[new]
        starts = np.flatnonzero(np.diff(rules, prepend=-1))
        return dict(zip(rules[starts].tolist(), np.split(moments, starts[1:]), strict=True))

    def _run(self, moments: dict[int, I64], now: int) -> list[tuple[int, Reckoned]]:
        """Run the rules that have new moments or waiting ones, each after those that it is made of."""
        found: list[tuple[int, Reckoned]] = []
        for number, rule in enumerate(self._rules):
            if number not in moments and number not in self._waiting:
                continue
            before = rule.evaluated
            reckoned = rule.run(moments.get(number, _NONE), now)
            (self._waiting.add if rule.waits else self._waiting.discard)(number)
            if rule.evaluated != before:
                self._changed.add(_MARK + rule.config.path)
            if reckoned is not None:
                found.append((number, reckoned))
                self._hand_on(rule, reckoned, moments)
        return found

    def _hand_on(self, rule: Rule, reckoned: Reckoned, moments: dict[int, I64]) -> None:
        """Make a result the input of the rules that use it."""
        row = self._memory.rows.get(rule.config.path)
        if row is None:
            return
        order = np.argsort(reckoned.time, kind="stable")
        rows = np.full(len(reckoned), row)
        value = reckoned.value.copy()
        if rule.kind is Kind.TEXT:
            value[reckoned.absent] = None
        for portion in self._memory.portions(Arrived(rows, reckoned.time, value, reckoned.quality).take(order)):
            self._memory.add(portion)
        self._changed.add(_INPUT + rule.config.path)
        first, count, users = self._users
        for user in users[first[row] : first[row] + count[row]].tolist():
            moments[user] = np.union1d(moments.get(user, _NONE), reckoned.time)

    def _emitted(self, found: list[tuple[int, Reckoned]], now: int) -> list[Emitted]:
        written = self._author.write(self._rows(found, now)) if found else []
        return written + self._author.report(now)

    def _rows(self, found: list[tuple[int, Reckoned]], now: int) -> Rows:
        slots = [slot for number, reckoned in found for slot in [self._slots[number]] * len(reckoned)]
        time = np.concatenate([reckoned.time for _, reckoned in found])
        quality = np.concatenate([reckoned.quality for _, reckoned in found]).astype(np.int64)
        absent = np.concatenate([reckoned.absent for _, reckoned in found])
        return Rows(
            slots=self._recent.of(slots),
            time=time,
            gateway_time=np.full(len(time), now),
            quality=quality if quality.any() else None,
            numbers=self._values(found, Kind.DOUBLE),
            integers=np.nan_to_num(self._values(found, Kind.INTEGER, Kind.BOOLEAN)).astype(np.int64),
            texts=[text for number, reckoned in found if self._rules[number].kind is Kind.TEXT for text in reckoned.value.tolist()],
            absent=absent if absent.any() else None,
        )

    def _values(self, found: list[tuple[int, Reckoned]], *kinds: Kind) -> npt.NDArray[np.float64]:
        values = [reckoned.value for number, reckoned in found if self._rules[number].kind in kinds]
        return np.concatenate(values) if values else np.empty(0, np.float64)

    # ---------------------------------------------------------------- state

    def changed(self) -> dict[str, bytes | None]:
        """Return the entries that changed since the last call, to be committed with what was emitted; None removes one."""
        changed: dict[str, bytes | None] = {key: self._entry(key) for key in sorted(self._changed)}
        changed.update(self._author.changed())
        changed.update(dict.fromkeys(self._dropped))
        self._changed, self._dropped = set(), set()
        return changed

    def entries(self) -> dict[str, bytes]:
        """Return everything that is remembered, for a checkpoint."""
        keys = [_MARK + rule.config.path for rule in self._rules]
        keys += [_INPUT + path for path in self._memory.paths()]
        keys += [_PENDING + rule.config.path for rule in self._rules if rule.waits]
        return {**self._author.entries(), **{key: self._entry(key) for key in keys}}

    def _entry(self, key: str) -> bytes:
        what, _, name = key.partition(" ")
        if what == "input":
            return self._memory.entry(name)
        rule = self._by_path()[name]
        return msgspec.msgpack.encode(rule.evaluated if what == "mark" else rule.pending())

    def _by_path(self) -> dict[str, Rule]:
        return {rule.config.path: rule for rule in self._rules}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take over the entries of an earlier run; those of tags that are not derived any more are removed with the next commit."""
        rules = self._by_path()
        pending: list[tuple[Rule, bytes]] = []
        mine = self._author.restore(entries)
        for key, entry in entries.items():
            what, _, name = key.partition(" ")
            if key in mine:
                continue
            if what == "input" and name in self._memory.rows:
                self._memory.restore(name, entry)
            elif what == "mark" and name in rules:
                rules[name].evaluated = msgspec.msgpack.decode(entry, type=int)
            elif what == "pending" and name in rules:
                pending.append((rules[name], entry))
            else:
                self._dropped.add(key)
        for rule, entry in pending:
            moments = np.array(msgspec.msgpack.decode(entry, type=list[tuple[int, int]]), np.int64).reshape(-1, 2)
            rule.await_again(moments[:, 0], moments[:, 1])
        for path in self._derived & self._memory.rows.keys():
            self._await(self._memory.rows[path], self._memory.times(self._memory.rows[path]))
        self._waiting = {number for number, rule in enumerate(self._rules) if rule.waits}

    def warm(self, columns: Columns) -> None:
        """Take in again what had been read after the checkpoint and before the last commit; emits nothing."""
        for portion in self._memory.portions(self._memory.arrived(columns, self._derived)):
            self._memory.add(portion)
            for number, moments in self._moments(portion).items():
                self._rules[number].await_again(moments)
        self._waiting = {number for number, rule in enumerate(self._rules) if rule.waits}

    def _await(self, row: int, moments: I64) -> None:
        first, count, users = self._users
        for user in users[first[row] : first[row] + count[row]].tolist():
            self._rules[user].await_again(moments)


def _users(rules: Iterable[Rule], inputs: int) -> tuple[I64, I64, I64]:
    """Return, per input, where its users begin in the third array and how many they are; and the numbers of the rules."""
    by_row: list[list[int]] = [[] for _ in range(inputs)]
    for number, rule in enumerate(rules):
        for row in rule.rows.tolist():
            by_row[row].append(number)
    count = np.array([len(one) for one in by_row], np.int64)
    first = np.zeros(len(by_row), np.int64)
    np.cumsum(count[:-1], out=first[1:])
    return first, count, np.array([number for one in by_row for number in one], np.int64)
