"""The pages about expressions and derived tags say what the product does."""

import re
from pathlib import Path

import pytest
import yaml

from trunkline.config.derived import DerivedConfig, in_order
from trunkline.config.units import check_unit, quantity_of
from trunkline.model.expressions import FUNCTIONS, Expression
from trunkline.model.expressions.parsing import MAX_CHARACTERS, MAX_DEPTH, MAX_TOKENS
from trunkline.model.reading import Value
from trunkline.processing.derive.memory import KEPT

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "expressions.md").read_text("utf-8")
HOW_TO = (DOCS / "how-to" / "derived-tags.md").read_text("utf-8")
_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) ?\| (.+) \|$", re.MULTILINE)


def _value(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return {"on": True, "off": False}.get(text, text)


def _given(text: str) -> dict[str, Value]:
    return {name: _value(value) for name, value in (pair.split("=") for pair in text.split(", ") if pair)}


@pytest.mark.parametrize(("text", "given", "gives"), _ROW.findall(PAGE.split("<!-- test -->")[1]))
def test_examples(text: str, given: str, gives: str) -> None:
    found = Expression(text).value(_given(given))
    shown = {None: "no value", True: "yes", False: "no"}.get(found) if found is None or isinstance(found, bool) else f"{found:g}"
    assert shown == gives


def test_every_function_and_limit_is_on_the_page() -> None:
    named = set(re.findall(r"`(\w+)\(", PAGE))
    assert named >= FUNCTIONS.keys()
    assert f"{MAX_CHARACTERS:,} characters, {MAX_TOKENS:,} parts and {MAX_DEPTH} operations" in PAGE


def test_the_how_to_is_a_sound_section() -> None:
    """Its definitions are read, in an order that can be reckoned, with units that fit those of the tags they speak of."""
    shown = re.search(r"```yaml\n(.*?)```", HOW_TO, re.DOTALL)
    assert shown is not None
    derived = tuple(DerivedConfig.model_validate(one) for one in yaml.safe_load(shown[1])["derived"])
    assert [one.path.rsplit(".", 1)[1] for one in in_order(derived)] == ["FLOW_LOSS", "FLOW_DAY", "LEVEL", "RUNS_DRY", "LOSS_SHARE"]
    home = "PLANT01.AREA02.UNIT_05"
    units = {f"{home}.{name}": unit for name, unit in {"FLOW_IN": "m³/h", "FLOW_OUT": "m³/h", "LEVEL_A": "m", "LEVEL_B": "m"}.items()}
    units |= {one.path: one.unit for one in derived}
    for one in derived:
        check_unit(quantity_of(one.expression.tree, units), one.unit)
    assert f"the last {KEPT}" in " ".join(HOW_TO.split())
