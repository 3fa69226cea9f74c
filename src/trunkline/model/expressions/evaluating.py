"""Trees into functions: one for a moment, one for columns of moments."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from trunkline.model.expressions import meaning
from trunkline.model.expressions.meaning import ARITHMETIC, Arithmetic, Column, Scalar
from trunkline.model.expressions.parsing import Node


class Moment(NamedTuple):
    """What is known at one moment, by tag: its value, whether it is GOOD, its age in seconds."""

    values: Mapping[str, object]
    good: Mapping[str, bool]
    age: Mapping[str, float | None]


class Moments(NamedTuple):
    """What is known at many moments: arrays of one length."""

    values: Mapping[str, npt.NDArray[Any]]
    good: Mapping[str, npt.NDArray[Any]]
    age: Mapping[str, npt.NDArray[Any]]


One: TypeAlias = Callable[[Moment], Scalar]
Many: TypeAlias = Callable[[Moments], Column]


def for_one(node: Node) -> One:
    """Return the function that gives a tree's value at one moment."""
    return _ONE.get(node.op, _reckon)(node, [for_one(arg) for arg in node.args])


def for_many(node: Node) -> Many:
    """Return the function that gives a tree's values at many moments."""
    return _MANY.get(node.op, _reckon_columns)(node, [for_many(arg) for arg in node.args])


def _operation(node: Node) -> Arithmetic:
    return meaning.rounding(float(node.value)) if node.op == "round" else ARITHMETIC[node.op]


# ---------------------------------------------------------------- one moment


def _literal(node: Node, _: list[One]) -> One:
    constant = node.value if isinstance(node.value, str) else float(node.value)
    return lambda _: constant


def _tag(node: Node, _: list[One]) -> One:
    path = str(node.value)
    return lambda moment: meaning.as_scalar(moment.values.get(path))


def _isgood(node: Node, _: list[One]) -> One:
    path = str(node.value)
    return lambda moment: float(bool(moment.good.get(path)))


def _age(node: Node, _: list[One]) -> One:
    path = str(node.value)
    return lambda moment: meaning.as_scalar(moment.age.get(path))


def _reckon(node: Node, args: list[One]) -> One:
    function = _operation(node).one

    def evaluate(moment: Moment) -> Scalar:
        operands = []
        for arg in args:
            operand = meaning.number(arg(moment))
            if operand is None:
                return None
            operands.append(operand)
        try:
            result = function(*operands)
        except (ValueError, OverflowError, ZeroDivisionError):
            return None
        return result if math.isfinite(result) else None

    return evaluate


def _compare(node: Node, args: list[One]) -> One:
    signs = node.comparisons

    def evaluate(moment: Moment) -> Scalar:
        operands = [arg(moment) for arg in args]
        found = [meaning.compared(sign, operands[place], operands[place + 1]) for place, sign in enumerate(signs)]
        return 0.0 if 0.0 in found else None if None in found else 1.0

    return evaluate


def _truth(scalar: Scalar) -> float | None:
    found = meaning.number(scalar)
    return None if found is None else float(found != 0)


def _joined(node: Node, args: list[One]) -> One:
    decides = float(node.op == "or")  # 'or' is decided by the first yes, 'and' by the first no

    def evaluate(moment: Moment) -> Scalar:
        unknown = False
        for arg in args:
            truth = _truth(arg(moment))
            if truth == decides:
                return decides
            unknown = unknown or truth is None
        return None if unknown else 1.0 - decides

    return evaluate


def _not(_: Node, args: list[One]) -> One:
    def evaluate(moment: Moment) -> Scalar:
        truth = _truth(args[0](moment))
        return None if truth is None else 1.0 - truth

    return evaluate


def _choose(_: Node, args: list[One]) -> One:
    condition, yes, no = args

    def evaluate(moment: Moment) -> Scalar:
        truth = _truth(condition(moment))
        if truth is None:
            return None
        return yes(moment) if truth else no(moment)

    return evaluate


def _when(node: Node, args: list[One]) -> One:
    return _choose(node, [args[1], args[0], lambda _: None])


_ONE: Final[dict[str, Callable[[Node, list[One]], One]]] = {
    "number": _literal,
    "truth": _literal,
    "text": _literal,
    "tag": _tag,
    "isgood": _isgood,
    "age": _age,
    "compare": _compare,
    "and": _joined,
    "or": _joined,
    "not": _not,
    "if": _choose,
    "when": _when,
}


# ---------------------------------------------------------------- columns of moments


def _literal_column(node: Node, _: list[Many]) -> Many:
    constant = np.full((), node.value, np.object_) if isinstance(node.value, str) else np.asarray(float(node.value))
    return lambda _: constant


def _tag_column(node: Node, _: list[Many]) -> Many:
    path = str(node.value)
    return lambda moments: meaning.as_column(moments.values.get(path, np.nan))


def _isgood_column(node: Node, _: list[Many]) -> Many:
    path = str(node.value)
    return lambda moments: np.asarray(moments.good.get(path, 0.0), np.float64)


def _age_column(node: Node, _: list[Many]) -> Many:
    path = str(node.value)
    return lambda moments: meaning.as_column(moments.age.get(path, np.nan))


def _reckon_columns(node: Node, args: list[Many]) -> Many:
    function = _operation(node).many
    return lambda moments: meaning.finite(np.asarray(function(*[meaning.numbers(arg(moments)) for arg in args])))


def _truths(column: Column) -> Column:
    return meaning.truths(meaning.numbers(column))


def _compare_columns(node: Node, args: list[Many]) -> Many:
    signs = node.comparisons

    def evaluate(moments: Moments) -> Column:
        operands = [arg(moments) for arg in args]
        return meaning.all_of([meaning.compared_columns(sign, operands[place], operands[place + 1]) for place, sign in enumerate(signs)])

    return evaluate


def _joined_columns(node: Node, args: list[Many]) -> Many:
    join = meaning.any_of if node.op == "or" else meaning.all_of
    return lambda moments: join([_truths(arg(moments)) for arg in args])


def _not_column(_: Node, args: list[Many]) -> Many:
    return lambda moments: 1.0 - _truths(args[0](moments))


def _choose_columns(_: Node, args: list[Many]) -> Many:
    return lambda moments: meaning.chosen_columns(meaning.numbers(args[0](moments)), args[1](moments), args[2](moments))


def _when_column(node: Node, args: list[Many]) -> Many:
    nothing = np.asarray(np.nan)
    return _choose_columns(node, [args[1], args[0], lambda _: nothing])


_MANY: Final[dict[str, Callable[[Node, list[Many]], Many]]] = {
    "number": _literal_column,
    "truth": _literal_column,
    "text": _literal_column,
    "tag": _tag_column,
    "isgood": _isgood_column,
    "age": _age_column,
    "compare": _compare_columns,
    "and": _joined_columns,
    "or": _joined_columns,
    "not": _not_column,
    "if": _choose_columns,
    "when": _when_column,
}
