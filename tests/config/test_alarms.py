"""Definitions of alarms: what is taken for granted, and what is refused with its mend (W-134, P-16, P-19)."""

import pytest
from pydantic import ValidationError

from trunkline.config.alarms import AlarmDefinition, AlarmsConfig
from trunkline.model.events import AlarmSeverity

FLOW = "PLANT01.AREA02.UNIT_05.FLOW_RATE"


def definition(**given: object) -> AlarmDefinition:
    return AlarmDefinition.model_validate({"id": "a", "tag": FLOW, "kind": "high", "limit": 95, **given})


def test_what_is_taken_for_granted() -> None:
    plain = definition()
    assert (plain.severity, plain.alarm_type(FLOW), plain.key(FLOW)) == (AlarmSeverity.MEDIUM, "HIGH_FLOW_RATE", f"a:{FLOW}")
    assert definition(kind="high-high").severity is AlarmSeverity.HIGH
    assert definition(kind="high-high").alarm_type(FLOW) == "HIGH_HIGH_FLOW_RATE"
    assert definition(kind="rate").alarm_type(FLOW) == "RATE_OF_CHANGE_FLOW_RATE"
    assert definition(type="HIGH_FLOW", priority="CRITICAL").alarm_type(FLOW) == "HIGH_FLOW"
    assert definition(priority="INFO").severity is None
    assert definition(**{"class": "safety"}).alarm_class == "safety"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"limit": None}, "kind 'high' needs 'limit'"),
        ({"setpoint": 3}, "has no use for 'setpoint'"),
        ({"kind": "stale", "limit": None, "silence": 5, "on_delay": 3}, "has no use for 'limit'"),
        ({"tags": ["**"]}, "either 'tag' or 'tags'"),
        ({"tag": None}, "either 'tag' or 'tags'"),
        ({"tag": None, "tags": ["plant.*"]}, "tag pattern"),
        ({"kind": "deviation"}, "either 'setpoint' or 'setpoint_tag'"),
        ({"kind": "deviation", "setpoint_tag": FLOW}, "the tag itself"),
        ({"kind": "deviation", "setpoint": 1, "deadband": 95}, "must be above the deadband"),
        ({"priority": "INFO", "ack": "required"}, "INFO makes events"),
        ({"id": "device"}, "alarms that devices report"),
        ({"priority": "URGENT"}, "'CRITICAL', 'HIGH', 'MEDIUM', 'LOW' or 'INFO'"),
        ({"quality": "BAD"}, "'GOOD' or 'UNCERTAIN'"),
        ({"deadband": -1}, "greater than or equal to 0"),
        ({"kind": "expression", "expression": "FLOW >"}, "needs 'expression'|column"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        definition(**given)


@pytest.mark.parametrize(
    ("expression", "words"), [("FLOW_RATE >", "column"), ("'HIGH'", "gives a text"), ("isgood(FLOW_RATE)", "values only")]
)
def test_expressions_that_an_alarm_cannot_use(expression: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AlarmDefinition.model_validate({"id": "a", "tag": FLOW, "kind": "expression", "expression": expression})


def test_ids_are_given_once() -> None:
    with pytest.raises(ValidationError, match="definition id 'a' is given twice"):
        AlarmsConfig(definitions=(definition(), definition(kind="low")))


def test_stale_has_no_delay_of_its_own() -> None:
    with pytest.raises(ValidationError, match="'silence' is the delay"):
        AlarmDefinition.model_validate({"id": "a", "tag": FLOW, "kind": "stale", "silence": 5, "on_delay": 3})
