"""Expressions over tags: a small language for derived tags, quality rules and alarms (docs/reference/expressions.md).

    FLOW_IN - FLOW_OUT
    PLANT01.AREA02.UNIT_05.FLOW_RATE > 0 when PUMP == off
    clamp(LEVEL / 4.2 * 100, 0, 100) if isgood(LEVEL) and age(LEVEL) < 60 else LEVEL_BACKUP

It is no Python: what a text may say is a fixed list of operations, and nothing of it is ever run as code.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from trunkline.model.expressions.evaluating import Moment, Moments, for_many, for_one
from trunkline.model.expressions.parsing import FUNCTIONS, Node, parse
from trunkline.model.reading import Value

__all__ = ["FUNCTIONS", "Expression", "Gives", "Node"]

#: What an expression gives: 'any' where that is the tag's matter.
Gives = Literal["number", "truth", "text", "any"]

_NOTHING: Final[Mapping[str, Any]] = {}
_OF_TAGS: Final = frozenset({"tag", "isgood", "age"})
_GIVES: Final[dict[str, Gives]] = {
    "truth": "truth",
    "isgood": "truth",
    "compare": "truth",
    "and": "truth",
    "or": "truth",
    "not": "truth",
    "text": "text",
    "tag": "any",
}


class Expression:
    """One expression, read once and evaluated often. Two of the same text and home are equal.

    A value is missing (None, NaN) where an input that decides it is missing, a division is by zero, or the result is no finite number.
    'and' and 'or' are decided by what is known: `A or B` is yes when A is, whatever B. Numbers are doubles; yes counts as 1, no as 0,
    and any number but 0 as yes.

    Args:
        text: the expression.
        home: asset whose tags may be named without it, for example 'PLANT01.AREA02.UNIT_05'.

    Attributes:
        tags: full paths of the tags it names, in the order in which they first appear.
        good_of, age_of: those of them whose goodness or age it asks for.
        value_of: those of them whose value it takes.
        gives: what comes out.
        subject, condition: of 'A when B' the two sides; else the expression itself and None.
        tree: its structure.

    Raises:
        ValueError: the text is no expression; the message says in which column, and how to mend it.
    """

    __slots__ = ("_many", "_one", "age_of", "condition", "gives", "good_of", "home", "subject", "tags", "text", "tree", "value_of")

    def __init__(self, text: str, home: str = "") -> None:
        self.text = text
        self.home = home
        self.tree = parse(text, home)
        self._one = for_one(self.tree)
        self._many = for_many(self.tree)
        nodes = list(self.tree.walk())

        def named(ops: frozenset[str]) -> tuple[str, ...]:
            found = sorted((node for node in nodes if node.op in ops), key=lambda node: node.column)
            return tuple(dict.fromkeys(str(node.value) for node in found))

        self.tags = named(_OF_TAGS)
        self.value_of = named(frozenset({"tag"}))
        self.good_of = named(frozenset({"isgood"}))
        self.age_of = named(frozenset({"age"}))
        self.gives = _gives(self.tree)
        self.subject: Expression = self
        self.condition: Expression | None = None
        if self.tree.op == "when":
            at = self.tree.column - 1
            self.subject, self.condition = Expression(text[:at], home), Expression(text[at + len("when") :], home)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and (self.text, self.home) == (other.text, other.home)

    def __hash__(self) -> int:
        return hash((self.text, self.home))

    def __repr__(self) -> str:
        return f"Expression({self.text!r}, {self.home!r})"

    def value(
        self,
        values: Mapping[str, Value],
        good: Mapping[str, bool] = _NOTHING,
        age: Mapping[str, float | None] = _NOTHING,
    ) -> bool | float | str | None:
        """Return the value at one moment.

        Args:
            values: by full path; a tag that is missing, or None, has no value.
            good: whether a tag's quality is GOOD; of those in `good_of`. One that is missing is not good.
            age: seconds since the tag's newest reading; of those in `age_of`. Of one that is missing nothing is known.

        Returns:
            A bool where the expression gives a truth, None where there is no value.
        """
        with np.errstate(all="ignore"):
            found = self._one(Moment(values, good, age))
        return bool(found) if self.gives == "truth" and found is not None else found

    def columns(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        good: Mapping[str, npt.NDArray[Any]] = _NOTHING,
        age: Mapping[str, npt.NDArray[Any]] = _NOTHING,
    ) -> npt.NDArray[Any]:
        """Return the values at many moments at once.

        Args:
            values: by full path, an array (n,): of numbers or bools, NaN where there is no value; or of objects (str, number, None).
            good: arrays (n,) of bool, see `value`.
            age: arrays (n,) in seconds, NaN where unknown.

        Returns:
            Array (n,) of float64, NaN where there is no value, 1 and 0 for yes and no; of objects (str, float, None) where texts are
            among the values. n is 1 when no array is given.
        """
        with np.errstate(all="ignore"):
            found = self._many(Moments(values, good, age))
        given = next((len(array) for group in (values, good, age) for array in group.values()), 1)
        return found if found.ndim else np.full(given, found)


def _gives(node: Node) -> Gives:
    if node.op in ("if", "when"):
        branches = {_gives(arg) for arg in (node.args[1:] if node.op == "if" else node.args[:1])}
        return branches.pop() if len(branches) == 1 else "any"
    return _GIVES.get(node.op, "number")
