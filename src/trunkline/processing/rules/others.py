"""Rules that look at other tags: a status word beside the measurement, an expression over several tags.

Another tag counts with its newest reading that came before the one judged, in the order of the log; BAD and late ones say nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from trunkline.config.rules import ExpressionRule, StatusRule, status_path
from trunkline.log.codec.columns import BOOL, I64, Columns
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.expressions import Expression
from trunkline.model.reading import Value
from trunkline.model.tags import SEPARATOR
from trunkline.processing.rules.batch import Batch, Hit
from trunkline.processing.rules.plain import Memoryless


class Said(NamedTuple):
    """One reading of another tag."""

    value: Value
    good: bool
    time: int


_NOTHING: Final = Said(None, good=False, time=0)


class Others:
    """The newest readings of the tags that rules of other tags look at.

    Args:
        paths: those tags.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._last: dict[str, Said] = {}
        self._here: dict[str, tuple[I64, list[Said]]] = {}

    def see(self, columns: Columns, use: BOOL) -> None:
        """Take in a batch; what it says holds from each reading's place on."""
        for path, (_, said) in self._here.items():
            self._last[path] = said[-1]
        self._here = {}
        if not self._paths:
            return
        watched = np.fromiter((tag in self._paths for tag in columns.tags), np.bool_, len(columns.tags))
        if not watched.any():
            return
        usable = use & watched[columns.tag] & ~columns.absent & (columns.quality >> q.SEVERITY_SHIFT < q.Severity.BAD)
        here: dict[str, tuple[list[int], list[Said]]] = {}
        for position in np.flatnonzero(usable).tolist():
            path, time = columns.tags[columns.tag[position]], int(columns.time[position])
            known = here.get(path)
            newest = known[1][-1] if known else self._last.get(path)
            if newest is None or time > newest.time:
                places, said = here.setdefault(path, ([], []))
                places.append(position)
                said.append(Said(columns.value(position), bool(columns.quality[position] >> q.SEVERITY_SHIFT == q.Severity.GOOD), time))
        self._here = {path: (np.array(places, np.int64), said) for path, (places, said) in here.items()}

    def at(self, path: str, positions: I64) -> tuple[list[Said], I64]:
        """Return what a tag said, and for each place in the batch which of it held there."""
        places, said = self._here.get(path, (np.empty(0, np.int64), []))
        return [self._last.get(path, _NOTHING), *said], np.searchsorted(places, positions, "right")

    def dump(self) -> bytes | None:
        """Return the newest reading of each tag; None when nothing was said."""
        newest = self._last | {path: said[-1] for path, (_, said) in self._here.items()}
        return msgspec.msgpack.encode(newest) if newest else None

    def load(self, entry: bytes) -> None:
        """Take what `dump` returned."""
        self._last = msgspec.msgpack.decode(entry, type=dict[str, Said])


def _tags(batch: Batch) -> Iterator[tuple[str, Batch]]:
    """Yield each tag of a batch with its readings that are not BAD and newer than all before."""
    usable = (batch.time > batch.before_time) & (batch.quality >> q.SEVERITY_SHIFT < q.Severity.BAD)
    chosen = batch.take(np.flatnonzero(usable))
    starts = np.flatnonzero(chosen.first)
    for start, end in zip(starts.tolist(), np.append(starts[1:], len(chosen)).tolist(), strict=False):
        yield chosen.paths[int(chosen.slot[start])], chosen.take(np.arange(start, end))


class Status(Memoryless):
    """W-125: what the device's own status word says of its measurement."""

    def __init__(self, rule: StatusRule) -> None:
        self._rule = rule

    def others(self, path: str) -> tuple[str, ...]:
        """Return the tags looked at for a tag."""
        return (status_path(self._rule, path),)

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings during which the status broke the rule."""
        positions: list[I64] = []
        words: list[str] = []
        for path, mine in _tags(batch):
            other = status_path(self._rule, path)
            said, which = batch.others.at(other, mine.position)
            broken = np.array([self._breaks(one.value) for one in said])[which]
            positions.append(mine.position[broken])
            words += [f"{_name(other, path)} is {said[one].value}" for one in which[broken].tolist()]
        return _hit(self._rule, positions, words)

    def _breaks(self, value: Value) -> bool:
        if self._rule.bits is None:
            return value in self._rule.values
        return isinstance(value, int | float) and bool(int(value) & self._rule.bits)


class Contradiction(Memoryless):
    """An expression over tags that must not be true."""

    def __init__(self, rule: ExpressionRule) -> None:
        self._rule = rule
        self._expressions: dict[str, Expression] = {}

    def others(self, path: str) -> tuple[str, ...]:
        """Return the tags looked at for a tag."""
        return self._of(path).tags

    def _of(self, path: str) -> Expression:
        """Return the expression as it reads beside a tag."""
        asset = path.rpartition(SEPARATOR)[0]
        expression = self._expressions.get(asset)
        if expression is None:
            expression = self._expressions[asset] = Expression(self._rule.expression, asset)
        return expression

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings at which the expression was true."""
        positions: list[I64] = []
        words: list[str] = []
        for path, mine in _tags(batch):
            expression = self._of(path)
            values, good, age = {}, {}, {}
            for other in expression.tags:
                said, which = batch.others.at(other, mine.position)
                values[other] = _array([one.value for one in said])[which]
                good[other] = np.array([one.good for one in said])[which]
                age[other] = (mine.time - np.array([one.time for one in said])[which]) / times.SECOND
            broken = np.asarray(expression.columns(values, good, age) == 1, np.bool_)
            positions.append(mine.position[broken])
            rows = np.flatnonzero(broken).tolist()
            words += [", ".join(f"{_name(other, path)} is {values[other][row]}" for other in expression.tags) for row in rows]
        return _hit(self._rule, positions, words)


def _hit(rule: StatusRule | ExpressionRule, positions: list[I64], words: list[str]) -> Hit | None:
    return Hit(rule, np.concatenate(positions), words.__getitem__) if words else None


def _array(values: list[Value]) -> npt.NDArray[Any]:
    """Return values as an expression takes them: numbers with NaN, or objects where texts are among them."""
    if any(isinstance(value, str) for value in values):
        texts = np.empty(len(values), object)
        texts[:] = values
        return texts
    return np.array([np.nan if value is None else float(value) for value in values])


def _name(other: str, path: str) -> str:
    """Return the name of a tag as somebody beside `path` says it."""
    asset, _, name = other.rpartition(SEPARATOR)
    return name if asset == path.rpartition(SEPARATOR)[0] else other
