"""Limits with deadband and delays, and the life of their alarms (W-133 to W-139, P-42 to P-46, D-36)."""

import numpy as np
from tests.processing.alarms.feed import FLOW, T0, S, book, columns, flow, life, steps

from trunkline.model.alarms import Action, ActionKind, GatewayState, Lifecycle, State, gateway_alarm
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.quality import Quality

HIGH = "- {id: flow-high, tags: ['PLANT01.**.FLOW_RATE'], kind: high, limit: 95, deadband: 2, type: HIGH_FLOW, class: process}\n"
KEY = f"flow-high:{FLOW}"
NOW = T0 + 30 * S


def test_a_limit_raises_once_and_returns_behind_the_deadband() -> None:
    """W-133, W-135, P-42, ED-16: one active alarm per cause, not one per sample (E-73)."""
    found = book(HIGH).evaluate(flow((0, 90), (1, 95), (2, 97.5), (3, 99), (4, 93.5), (5, 93), (6, 92)), NOW)
    assert steps(found) == [(2, "CONDITION_ON", "UNACKNOWLEDGED"), (5, "CONDITION_OFF", "RETURNED_UNACKNOWLEDGED")]
    raised = found[0]
    assert isinstance(raised, Alarm)
    assert (raised.type, raised.severity, raised.active, raised.value) == ("HIGH_FLOW", AlarmSeverity.MEDIUM, True, 97.5)
    assert (raised.threshold, raised.unit, raised.asset, raised.tag) == (95, "m³/h", "PLANT01.AREA02.UNIT_05", "FLOW_RATE")
    assert raised.text == f"HIGH_FLOW of {FLOW} is raised: 97.5 m³/h, limit 95 m³/h"
    assert raised.correlation_id == found[1].correlation_id != ""
    assert life(raised) == Lifecycle(
        rule="flow-high",
        key=KEY,
        state=State.UNACKNOWLEDGED,
        previous_state=State.NORMAL,
        transition="CONDITION_ON",
        raised_at=T0 + 2 * S,
        count=1,
        alarm_class="process",
    )
    assert raised.attributes["class"] == "process"
    assert raised.attributes["gateway_state"] == "ACTIVE"


def test_what_the_gateway_shows() -> None:
    """W-64, W-136, W-137, D-37: a cleared alarm is acknowledged by 'system' where nobody did it."""
    one = book(HIGH)
    raised, cleared = one.evaluate(flow((0, 99), (1, 90)), NOW)
    assert isinstance(raised, Alarm)
    assert isinstance(cleared, Alarm)
    shown = gateway_alarm(raised, life(raised))
    assert (shown.alarm_id, shown.asset_id, shown.severity, shown.state) == (
        raised.correlation_id,
        "PLANT01.AREA02.UNIT_05",
        "MEDIUM",
        GatewayState.ACTIVE,
    )
    assert (shown.raised_at, shown.acked_at, shown.acked_by, shown.cleared_at) == (T0, None, None, None)
    gone = gateway_alarm(cleared, life(cleared))
    assert (gone.state, gone.acked_at, gone.acked_by, gone.cleared_at) == (GatewayState.CLEARED, T0 + S, "system", T0 + S)
    (noted,) = one.act(Action(kind=ActionKind.ACKNOWLEDGE, key=KEY, actor="ada"), NOW).transitions
    assert isinstance(noted, Alarm)
    end = gateway_alarm(noted, life(noted))
    assert (end.state, end.acked_by, end.acked_at, end.alarm_id) == (GatewayState.CLEARED, "ada", NOW, raised.correlation_id)


def test_delays_are_of_event_time_and_end_without_a_reading() -> None:
    """D-36."""
    one = book("- {id: a, tag: PLANT01.AREA02.UNIT_05.FLOW_RATE, kind: high, limit: 95, on_delay: 5, off_delay: 3}\n")
    assert one.evaluate(flow((0, 99), (4, 99), (5, 90), (6, 99)), NOW) == []
    assert one.tick(T0 + 11 * S - 1) == []
    assert steps(one.tick(T0 + 11 * S)) == [(11, "CONDITION_ON", "UNACKNOWLEDGED")]
    assert steps(one.evaluate(flow((12, 90), (14, 96), (15, 90), (30, 91)), NOW)) == [(18, "CONDITION_OFF", "RETURNED_UNACKNOWLEDGED")]


def test_a_delay_ends_with_a_reading_as_well() -> None:
    one = book("- {id: a, tag: PLANT01.AREA02.UNIT_05.FLOW_RATE, kind: high, limit: 95, on_delay: 5}\n")
    assert one.evaluate(flow((0, 99)), NOW) == []
    assert one.evaluate(flow((4.9, 99)), NOW) == []
    assert steps(one.evaluate(flow((7, 98)), NOW)) == [(5, "CONDITION_ON", "UNACKNOWLEDGED")]


def test_an_input_that_waits_is_not_taken_for_time_that_passed() -> None:
    one = book("- {id: a, tag: PLANT01.AREA02.UNIT_05.FLOW_RATE, kind: high, limit: 95, on_delay: 5}\n")
    one.evaluate(flow((0, 99)), NOW)
    assert one.tick(T0 + 60 * S, read_up_to=T0 + 4 * S) == []
    assert one.evaluate(flow((4, 90), (10, 91)), T0 + 60 * S) == []


def test_bad_values_never_raise_and_hold_the_state() -> None:
    """PD-26, PD-28."""
    one = book(HIGH)
    assert one.evaluate(flow((0, 99), quality=Quality.BAD_OUT_OF_RANGE), NOW) == []
    assert one.evaluate(flow((0.5, None), quality=Quality.BAD_SENSOR_FAULT), NOW) == []
    assert steps(one.evaluate(flow((1, 99), quality=Quality.UNCERTAIN_RANGE), NOW)) == [(1, "CONDITION_ON", "UNACKNOWLEDGED")]
    assert one.evaluate(flow((2, 10), quality=Quality.BAD_SENSOR_FAULT), NOW) == []
    strict = book("- {id: a, tag: PLANT01.AREA02.UNIT_05.FLOW_RATE, kind: high, limit: 95, quality: GOOD, on_bad: clear}\n")
    assert strict.evaluate(flow((1, 99), quality=Quality.UNCERTAIN_RANGE), NOW) == []
    assert len(strict.evaluate(flow((2, 99)), NOW)) == 1
    assert steps(strict.evaluate(flow((3, 99), quality=Quality.BAD_SENSOR_FAULT), NOW)) == [(3, "CONDITION_OFF", "RETURNED_UNACKNOWLEDGED")]


def test_late_and_old_readings_are_history_and_never_live() -> None:
    """D-36: recorded, not announced."""
    one = book(HIGH)
    one.evaluate(flow((10, 90)), NOW)
    late = one.evaluate(flow((5, 99), (6, 90), (11, 91)), NOW)
    assert steps(late) == [(5, "CONDITION_ON", "ACKNOWLEDGED"), (6, "CONDITION_OFF", "NORMAL")]
    assert [life(event).live for event in late] == [False, False]
    marked = one.evaluate(columns([(FLOW, 99.0, 12, 0), (FLOW, 90.0, 13, 0)]), NOW, np.array([True]))
    assert [life(event).live for event in marked] == [False, False]
    behind = one.evaluate(flow((14, 99)), T0 + 75 * S)
    assert [life(event).live for event in behind] == [False]
    announced = one.evaluate(flow((74, 99)), T0 + 75 * S)
    assert [(event.time, life(event).live) for event in announced] == [(T0 + 74 * S, True)]


def test_the_same_input_gives_the_same_ids() -> None:
    values = flow((0, 99), (1, 90), (2, 99))
    first, second = (book(HIGH).evaluate(values, NOW) for _ in range(2))
    assert [event.id for event in first] == [event.id for event in second]
    assert len({event.id for event in first}) == 3
    assert [life(event).count for event in first] == [1, 1, 2]
    assert len({event.correlation_id for event in first}) == 1
