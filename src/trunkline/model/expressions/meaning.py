"""What the operations mean, for one moment and for many: the same table serves both, so that they cannot drift apart.

A scalar is a number (float), a text or None (no value); yes and no are the numbers 1 and 0. A column is an array of float64 in which NaN is
'no value', or of objects (float, str, None) where texts are among the values. What is not finite is no value, so that nothing infinite is
ever reckoned with.
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from trunkline.model.expressions.parsing import WORDS

Scalar: TypeAlias = float | str | None
#: An array of float64 or of objects.
Column: TypeAlias = npt.NDArray[Any]


class Arithmetic(NamedTuple):
    """An operation on numbers. `one` may raise ValueError, OverflowError or ZeroDivisionError, or return what is not finite: no value."""

    one: Callable[..., float]
    many: Callable[..., Column]


def _power(base: float, exponent: float) -> float:
    return float(np.power(base, exponent))


def _power_columns(base: Column, exponent: Column) -> Column:
    """1 ** NaN and NaN ** 0 are 1 by IEEE 754; where nothing is known, nothing comes out."""
    return np.where(np.isnan(base) | np.isnan(exponent), np.nan, np.power(base, exponent))


def _exp(x: float) -> float:
    return float(np.exp(x))


def _log(x: float) -> float:
    return float(np.log(x))


def _minimum(*columns: Column) -> Column:
    return _folded(np.minimum, columns)


def _maximum(*columns: Column) -> Column:
    return _folded(np.maximum, columns)


def _folded(function: np.ufunc, columns: tuple[Column, ...]) -> Column:
    result = columns[0]
    for column in columns[1:]:
        result = function(result, column)
    return result


def _clamp(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


ARITHMETIC: Final = {
    "+": Arithmetic(lambda a, b: a + b, np.add),
    "-": Arithmetic(lambda a, b: a - b, np.subtract),
    "*": Arithmetic(lambda a, b: a * b, np.multiply),
    "/": Arithmetic(lambda a, b: a / b, np.divide),
    "%": Arithmetic(lambda a, b: a % b, np.mod),
    "**": Arithmetic(_power, _power_columns),
    "negate": Arithmetic(lambda a: -a, np.negative),
    "abs": Arithmetic(abs, np.abs),
    "min": Arithmetic(min, _minimum),
    "max": Arithmetic(max, _maximum),
    "sqrt": Arithmetic(math.sqrt, np.sqrt),
    "exp": Arithmetic(_exp, np.exp),
    "log": Arithmetic(_log, np.log),
    "clamp": Arithmetic(_clamp, lambda x, low, high: np.minimum(np.maximum(x, low), high)),
}


def rounding(digits: float) -> Arithmetic:
    """Return the operation that leaves so many digits after the point; halves go to the even neighbour (IEEE 754)."""
    scale = 10.0**digits
    return Arithmetic(lambda x: round(x * scale) / scale, lambda x: np.rint(x * scale) / scale)


def number(scalar: Scalar) -> float | None:
    """Return what a scalar counts as: itself, or 1 and 0 of the texts on, true, off and false; any other text is no number."""
    if isinstance(scalar, str):
        word = WORDS.get(scalar.lower())
        return None if word is None else float(word)
    return scalar


def as_scalar(given: object) -> Scalar:
    """Return an input as a scalar; what is not finite is no value."""
    if isinstance(given, str) or given is None:
        return given
    try:
        found = float(given)  # type: ignore[arg-type]
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def compared(sign: str, one: Scalar, other: Scalar) -> float | None:
    """Compare two scalars. Texts compare with texts by their characters; a text that is no number differs from every number."""
    if one is None or other is None:
        return None
    if isinstance(one, str) != isinstance(other, str):
        one, other = number(one), number(other)
        if one is None or other is None:
            return {"==": 0.0, "!=": 1.0}.get(sign)
    return float(_SIGNS[sign](one, other))


_SIGNS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


# ---------------------------------------------------------------- columns


def as_column(given: npt.ArrayLike) -> Column:
    """Return an input as a column."""
    column = np.asarray(given)
    if column.dtype.kind in "OU":
        return _each(as_scalar, column.astype(np.object_))
    return finite(column.astype(np.float64, copy=False))


def finite(column: Column) -> Column:
    """Return a column of numbers with NaN for everything that is not finite."""
    good = np.isfinite(column)
    return np.asarray(column if good.all() else np.where(good, column, np.nan))


def numbers(column: Column) -> Column:
    """Return what a column counts as: see `number`."""
    return _settled(_each(number, column)) if column.dtype == np.object_ else column


def compared_columns(sign: str, one: Column, other: Column) -> Column:
    """Compare two columns: see `compared`."""
    if np.object_ in (one.dtype, other.dtype):
        return _settled(_each(lambda a, b: compared(sign, a, b), _objects(one), _objects(other)))
    return np.where(np.isnan(one) | np.isnan(other), np.nan, _SIGNS[sign](one, other))


def chosen_columns(condition: Column, yes: Column, no: Column) -> Column:
    """Return `yes` where the condition (numbers) holds, `no` where it does not, no value where it is unknown."""
    if np.object_ in (yes.dtype, no.dtype):
        either = np.where(condition != 0, _objects(yes), _objects(no))
        return np.asarray(np.where(np.isnan(condition), np.full((), None, np.object_), either))
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0, yes, no))


def truths(column: Column) -> Column:
    """Return 1 for every number but 0."""
    return np.where(np.isnan(column), np.nan, column != 0)


def all_of(columns: list[Column]) -> Column:
    """Return 0 where any is 0, else no value where any has none, else 1 (Kleene's three-valued logic)."""
    result = columns[0]
    for column in columns[1:]:
        result = np.where((result == 0) | (column == 0), 0.0, result * column)
    return result


def any_of(columns: list[Column]) -> Column:
    """Return 1 where any is 1, else no value where any has none, else 0."""
    result = columns[0]
    for column in columns[1:]:
        result = np.where((result == 1) | (column == 1), 1.0, result + column)
    return result


def _each(function: Callable[..., object], *columns: Column) -> Column:
    """Apply a function of scalars place by place: texts are rare, and mean the same this way."""
    return np.asarray(np.frompyfunc(function, len(columns), 1)(*columns), np.object_)


def _settled(column: Column) -> Column:
    """Return a column of objects that are numbers or None as float64; None becomes NaN."""
    return column.astype(np.float64)


def _objects(column: Column) -> Column:
    """Return a column as objects; NaN becomes None."""
    if column.dtype == np.object_:
        return column
    return np.where(np.isnan(column), np.full((), None, np.object_), column.astype(np.object_))
