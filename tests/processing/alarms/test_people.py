"""What people do to alarms, what is refused, and alarms that devices report themselves (G-43, GD-19, W-138)."""

import re

import pytest
from tests.processing.alarms.feed import FLOW, T0, S, book, flow, life, steps

from trunkline.model.alarms import Action, ActionKind, State
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.processing.alarms import AlarmBook

HIGH = f"- {{id: h, tag: {FLOW}, kind: high, limit: 95, max_shelve: 600}}\n"
KEY = f"h:{FLOW}"
NOW = T0 + 10 * S


def raised() -> tuple[AlarmBook, str]:
    one = book(HIGH)
    (event,) = one.evaluate(flow((0, 99)), NOW)
    return one, event.correlation_id


def action(kind: str, **given: object) -> Action:
    return Action(kind=ActionKind(kind), **{"key": KEY, "actor": "ada", "reason": "tested", **given})  # type: ignore[arg-type]


def test_an_action_is_recorded_with_author_and_reason() -> None:
    one, occurrence = raised()
    (event,) = one.act(action("acknowledge", occurrence=occurrence, state=State.UNACKNOWLEDGED), NOW).transitions
    assert (event.actor, event.time, event.correlation_id) == ("ada", NOW, occurrence)
    assert (life(event).acked_by, life(event).acked_at, life(event).reason) == ("ada", NOW, "tested")
    assert event.text == f"HIGH_FLOW_RATE of {FLOW} is acknowledged (tested)"
    (said,) = one.act(action("comment"), NOW).transitions
    assert (life(said).transition, life(said).state, life(said).reason) == ("COMMENT", State.ACKNOWLEDGED, "tested")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (action("acknowledge", occurrence="01890000-0000-7000-8000-000000000000"), "stale: occurrence"),
        (action("acknowledge", state=State.RETURNED_UNACKNOWLEDGED), "stale: .* was RETURNED_UNACKNOWLEDGED and is UNACKNOWLEDGED now"),
        (action("acknowledge", actor=""), "say who"),
        (action("shelve", reason="", seconds=5), "say why"),
        (action("shelve", seconds=601), "at most 600 seconds, not 601"),
        (action("shelve"), "more than 0"),
        (action("unshelve"), "is not shelved"),
        (action("reset"), "can be reset once"),
        (action("return-to-service"), "is not out of service"),
        (action("acknowledge", key="h:OTHER"), "there is no alarm"),
    ],
)
def test_refusals_say_why(wanted: Action, words: str) -> None:
    one, _ = raised()
    one.changed()
    outcome = one.act(wanted, NOW)
    assert outcome.transitions == []
    assert re.search(words, outcome.refused)
    assert one.changed() == {}


def test_an_action_on_what_has_ended_since_is_stale() -> None:
    """The alarm cleared and came again while somebody looked at the first one."""
    one, first = raised()
    one.act(action("acknowledge"), NOW)
    (_, again) = one.evaluate(flow((11, 90), (12, 99)), NOW)
    assert again.correlation_id != first
    assert "is not the present one" in one.act(action("acknowledge", occurrence=first), NOW).refused


def test_a_shelf_ends_by_itself_and_what_is_still_wrong_is_raised_anew() -> None:
    """D-37: suppression needs an end."""
    one, occurrence = raised()
    one.act(action("acknowledge"), NOW)
    (shelved,) = one.act(action("shelve", seconds=60), NOW).transitions
    assert life(shelved).shelved_until == NOW + 60 * S
    assert one.tick(NOW + 60 * S - 1) == []
    kept = one.entries()
    one = book(HIGH)
    one.restore(kept)
    (back,) = one.tick(NOW + 75 * S)
    assert (back.time, back.correlation_id) == (NOW + 60 * S, occurrence)
    assert (life(back).transition, life(back).state, life(back).acked_at) == ("SHELF_EXPIRED", State.UNACKNOWLEDGED, 0)


def device(active: bool, second: float) -> Alarm:
    moment = T0 + round(second * S)
    return Alarm(
        id=f"{second}",
        type="PUMP_TRIP",
        time=moment,
        gateway_time=moment,
        asset="P.A.U",
        source="plc",
        severity=AlarmSeverity.HIGH,
        active=active,
        value=3.5,
    )


def test_a_devices_alarm_has_the_same_life() -> None:
    """W-133, P-19: key source|asset|type; repeats change nothing; history is not announced."""
    one = book(HIGH)
    key = "plc|P.A.U|PUMP_TRIP"
    assert one.device(device(active=False, second=0), NOW) == []
    (event,) = one.device(device(active=True, second=1), NOW)
    assert isinstance(event, Alarm)
    assert (life(event).rule, life(event).key, event.severity, event.value) == ("device", key, AlarmSeverity.HIGH, 3.5)
    assert one.device(device(active=True, second=2), NOW) == []
    old = one.device(device(active=False, second=0.5), NOW) + one.device(device(active=True, second=0.6), NOW)
    assert [life(past).live for past in old] == [False]
    assert [life(past).live for past in one.device(device(active=False, second=3), NOW, backlog=True)] == [False]
    kept = one.entries()
    one = book(HIGH)
    one.restore(kept)
    assert len(one.act(action("shelve", key=key, seconds=60), NOW).transitions) == 1
    assert steps(one.tick(NOW + 61 * S)) == [(70, "SHELF_EXPIRED", "UNACKNOWLEDGED")]
    assert steps(one.act(action("acknowledge", key=key), NOW + 62 * S).transitions) == [(72, "ACKNOWLEDGE", "ACKNOWLEDGED")]
    assert steps(one.device(device(active=False, second=75), NOW + 66 * S)) == [(75, "CONDITION_OFF", "NORMAL")]
