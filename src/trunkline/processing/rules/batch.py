"""What rules see: readings sorted by tag; and what they say of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from trunkline.config.rules import AnyRule
from trunkline.log.codec.columns import BOOL, F64, I64, U16
from trunkline.model import quality as q

if TYPE_CHECKING:
    from trunkline.processing.rules.others import Others

#: Time of the newest reading before the first: earlier than any, and far from the end of int64.
NEVER: Final = -(2**62)


@dataclass(slots=True)
class Batch:
    """Readings of tags that have rules: tag by tag, each tag's in the order of the log.

    Attributes:
        position: place in the batch of the log.
        slot: number of the tag among those with rules.
        time, gateway_time: µs UTC.
        value: NaN without a number.
        quality: as the readings came.
        before_time: newest time of the tag before the reading, µs; `NEVER` before the first.
        before_value: the value then; NaN where there was none.
        now: present time, µs UTC; None for history, whose readings came when they say.
        paths: of the tags, by slot.
        others: what other tags say.
    """

    position: I64
    slot: I64
    time: I64
    gateway_time: I64
    value: F64
    quality: U16
    before_time: I64
    before_value: F64
    now: int | None
    paths: list[str]
    others: "Others"

    def __len__(self) -> int:
        return len(self.position)

    def take(self, rows: I64) -> "Batch":
        """Return some of the readings, in the same order."""
        return Batch(
            self.position[rows],
            self.slot[rows],
            self.time[rows],
            self.gateway_time[rows],
            self.value[rows],
            self.quality[rows],
            self.before_time[rows],
            self.before_value[rows],
            self.now,
            self.paths,
            self.others,
        )

    def measured(self) -> "Batch":
        """Return the readings that carry a number, are not BAD and are newer than all before them: those that a signal is judged by."""
        usable = ~np.isnan(self.value) & (self.time > self.before_time) & (self.quality >> q.SEVERITY_SHIFT < q.Severity.BAD)
        return self if usable.all() else self.take(np.flatnonzero(usable))

    @property
    def first(self) -> BOOL:
        """True at the first reading of each tag."""
        first = np.ones(len(self), np.bool_)
        first[1:] = self.slot[1:] != self.slot[:-1]
        return first


@dataclass(slots=True)
class Hit:
    """Readings that broke one rule.

    Attributes:
        rule: the rule.
        positions: places in the batch of the log.
        words: why, by place in `positions`; a sentence without its beginning.
    """

    rule: AnyRule
    positions: I64
    words: Callable[[int], str]


class Evaluator(Protocol):
    """One rule at work."""

    def grow(self, slots: int) -> None:
        """Make room for so many tags."""
        ...

    def judge(self, batch: Batch) -> Hit | None:
        """Return which readings break the rule, and remember what later ones are compared with."""
        ...

    def dump(self, slot: int) -> list[float | int | bytes] | None:
        """Return what is remembered of a tag; None for a rule without memory."""
        ...

    def load(self, slot: int, state: list[float | int | bytes]) -> None:
        """Take what `dump` returned."""
        ...


def grown(old: npt.NDArray[Any], slots: int, fill: float) -> npt.NDArray[Any]:
    """Return the array with `slots` rows; new ones are filled."""
    new = np.full((slots, *old.shape[1:]), fill, old.dtype)
    new[: len(old)] = old
    return new
