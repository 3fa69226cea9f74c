"""Expressions: what they mean, that many moments mean the same as one, and that no text does anything else than be refused."""

import ast
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.model.expressions import FUNCTIONS, Expression
from trunkline.model.reading import Value

HOME = "PLANT01.AREA02.UNIT_05"


def value(text: str, **values: Value) -> bool | float | str | None:
    return Expression(text).value(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7.0),
        ("2 ** 3 ** 2", 512.0),
        ("-2 ** 2", -4.0),
        ("(1 + 2) * 3", 9.0),
        ("7 % 4", 3.0),
        ("-7 % 4", 1.0),
        ("1e3 + .5", 1000.5),
        ("1 / 0", None),
        ("0 / 0", None),
        ("1 / (1 / 0)", None),  # what is infinite is never reckoned with
        ("sqrt(16)", 4.0),
        ("sqrt(-1)", None),
        ("log(0)", None),
        ("(0 - 8) ** 0.5", None),
        ("exp(0)", 1.0),
        ("exp(1000)", None),
        ("1e308 * 10", None),
        ("abs(-3)", 3.0),
        ("min(3, 1, 2)", 1.0),
        ("max(3, 1, 2)", 3.0),
        ("round(2.5)", 2.0),
        ("round(3.14159, 2)", 3.14),
        ("clamp(120, 0, 100)", 100.0),
        ("clamp(-5, 0, 100)", 0.0),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("3 >= 3 != 4", True),
        ("not 1 == 2", True),
        ("5 if 1 > 2 else 6", 6.0),
        ("on", True),
        ("OFF", False),
        ("'a' == \"a\"", True),
        ("'a' < 'b'", True),
        ("'on' == on", True),
        ("'Off' == off", True),
        ("'AUTO' == on", False),
        ("'AUTO' != on", True),
        ("'AUTO' < on", None),
        ("'AUTO' + 1", None),
        ("5 when 1 < 2", 5.0),
        ("5 when 1 > 2", None),
    ],
)
def test_what_it_means(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_names_of_tags() -> None:
    expression = Expression("FLOW_RATE + PLANT01.AREA01.2X.FLOW_RATE - `PUMP-7` + FLOW_RATE + `1ST`", HOME)
    assert expression.tags == (f"{HOME}.FLOW_RATE", "PLANT01.AREA01.2X.FLOW_RATE", f"{HOME}.PUMP-7", f"{HOME}.1ST")
    assert Expression("LEVEL * 2").tags == ("LEVEL",)


def test_tags_in_order_of_appearance_with_what_is_asked_of_them() -> None:
    expression = Expression("A if isgood(B) and age(C) < 5 else D when E == on")
    assert expression.tags == ("A", "B", "C", "D", "E")
    assert expression.value_of == ("A", "D", "E")
    assert expression.good_of == ("B",)
    assert expression.age_of == ("C",)


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("A + 1", "number"),
        ("A > 1", "truth"),
        ("A", "any"),
        ("'x'", "text"),
        ("A > 1 when B", "truth"),
        ("1 if A else 'x'", "any"),
        ("2 if A else 3", "number"),
    ],
)
def test_what_it_gives(text: str, gives: str) -> None:
    assert Expression(text).gives == gives


def test_missing_inputs() -> None:
    assert value("A + B", A=1.0) is None
    assert value("A + B", A=1.0, B=None) is None
    assert value("A + B", A=1.0, B=math.nan) is None
    assert value("min(A, B)", A=1.0) is None
    assert value("A > 0 or B > 0", A=1.0) is True, "what is known decides"
    assert value("A > 0 and B > 0", A=-1.0) is False
    assert value("A > 0 or B > 0", A=-1.0) is None
    assert value("A > 0 and B > 0", A=1.0) is None
    assert value("not A") is None
    assert value("5 if A > 0 else B", A=1.0) == 5.0, "only the branch taken counts"
    assert value("5 if A > 0 else 6") is None


def test_both_sides_of_when() -> None:
    expression = Expression("FLOW > 0 when PUMP == off", HOME)
    assert expression.subject == Expression("FLOW > 0 ", HOME)
    assert expression.condition == Expression(" PUMP == off", HOME)
    plain = Expression("FLOW > 0", HOME)
    assert (plain.subject, plain.condition) == (plain, None)


def test_when_counts_only_while_the_condition_holds() -> None:
    flow = Expression("FLOW > 0 when PUMP == off")
    assert flow.value({"FLOW": 3.0, "PUMP": False}) is True
    assert flow.value({"FLOW": 0.0, "PUMP": False}) is False
    assert flow.value({"FLOW": 3.0, "PUMP": True}) is None
    assert flow.value({"FLOW": 3.0}) is None


@pytest.mark.parametrize("off", [False, 0, 0.0, "off", "OFF", "false"])
def test_a_state_is_off_however_its_device_says_so(off: Value) -> None:
    assert value("PUMP == off", PUMP=off) is True
    assert value("PUMP == on", PUMP=off) is False
    assert value("not PUMP", PUMP=off) is True


def test_goodness_and_age() -> None:
    expression = Expression("A if isgood(A) and age(A) < 60 else 0 - 1")
    assert expression.value({"A": 5.0}, {"A": True}, {"A": 10.0}) == 5.0
    assert expression.value({"A": 5.0}, {"A": False}, {"A": 10.0}) == -1.0
    assert expression.value({"A": 5.0}, {"A": True}, {"A": 60.0}) == -1.0
    assert expression.value({"A": 5.0}) == -1.0, "what was never seen is not good"


@pytest.mark.parametrize(
    ("text", "column", "mend"),
    [
        ("", 1, "empty"),
        ("A = 3", 3, "'=='"),
        ("A AND B", 3, "'and'"),
        ("A + ", 4, "missing"),
        ("foo(A)", 1, "abs, min"),
        ("A + B.C(3)", 5, "no function"),
        ("min(A)", 1, "2 to 100 arguments"),
        ("abs(A, B)", 1, "1 argument,"),
        ("abs(*A)", 1, "one by one"),
        ("1X", 1, "backticks"),
        ("A[0]", 2, "round brackets"),
        ("A ≥ 3", 3, "'>='"),
        ("A // B", 1, "only numbers"),
        ("A >> B", 1, "only numbers"),
        ("(A, B)", 1, "only numbers"),
        ("(A", 1, "')'"),
        ("A if B", 1, "else"),
        ("A when B when C", 10, "join"),
        ("when A", 1, "stands between"),
        ("(A when B)", 1, "')'"),
        ("isgood(3)", 8, "name one"),
        ("round(A, B)", 10, "0 to 12"),
        ("round(A, 1.5)", 10, "0 to 12"),
        ("min", 1, "min(...)"),
        ("a.b", 1, "try 'A'"),
        ("A.B.__CLASS__", 1, "tag path"),
        ("A`B`", 2, "space"),
        ("A'x'", 2, "space"),
        ("'x", 1, "close the text"),
        ("1e999", 1, "too large"),
        ("A +\n  B $ C", 9, "no place"),
        ("+".join("A" * 200), 1, "brackets to balance"),
        ("A" * 4001, 4001, "4000"),
        ("-" * 3000 + "A", 1001, "1000 parts"),
        ("(" * 300 + "A" + ")" * 300, 201, "bracket"),
    ],
)
def test_errors_say_where_and_how_to_mend(text: str, column: int, mend: str) -> None:
    with pytest.raises(ValueError, match=rf"^column {column}: ") as caught:
        Expression(text)
    assert mend in str(caught.value)


# ---------------------------------------------------------------- one moment and many

TAGS = ("A", "B", "C", "S")
_number = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -0.0, 1e308, 1e-308, 3.5, 100.0]), st.floats(allow_nan=True, allow_infinity=True)
)
_text = st.sampled_from(["on", "OFF", "AUTO", "", "true", "z"])
_constant = st.one_of(st.floats(0, 1e6).map(lambda x: f"{x!r}"), st.sampled_from(["0", "1", "2", "0.5", "on", "off", "'AUTO'", "'on'"]))


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two, three = st.tuples(inner, inner), st.tuples(inner, inner, inner)
    chain = st.tuples(three, st.sampled_from(["<", "<=", "==", "!="]))
    signs = ["+", "-", "*", "/", "%", "**", "<", "<=", ">", ">=", "==", "!=", "and", "or"]
    return st.one_of(
        st.tuples(inner, st.sampled_from(signs), inner).map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        inner.map(lambda one: f"(-{one})"),
        inner.map(lambda one: f"(not {one})"),
        st.tuples(st.sampled_from(["abs", "sqrt", "exp", "log", "round"]), inner).map(lambda part: f"{part[0]}({part[1]})"),
        st.tuples(inner, st.integers(0, 6)).map(lambda part: f"round({part[0]}, {part[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), two).map(lambda part: f"{part[0]}({', '.join(part[1])})"),
        three.map(lambda part: f"clamp({', '.join(part)})"),
        three.map(lambda part: f"({part[0]} if {part[1]} else {part[2]})"),
        chain.map(lambda part: f"({part[0][0]} {part[1]} {part[0][1]} < {part[0][2]})"),
    )


_leaf = st.one_of(st.sampled_from(TAGS), _constant, st.sampled_from(["isgood(A)", "age(B)"]))
_expressions = st.recursive(_leaf, _grow, max_leaves=12)
_whole = st.one_of(_expressions, st.tuples(_expressions, _expressions).map(lambda part: f"{part[0]} when {part[1]}"))
_moments = st.lists(
    st.tuples(_number, _number, st.booleans(), st.one_of(_text, st.none(), _number), st.booleans(), _number), min_size=1, max_size=6
)


@settings(max_examples=400, deadline=None)
@given(text=_whole, moments=_moments)
def test_many_moments_mean_what_each_of_them_means(text: str, moments: list[tuple[float, float, bool, Value, bool, float]]) -> None:
    expression = Expression(text)
    a, b, c, s, good, age = (list(column) for column in zip(*moments, strict=True))
    values: Mapping[str, np.ndarray] = {"A": np.array(a), "B": np.array(b), "C": np.array(c), "S": np.array([*s, None], object)[:-1]}
    many = expression.columns(values, {"A": np.array(good)}, {"B": np.array(age)})
    assert len(many) == len(moments)
    for place, moment in enumerate(moments):
        one = expression.value(dict(zip(TAGS, moment[:4], strict=True)), {"A": moment[4]}, {"B": moment[5]})
        found = many[place]
        if one is None:
            assert found is None or np.isnan(found)
        else:
            assert found == one


def test_columns_of_plain_numbers_stay_numbers() -> None:
    found = Expression("A / B > 2 or C == on").columns(
        {"A": np.array([5.0, 5.0, np.nan, 1.0]), "B": np.array([2, 0, 1, 1]), "C": np.array([False, True, False, False])}
    )
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.0, 1.0, np.nan, 0.0])


def test_a_power_of_nothing_is_nothing() -> None:
    columns = {"A": np.array([1.0, np.nan]), "B": np.array([np.nan, 0.0])}
    np.testing.assert_array_equal(Expression("A ** B").columns(columns), [np.nan, np.nan])


def test_columns_of_a_tag_that_is_not_given_and_of_no_tag() -> None:
    np.testing.assert_array_equal(Expression("A + B").columns({"A": np.arange(3.0)}), [np.nan] * 3)
    np.testing.assert_array_equal(Expression("1 + 1").columns({"A": np.arange(3.0)}), [2.0] * 3)
    np.testing.assert_array_equal(Expression("1 + 1").columns({}), [2.0])


# ---------------------------------------------------------------- nothing else

_WORDS = "A P.A.U.T `P-1.X` 't' 3 if else when and not or in is lambda for __import__ await yield None f'{A}'"
_SIGNS = ["(", ")", ",", "+", "-", "**", "/", "<", ">", "=", "!", ".", "[", "]", "{", "}", ":", "\\", "\n", "\x00", " ", "#", "@"]
_pieces = st.sampled_from([*FUNCTIONS, *_WORDS.split(), *_SIGNS])


@settings(max_examples=1500, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_pieces, max_size=25).map("".join), st.lists(_pieces, max_size=25).map(" ".join)))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        expression = Expression(text, HOME)
    except ValueError:
        return
    assert all(isinstance(tag, str) for tag in expression.tags)
    expression.value({})
    expression.columns({})


_OUTSIDE = """__import__('os')|().__class__|A.__class__.__mro__|(lambda: 1)()|[x for x in A]|{A}|{A: B}|f'{A}'|A := 3|await A|yield A|A @ B
A & B|~A|A[B]|A, B|*A|min(**A)|min(A, key=B)|min(A, B, **C)|...|None is None|A in B|print('x')|eval('1')|abs.__call__(A)|min(A)(B)
`__import__`('os')
'x'('y')|open('/etc/passwd')|A if B else (yield)|import os|A; B|A if A else"""


@pytest.mark.parametrize("text", [*_OUTSIDE.replace("\n", "|").split("|"), "A\nB"])
def test_nothing_outside_the_language_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"^column "):
        Expression(text)


def test_pythons_parser_sees_placeholders_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the text itself nothing but operators, brackets and the words of the grammar comes as far as Python's parser."""
    seen: list[str] = []
    parse = ast.parse

    def watched(source: str, mode: str) -> ast.AST:
        seen.append(source)
        return parse(source, mode=mode)

    with monkeypatch.context() as patch:
        patch.setattr("trunkline.model.expressions.parsing.ast.parse", watched)
        Expression("min(A.B, 12) if 'x' == `P-1.T` and not C else 4.5 when on")
    assert set(seen) == {"___(___, __) if ___ == _______ and not _ else ___", "__"}


def test_a_condition_inside_conditions_is_evaluated_once() -> None:
    """Comparison chains share their middle: reckoning it twice at each level would take 2**30 steps."""
    text = "A"
    for _ in range(30):
        text = f"(0 <= {text} <= 2)"
    assert Expression(text).value({"A": 1.0}) is True
    np.testing.assert_array_equal(Expression(text).columns({"A": np.array([1.0])}), [1.0])
