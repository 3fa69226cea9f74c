"""What the columns pass over as quiet must be quiet: the places where that is least plain."""

import pytest
from tests.processing.alarms.feed import FLOW, FLOW_SP, MODE, RUNNING, T0, S, book, columns, flow, steps

from trunkline.log.codec.columns import Columns
from trunkline.model.reading import Value

NOW = T0 + 10 * S


@pytest.mark.parametrize(("value", "setpoint"), [(96.0, 92.0), (96.9, 92.6), (95.4, 91.1), (91.1, 95.4), (92.6, 96.9)])
def test_two_tags_that_move_apart_together(value: float, setpoint: float) -> None:
    """Each by itself stays near the other's last value."""
    one = book(f"- {{id: d, tag: {FLOW}, kind: deviation, limit: 3, setpoint_tag: {FLOW_SP}}}\n")
    assert one.evaluate(columns([(FLOW, 94.0, 0, 0), (FLOW_SP, 94.0, 0.5, 0)]), NOW) == []
    found = one.evaluate(columns([(FLOW, value, 1, 0), (FLOW_SP, setpoint, 1.5, 0)]), NOW)
    assert steps(found) == [(1.5, "CONDITION_ON", "UNACKNOWLEDGED")]
    assert steps(one.evaluate(flow((2, setpoint)), NOW)) == [(2, "CONDITION_OFF", "RETURNED_UNACKNOWLEDGED")]


def test_after_a_restart_the_first_reading_is_looked_at_though_its_value_is_known() -> None:
    """The value had come as history, which the restarted book cannot tell: the live alarm is raised all the same (D-36)."""
    text = f"- {{id: m, tag: {MODE}, kind: discrete, equals: MANUAL}}\n- {{id: f, tag: {FLOW}, kind: discrete, equals: 3}}\n"

    def both(mode: Value, number: float, second: float) -> Columns:
        return columns([(MODE, mode, second, 0), (FLOW, number, second, 0)])

    one = book(text)
    one.evaluate(both("AUTO", 0.0, 0), NOW)
    kept = one.entries()
    old = one.evaluate(both("MANUAL", 3.0, 1), T0 + 100 * S)
    assert [event.attributes["live"] for event in old] == [False, False]
    again = book(text)
    again.restore(kept)
    again.warm(both("MANUAL", 3.0, 1))
    assert len(again.evaluate(both("MANUAL", 3.0, 99), T0 + 100 * S)) == 2


def test_a_device_that_repeats_its_stale_value_is_silent() -> None:
    one = book(f"- {{id: s, tag: {FLOW}, kind: stale, silence: 5}}\n")
    one.evaluate(flow((0, 90)), NOW)
    one.evaluate(flow((4, 90), quality=0x4090), NOW)
    assert steps(one.tick(T0 + 6 * S)) == [(5, "CONDITION_ON", "UNACKNOWLEDGED")]


def test_a_tag_that_was_never_heard_of_is_silent_from_the_first_look() -> None:
    one = book(f"- {{id: s, tag: {FLOW}, kind: stale, silence: 5}}\n")
    assert one.tick(T0) == []
    assert one.tick(T0 + 5 * S - 1) == []
    assert steps(one.tick(T0 + 5 * S)) == [(5, "CONDITION_ON", "UNACKNOWLEDGED")]


def test_a_delay_that_ended_before_the_plant_stopped_was_first() -> None:
    one = book(f"- {{id: l, tag: {FLOW}, kind: low, limit: 20, on_delay: 3, suppressed_while: {{tag: {RUNNING}, equals: false}}}}\n")
    one.evaluate(flow((0, 10)), NOW)
    assert steps(one.evaluate(columns([(RUNNING, False, 5, 0)]), NOW)) == [
        (3, "CONDITION_ON", "UNACKNOWLEDGED"),
        (5, "SUPPRESS", "SUPPRESSED_BY_DESIGN"),
    ]
