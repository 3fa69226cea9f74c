"""Engineering units as plants write them, and what an expression over tags with units gives.

Units are read with pint (https://pint.readthedocs.io), after what plants write and pint would misread was put into its words: `m3`, `Nm³`,
`bar(g)`, `pH`. A quantity of an expression has a dimension, and a scale as long as it is known: a bare number may carry any conversion, so
that `FLOW * 24` is still a volume per time, but in which unit only its author knows.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

from trunkline.model.expressions import Node

if TYPE_CHECKING:
    from pint import UnitRegistry

#: Units offered when one is not known.
COMMON: Final = (
    "m³/h", "l/min", "t/h", "kg/h", "kg/s", "Nm³/h", "bar", "mbar", "bar(g)", "Pa", "kPa", "psi", "°C", "K", "°F", "mm", "m", "mm/s", "m/s",
    "%", "rpm", "Hz", "kW", "MW", "kWh", "kvar", "A", "mA", "V", "s", "min", "h", "kg", "t", "m³", "l", "kg/m³", "ppm", "pH", "µS/cm",
)  # fmt: skip

#: Normal and standard volumes of gas are amounts, not volumes: they have a dimension of their own, so that nobody adds them to m³.
_DEFINITIONS: Final = (
    "norm_cubic_meter = [norm_volume]",
    "standard_cubic_meter = [standard_volume]",
    "standard_cubic_foot = 0.028316846592 * standard_cubic_meter",
    "pH_value = [acidity]",
    "turbidity_unit = [turbidity]",
    "var = volt * ampere",
    "pascal_gauge = pascal; offset: 101325",
    "kilopascal_gauge = 1000 * pascal; offset: 101325",
    "megapascal_gauge = 1000000 * pascal; offset: 101325",
    "millibar_gauge = 100 * pascal; offset: 101325",
    "bar_gauge = 100000 * pascal; offset: 101325",
    "psi_gauge = 6894.757293168361 * pascal; offset: 101325",
)
_GAUGE: Final = {"Pa": "pascal", "kPa": "kilopascal", "MPa": "megapascal", "mbar": "millibar", "bar": "bar", "psi": "psi"}
_REWRITES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\bN\s?m(?:3|³)|\bm(?:3|³)\s?\(n\)", "norm_cubic_meter"),
        (r"\bS\s?m(?:3|³)|\bm(?:3|³)\s?\(s\)", "standard_cubic_meter"),
        (r"\bscfm\b", "standard_cubic_foot/minute"),
        (r"\bgpm\b", "gallon/minute"),
        (r"\bcfm\b", "foot**3/minute"),
        (r"\bpH\b", "pH_value"),
        (r"\b[NF][TN]U\b", "turbidity_unit"),
        (r"%\s?(?:RH|rH|rF)\b", "percent"),
        (r"\bkvar\b", "kilovar"),
        (r"\bMvar\b", "megavar"),
        (r"\b(k?m|[cdmµ]m|ft|in)([23])\b", r"\1**\2"),
        (r"\bmmWC\b|\bmmWS\b", "mmH2O"),
    )
)
#: Powers that no unit has, and that would keep pint's arithmetic busy for ever.
_ABSURD: Final = re.compile(r"(\*\*|\^)[\s(+-]*\d{2}|(\*\*|\^)[^*/·^]*(\*\*|\^)|\d{6}")
_ABSOLUTE: Final = re.compile(r"\b(Pa|kPa|MPa|mbar|bar|psi)\s?(?:\((g|a)\)|(g|a)\b)")


class UnitProblem(ValueError):
    """The units of an expression do not fit.

    Attributes:
        message: what does not fit, with the column where there is one.
        mend: what to do about it.
    """

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message}: {mend}")
        self.message = message
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is known of a value's unit.

    Attributes:
        dimension: powers of base dimensions, for example {'[length]': 3, '[time]': -1}; None when nothing is known: a bare number, or
            a tag without a unit.
        factor: the unit in base units; None when a number may have changed it.
        offset: where its zero lies, in base units: 273.15 for °C, 0 for K; None when unknown, as of a difference of temperatures.
        text: the unit for people.
    """

    dimension: frozenset[tuple[str, float]] | None = None
    factor: float | None = None
    offset: float | None = 0.0
    text: str = ""


_NUMBER: Final = Quantity()
_PURE: Final = Quantity(frozenset(), 1.0)
_SECONDS: Final = Quantity(frozenset({("[time]", 1.0)}), 1.0, text="s")
_SAME: Final = frozenset({"+", "-", "%", "min", "max", "clamp", "compare", "if"})


@lru_cache(maxsize=1)
def _registry() -> "UnitRegistry[Any]":
    from pint import UnitRegistry  # noqa: PLC0415 - 15 MB that only sites with derived tags pay for

    registry: UnitRegistry[Any] = UnitRegistry(autoconvert_offset_to_baseunit=False)
    for definition in _DEFINITIONS:
        registry.define(definition)
    return registry


@lru_cache(maxsize=1000)
def read_unit(text: str) -> Quantity:
    """Return what a unit is; '' is unknown. Raises UnitProblem when there is no such unit."""
    if not text.strip():
        return _NUMBER
    registry = _registry()
    words = _ABSOLUTE.sub(lambda found: f"{_GAUGE[found[1]]}_gauge" if "g" in (found[2], found[3]) else found[1], text.strip())
    for pattern, by in _REWRITES:
        words = pattern.sub(by, words)
    try:
        unit = registry.parse_units("?" if _ABSURD.search(words) else words)
        dimension = frozenset((str(name), cast("float", power)) for name, power in unit.dimensionality.items())
        zero, one = (registry.Quantity(float(at), unit).to_base_units().magnitude for at in (0, 1))
    except Exception as error:  # pint raises what its parser, Python's and its converters raise
        raise UnitProblem(f"unit {text!r} is not known", f"write one such as {', '.join(COMMON[:12])}") from error
    return Quantity(dimension, one - zero, zero, text)


def quantity_of(node: Node, units: dict[str, str]) -> Quantity:
    """Return what an expression gives.

    Args:
        node: of its tree.
        units: of the tags, by path.

    Raises:
        UnitProblem: with the column, what does not fit, and the mend.
    """
    if node.op == "when":
        quantity_of(node.args[1], units)
        return quantity_of(node.args[0], units)
    if node.op == "tag":
        return read_unit(units.get(str(node.value), ""))
    args = [quantity_of(arg, units) for arg in node.args]
    if node.op in _SAME:
        found = _alike(node, args[1:] if node.op == "if" else args)
    elif node.op in ("*", "/"):
        found = _product(node, args[0], args[1])
    elif node.op in ("**", "sqrt"):
        found = _power(node, args)
    elif node.op in ("exp", "log"):
        found = _bare(node, args[0])
    elif node.op in ("negate", "abs", "round"):
        found = args[0]
    else:
        found = {"number": _NUMBER, "text": _NUMBER, "age": _SECONDS}.get(node.op, _PURE)
    return found


def _alike(node: Node, args: list[Quantity]) -> Quantity:
    """Check what is added, compared or chosen between: one dimension, one scale."""
    known = [arg for arg in args if arg.dimension is not None]
    for one, other in pairwise(known):
        if one.dimension != other.dimension:
            _fail(node, f"{_show(one)} and {_show(other)} do not go together", "check the tags, or write 'check_units: false'")
        if one.factor is not None and other.factor is not None and not _close(one.factor, other.factor):
            _fail(node, f"{_show(one)} and {_show(other)} differ in scale", f"multiply the second by {other.factor / one.factor:.6g}")
        if one.offset is not None and other.offset is not None and not _close(one.offset, other.offset) and one.offset and other.offset:
            _fail(node, f"{_show(one)} and {_show(other)} begin at different zeros", "convert one of them")
    if node.op == "compare":
        return _PURE
    if not known:
        return _NUMBER
    factor = next((arg.factor for arg in known if arg.factor is not None), None)
    offset = known[0].offset
    if node.op in ("+", "-") and len(known) == 1:
        offset = None  # T + 273.15: only its author knows the zero
    elif node.op == "-" and known[0].offset == known[1].offset:
        offset = None  # a difference of temperatures may be read as °C and as K
    elif node.op in ("+", "-"):
        offset = known[0].offset or known[1].offset
    return Quantity(known[0].dimension, factor, offset, known[0].text)


def _product(node: Node, one: Quantity, other: Quantity) -> Quantity:
    if one.dimension is None and other.dimension is None:
        return _NUMBER
    if one.dimension is None or other.dimension is None:
        known = other if one.dimension is None else one
        sign = -1 if node.op == "/" and one.dimension is None else 1
        return Quantity(_scaled(known.dimension, sign), None, None if known.offset else 0.0, known.text if sign > 0 else "")
    for part in (one, other):
        if part.offset:
            mend = "use an absolute unit such as K, or a difference"
            _fail(node, f"{part.text} has no true zero, so it cannot be multiplied or divided", mend)
    sign = -1 if node.op == "/" else 1
    powers = dict(one.dimension)
    for name, power in other.dimension:
        powers[name] = powers.get(name, 0.0) + sign * power
    factor = None if one.factor is None or other.factor is None else one.factor * other.factor**sign
    dimension = frozenset((name, power) for name, power in powers.items() if power)
    return Quantity(dimension, factor, 0.0, f"{one.text or '1'} {'/' if sign < 0 else '·'} ({other.text or '1'})" if factor else "")


def _power(node: Node, args: list[Quantity]) -> Quantity:
    base = args[0]
    if base.dimension is None:
        return _NUMBER
    if node.op == "sqrt":
        exponent = 0.5
    elif node.args[1].op == "number":
        exponent = float(node.args[1].value)
    elif node.args[1].op == "negate" and node.args[1].args[0].op == "number":
        exponent = -float(node.args[1].args[0].value)
    else:
        _bare(node, args[1])
        return _bare(node, base)
    if base.offset:
        _fail(node, f"{base.text} has no true zero, so it has no power", "use an absolute unit such as K")
    factor = None if base.factor is None else base.factor**exponent
    return Quantity(_scaled(base.dimension, exponent), factor, 0.0, "")


def _bare(node: Node, arg: Quantity) -> Quantity:
    if arg.dimension:
        _fail(node, f"{node.op} takes a pure number, not {_show(arg)}", "divide by a tag of that unit, or write 'check_units: false'")
    return _NUMBER if arg.dimension is None else _PURE


def _scaled(dimension: frozenset[tuple[str, float]] | None, by: float) -> frozenset[tuple[str, float]] | None:
    return None if dimension is None else frozenset((name, power * by) for name, power in dimension if by)


def check_unit(given: Quantity, stated: str) -> None:
    """Check the unit that a derived tag states against what its expression gives. Raises UnitProblem."""
    wanted = read_unit(stated)
    if given.dimension is None or (not stated and not given.dimension):
        return
    if wanted.dimension is None:
        raise UnitProblem(f"the expression gives {_show(given)}, and no unit is stated", f"write 'unit: {given.text or '…'}'")
    if wanted.dimension != given.dimension:
        mend = f"write 'unit: {given.text}'" if given.text and given.factor else "correct one of them"
        raise UnitProblem(
            f"the expression gives {_show(given)}, which is no {stated} ({_dimension(wanted)})",
            f"{mend}, or 'check_units: false' where its numbers have units of their own",
        )
    if given.factor is not None and wanted.factor is not None and not _close(given.factor, wanted.factor):
        raise UnitProblem(f"the expression gives {_show(given)}, not {stated}", f"multiply it by {given.factor / wanted.factor:.6g}")
    if given.offset is not None and wanted.offset is not None and not _close(given.offset, wanted.offset):
        difference = (given.offset - wanted.offset) / (wanted.factor or 1.0)
        raise UnitProblem(f"the expression gives {_show(given)}, not {stated}", f"add {difference:.6g}")


def _show(quantity: Quantity) -> str:
    return quantity.text if quantity.text and quantity.factor is not None else _dimension(quantity)


def _dimension(quantity: Quantity) -> str:
    """Return a dimension in words: '[length]³ / [time]' as 'length^3 time^-1'."""
    parts = [name.strip("[]") + (f"^{power:g}" if power != 1 else "") for name, power in sorted(quantity.dimension or ())]
    return " ".join(parts) or "a pure number"


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(abs(one), abs(other))


def _fail(node: Node, message: str, mend: str) -> None:
    raise UnitProblem(f"column {node.column}: {message}", mend)
