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
        self._judged = frozenset(config.expression.value_of)
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
            self._deadlines = np.where(self._deadlines == _ANEW, now + self._settle, self._deadlines)
            self._wait(new, (np.maximum(new, now) if self._step else np.full(len(new), now)) + self._settle)
            ripe = self._ripe(now)
            if len(late) and self._step:
                self._count_late(len(late))
            elif len(late):
                self.late += len(late)
                ripe = np.concatenate([late, ripe])
        if not len(ripe):
            return None
        self.evaluated = max(self.evaluated, int(ripe[-1]))
        return self._reckon(ripe)

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

    def _ripe(self, now: int) -> I64:
        """Take the moments that every input has passed, that waited long enough, or that are about to be forgotten."""
        if not len(self._pending):
            return _NONE
        newest = self._memory.newest[self.rows].min()
        limit = max(int(newest), int(self._memory.time[self.rows, -AT_ONCE].max()))
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
        held = {path: self._memory.held(row, moments) for path, row in zip(self.inputs, self.rows.tolist(), strict=True)}
        quality = {path: self._graded(one, moments) for path, one in held.items()}
        values = {path: _where(one.known, one.value) for path, one in held.items()}
        good = {path: one.known & (quality[path] >> SEVERITY_SHIFT == 0) for path, one in held.items()}
        age = {path: np.where(one.known, (moments - one.time) / times.SECOND, np.nan) for path, one in held.items()}
        result = _column(self._expression, values, good, age, len(moments))
        worst = np.zeros(len(moments), np.uint16)
        missing = np.zeros(len(moments), np.bool_)
        stamp = np.full(len(moments), NEVER)
        forgotten = np.zeros(len(moments), np.bool_)
        for path, one in held.items():
            if path in self._judged:
                worse = one.known & (quality[path] >> SEVERITY_SHIFT > worst >> SEVERITY_SHIFT)
                worst = np.where(worse, quality[path], worst)
                missing |= ~one.known
            stamp = np.maximum(stamp, np.where(one.known, one.time, NEVER))
            forgotten |= one.forgotten
        value, absent, wrong = _fitted(result, self.kind)
        told = ~forgotten & (stamp != NEVER) & ~(absent & missing & ~wrong)
        self.forgotten += int(np.count_nonzero(forgotten))
        if self._condition is not None:
            told &= _column(self._condition, values, good, age, len(moments)) == 1
        graded = np.zeros_like(worst) if self.config.quality == "good" else worst
        failed = np.where(wrong, np.uint16(Quality.BAD_TYPE), np.uint16(Quality.BAD_NOT_FINITE))
        graded = np.where(absent, np.where(worst >> SEVERITY_SHIFT == Quality.BAD >> SEVERITY_SHIFT, worst, failed), graded)
        places = np.flatnonzero(told)
        if not len(places):
            return None
        return Reckoned(stamp[places], value[places], graded[places].astype(np.uint16), absent[places])

    def _graded(self, held: Held, moments: I64) -> U16:
        """Return the qualities of an input, stale where it is too old."""
        if self.config.max_age is None:
            return held.quality
        stale = (moments - held.time > self.config.max_age * times.SECOND) & (held.quality >> SEVERITY_SHIFT == 0)
        return np.where(stale, np.uint16(Quality.UNCERTAIN_STALE), held.quality)


def _column(
    expression: Expression, values: Mapping[str, npt.NDArray[Any]], good: Mapping[str, BOOL], age: Mapping[str, F64], length: int
) -> npt.NDArray[Any]:
    return np.broadcast_to(expression.columns(values, good, age), length)


def _where(known: BOOL, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values that are known, and no value in the place of the others."""
    values = values.copy()
    values[~known] = None if values.dtype == np.object_ else np.nan
    return values


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
        result = _where(~wrong, result).astype(np.float64)
    if kind is Kind.INTEGER:
        wrong |= (np.rint(result) != result) & ~np.isnan(result) | (result < INT64_MIN) | (result >= INT64_MAX)
    elif kind is Kind.BOOLEAN:
        wrong |= (result != 0) & (result != 1) & ~np.isnan(result)
    absent = np.isnan(result) | wrong
    return np.where(absent, np.nan, result), absent, wrong
