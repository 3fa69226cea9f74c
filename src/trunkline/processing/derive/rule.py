"""One derived tag: at which moments it is reckoned, and what comes out."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trunkline.config.derived import DerivedConfig
from trunkline.log.codec.columns import BOOL, F64, I64, U16
from trunkline.model import times
from trunkline.model.expressions import Expression
from trunkline.model.quality import SEVERITY_SHIFT, Quality
from trunkline.model.reading import INT64_MAX, INT64_MIN, Kind
from trunkline.processing.derive.memory import AT_ONCE, NEVER, Held, InputMemory

_NONE: Final = np.empty(0, np.int64)
#: Deadline of a moment that was waiting when the step was stopped: counted anew from the first look at a clock.
_ANEW: Final = 0


class Reckoned(NamedTuple):
    """Readings of one derived tag, in order of their moments; arrays of one length. `value` is of float64, or of objects for texts."""

    time: I64
    value: npt.NDArray[Any]
    quality: U16
    absent: BOOL

    def __len__(self) -> int:
        return len(self.time)


class Rule:
    """Reckons one derived tag.

    Args:
        config: its definition.
        memory: of all inputs.

    Attributes:
        evaluated: the newest moment that was reckoned; `NEVER` before the first.
        late: moments that came after newer ones had been reckoned.
        forgotten: of them, those for which an input was no longer remembered, or whose trigger has no late moments.
    """

    def __init__(self, config: DerivedConfig, memory: InputMemory) -> None:
        self.config = config
        self.kind = config.tag.value_kind
        self._memory = memory
        self._expression, self._condition = config.expression.subject, config.expression.condition
        self.inputs = config.expression.tags
        self.rows = np.array([memory.rows[path] for path in self.inputs], np.int64)
        place = {path: at for at, path in enumerate(self.inputs)}
        self._judged = np.array([place[path] for path in config.expression.value_of], np.int64)
        self._good_of = [(path, place[path]) for path in config.expression.good_of]
        self._age_of = [(path, place[path]) for path in config.expression.age_of]
        self._settle = round(config.settle * times.SECOND)
        self._step = round((config.every or 0) * times.SECOND)
        self._pending: I64 = _NONE
        self._deadlines: I64 = _NONE
        self.evaluated: int = NEVER
        self.late = self.forgotten = 0

    @property
    def waits(self) -> bool:
        """Whether moments wait for other inputs."""
        return len(self._pending) > 0

    def pending(self) -> list[tuple[int, int]]:
        """Return the moments that wait, with their deadlines."""
        return list(zip(self._pending.tolist(), self._deadlines.tolist(), strict=True))

    def await_again(self, moments: I64, deadlines: I64 | None = None) -> None:
        """Have moments wait that are newer than what was reckoned: after a restart."""
        if self.config.trigger != "all":
            moments, places = np.unique(self._grid(moments), return_index=True)
            new = moments > self.evaluated
            self._wait(moments[new], np.full(int(new.sum()), _ANEW) if deadlines is None else deadlines[places][new])

    def run(self, moments: I64, now: int) -> Reckoned | None:
        """Reckon what is ripe.

        Args:
            moments: times of new readings of inputs, which the memory has already; sorted, distinct.
            now: present time, µs.
        """
        if self.config.trigger == "all":
            self._count_late(int(np.count_nonzero(moments <= self.evaluated)))
            ripe = self._complete()
        else:
            moments = np.unique(self._grid(moments)) if self._step else moments
            late = moments[: np.searchsorted(moments, self.evaluated, "right")]
            new = moments[len(late) :]
            newest = int(self._memory.newest[self.rows].min())
            if not self.waits and len(new) and new[-1] <= newest:
                ripe = new
            else:
                self._deadlines = np.where(self._deadlines == _ANEW, self._deadline(self._pending, now), self._deadlines)
                self._wait(new, self._deadline(new, now))
                ripe = self._ripe(newest, now)
            if len(late) and self._step:
                self._count_late(len(late))
            elif len(late):
                self.late += len(late)
                ripe = np.concatenate([late, ripe])
        if not len(ripe):
            return None
        self.evaluated = max(self.evaluated, int(ripe[-1]))
        return self._reckon(ripe)

    def _deadline(self, moments: I64, now: int) -> I64:
        """Return until when moments wait; those at full multiples of seconds may lie ahead themselves."""
        since: I64 = np.maximum(moments, now) if self._step else np.full(len(moments), now)
        return since + self._settle

    def _count_late(self, count: int) -> None:
        self.late += count
        self.forgotten += count

    def _grid(self, moments: I64) -> I64:
        """Return the moments at which readings of these times are looked at."""
        return -(-moments // self._step) * self._step if self._step else moments

    def _wait(self, moments: I64, deadlines: I64) -> None:
        if not len(self._pending):
            self._pending, self._deadlines = moments, deadlines
        elif len(moments):
            self._pending, places = np.unique(np.concatenate([self._pending, moments]), return_index=True)
            self._deadlines = np.concatenate([self._deadlines, deadlines])[places]

    def _ripe(self, newest: int, now: int) -> I64:
        """Take the moments that every input has passed, that waited long enough, or that are about to be forgotten."""
        limit = max(newest, int(self._memory.time[self.rows, -AT_ONCE].max()))
        overdue = np.flatnonzero(self._deadlines <= now)
        if len(overdue):
            limit = max(limit, int(self._pending[overdue[-1]]))
        count = int(np.searchsorted(self._pending, limit, "right"))
        ripe, self._pending, self._deadlines = self._pending[:count], self._pending[count:], self._deadlines[count:]
        return ripe

    def _complete(self) -> I64:
        """Return the moments, after what was reckoned, at which every input had a new reading again."""
        remembered = [self._memory.times(row) for row in self.rows.tolist()]
        found: list[int] = []
        last = self.evaluated
        while True:
            firsts = [(int(np.searchsorted(one, last, "right")), one) for one in remembered]
            if any(place == len(one) for place, one in firsts):
                return np.array(found, np.int64)
            last = max(int(one[place]) for place, one in firsts)
            found.append(last)

    def _reckon(self, moments: I64) -> Reckoned | None:
        held = self._memory.held(self.rows, moments)
        quality = self._graded(held, moments)
        severity = quality >> SEVERITY_SHIFT
        values = {path: held.texts.get(at, held.number[at]) for at, path in enumerate(self.inputs)}
        good = {path: held.known[at] & (severity[at] == 0) for path, at in self._good_of}
        age = {path: np.where(held.known[at], (moments - held.time[at]) / times.SECOND, np.nan) for path, at in self._age_of}
        value, absent, wrong = _fitted(_column(self._expression, values, good, age, len(moments)), self.kind)
        stamp = np.where(held.known, held.time, NEVER).max(axis=0)
        forgotten = held.forgotten.any(axis=0)
        told = ~forgotten & (stamp != NEVER) & (~absent | wrong | held.known[self._judged].all(axis=0))
        self.forgotten += int(np.count_nonzero(forgotten))
        if self._condition is not None:
            told &= _column(self._condition, values, good, age, len(moments)) == 1
        places = np.flatnonzero(told)
        if not len(places):
            return None
        graded = self._result_quality(quality, severity * held.known, absent, wrong)
        return Reckoned(stamp[places], value[places], graded[places], absent[places])

    def _graded(self, held: Held, moments: I64) -> U16:
        """Return the qualities of the inputs, stale where one is too old."""
        if self.config.max_age is None:
            return held.quality
        stale = (moments - held.time > self.config.max_age * times.SECOND) & (held.quality >> SEVERITY_SHIFT == 0)
        return np.where(stale, np.uint16(Quality.UNCERTAIN_STALE), held.quality)

    def _result_quality(self, quality: U16, severity: U16, absent: BOOL, wrong: BOOL) -> U16:
        """Return the worst of the inputs whose values are taken, the first of equally bad ones; BAD where there is no value."""
        worst: U16 = np.zeros(len(absent), np.uint16)
        if len(self._judged):
            first = severity[self._judged].argmax(axis=0)
            worst = np.where(severity[self._judged].any(axis=0), quality[self._judged][first, np.arange(len(absent))], np.uint16(0))
        graded = np.zeros_like(worst) if self.config.quality == "good" else worst
        if absent.any():
            failed = np.where(wrong, np.uint16(Quality.BAD_TYPE), np.uint16(Quality.BAD_NOT_FINITE))
            graded = np.where(absent, np.where(worst >> SEVERITY_SHIFT == Quality.BAD >> SEVERITY_SHIFT, worst, failed), graded)
        return graded


def _column(
    expression: Expression, values: Mapping[str, npt.NDArray[Any]], good: Mapping[str, BOOL], age: Mapping[str, F64], length: int
) -> npt.NDArray[Any]:
    found = expression.columns(values, good, age)
    return found if len(found) == length else np.full(length, found[0])


def _fitted(result: npt.NDArray[Any], kind: Kind) -> tuple[npt.NDArray[Any], BOOL, BOOL]:
    """Return values of a kind; where there is none; and where that is because the expression gave something of another kind."""
    if kind is Kind.TEXT:
        objects = result.astype(np.object_)
        texts = np.array([isinstance(one, str) for one in objects.tolist()], np.bool_)
        nothing = np.array([one is None or one != one for one in objects.tolist()], np.bool_)  # noqa: PLR0124 - NaN
        return np.where(texts, objects, ""), ~texts, ~texts & ~nothing
    wrong = np.zeros(len(result), np.bool_)
    if result.dtype == np.object_:
        wrong = np.array([isinstance(one, str) for one in result.tolist()], np.bool_)
        result = np.where(wrong, np.nan, result).astype(np.float64)
    if kind is Kind.INTEGER:
        wrong |= (np.rint(result) != result) & ~np.isnan(result) | (result < INT64_MIN) | (result >= INT64_MAX)
    elif kind is Kind.BOOLEAN:
        wrong |= (result != 0) & (result != 1) & ~np.isnan(result)
    absent = np.isnan(result) | wrong
    return np.where(absent, np.nan, result), absent, wrong
