"""The alarm book against a second telling of the standard: every state, every refusal (GD-19, D-37, W-139)."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.processing.alarms.feed import FLOW, RUNNING, T0, S, book, columns, life
from tests.processing.alarms.standard import StandardAlarm

from trunkline.log.codec.columns import Columns
from trunkline.model.alarms import GATEWAY_STATES, Action, ActionKind, GatewayState, State, Trigger
from trunkline.model.events import Event
from trunkline.processing.alarms.machine import TABLE
from trunkline.processing.alarms.reference import DEFAULT, main

LETTERS = dict(zip(State, "ABCDEFGHI", strict=True))
KINDS = {f"{'latching' if latching else 'plain'}-{'ack' if ack else 'noack'}": (latching, ack) for latching in (0, 1) for ack in (0, 1)}
DEFINITIONS = "".join(
    f"- {{id: {name}, tag: {FLOW}, kind: high, limit: 95, latching: {str(bool(latching)).lower()}, ack: {'required' if ack else 'not'}, "
    f"max_shelve: 100, suppressed_while: {{tag: {RUNNING}, equals: false}}}}\n"
    for name, (latching, ack) in KINDS.items()
)
SILENCES = {ActionKind.SHELVE: "shelf", ActionKind.SUPPRESS: "hand", ActionKind.OUT_OF_SERVICE: "service"}
RELEASES = {ActionKind.UNSHELVE: "shelf", ActionKind.UNSUPPRESS: "hand", ActionKind.RETURN_TO_SERVICE: "service"}
READING = {
    (tag, value): columns([(tag, value, 0, 0)]) for tag, values in ((FLOW, (90.0, 99.0)), (RUNNING, (False, True))) for value in values
}


class Drive:
    """One book and, for each of its alarms, the standard's; whatever is done to one is done to the other."""

    def __init__(self) -> None:
        self.book = book(DEFINITIONS)
        self.now = T0
        self.alarms = {f"{name}:{FLOW}": StandardAlarm(bool(latching), bool(ack)) for name, (latching, ack) in KINDS.items()}
        self.seen = dict.fromkeys(self.alarms, State.NORMAL)
        self.transitions: Counter[tuple[State, str, State]] = Counter()
        self.ids: set[str] = set()

    def take(self, events: list[Event]) -> None:
        for event in events:
            told = life(event)
            assert told.previous_state is self.seen[told.key]
            self.seen[told.key] = told.state
            self.transitions[told.previous_state, told.transition, told.state] += 1
            assert event.id not in self.ids
            self.ids.add(event.id)

    def show(self, tag: str, value: float | bool) -> Columns:
        self.now += S
        return replace(READING[tag, value], time=np.array([self.now]))

    def reading(self, value: float) -> None:
        self.take(self.book.evaluate(self.show(FLOW, value), self.now))
        for alarm in self.alarms.values():
            alarm.process(value > 95)

    def plant(self, running: bool) -> None:
        self.take(self.book.evaluate(self.show(RUNNING, running), self.now))
        for alarm in self.alarms.values():
            if running:
                alarm.release("plant")
            else:
                alarm.silence("plant")

    def wait(self, seconds: int) -> None:
        self.now += seconds * S
        self.take(self.book.tick(self.now))
        for alarm in self.alarms.values():
            alarm.expire(self.now)

    def act(self, key: str, kind: ActionKind, seconds: int) -> None:
        self.now += S
        outcome = self.book.act(Action(kind=kind, key=key, actor="ada", reason="a test", seconds=seconds), self.now)
        alarm = self.alarms[key]
        if kind is ActionKind.COMMENT:
            done = True
        elif kind is ActionKind.ACKNOWLEDGE:
            done = alarm.acknowledge()
        elif kind is ActionKind.RESET:
            done = alarm.reset()
        elif kind in SILENCES:
            timed = kind is not ActionKind.OUT_OF_SERVICE
            done = (not timed or 0 < seconds <= 100) and alarm.silence(SILENCES[kind], self.now + seconds * S)  # type: ignore[arg-type]
        else:
            done = alarm.release(RELEASES[kind])  # type: ignore[arg-type]
        assert (not outcome.refused) == done, (kind, outcome.refused)
        assert len(outcome.transitions) == done
        self.take(outcome.transitions)

    def check(self) -> None:
        assert {key: LETTERS[state] for key, state in self.seen.items()} == {key: alarm.letter for key, alarm in self.alarms.items()}

    def restart(self) -> None:
        """The book as it is after a crash: entries only."""
        entries = self.book.entries()
        self.book = book(DEFINITIONS)
        self.book.restore(entries)


class AlarmLife(RuleBasedStateMachine):
    """Whatever people, plant and time do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.drive = Drive()

    @rule(value=st.sampled_from([90.0, 99.0]))
    def reading(self, value: float) -> None:
        self.drive.reading(value)

    @rule(running=st.booleans())
    def plant(self, running: bool) -> None:
        self.drive.plant(running)

    @rule(seconds=st.integers(1, 120))
    def wait(self, seconds: int) -> None:
        self.drive.wait(seconds)

    @rule(name=st.sampled_from(sorted(KINDS)), kind=st.sampled_from(list(ActionKind)), seconds=st.sampled_from([0, 1, 50, 100, 101]))
    def act(self, name: str, kind: ActionKind, seconds: int) -> None:
        self.drive.act(f"{name}:{FLOW}", kind, seconds)

    @rule()
    def restart(self) -> None:
        self.drive.restart()

    @invariant()
    def agrees(self) -> None:
        self.drive.check()


AlarmLife.TestCase.settings = settings(
    max_examples=40, stateful_step_count=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
TestAlarmLife = AlarmLife.TestCase


def test_a_hundred_thousand_transitions_agree_with_the_standard() -> None:
    """Every arrow of the table is taken on the way."""
    drive, chance = Drive(), random.Random(7)
    keys, high = list(drive.alarms), False
    while drive.transitions.total() < 101_000:
        throw = chance.random()
        if throw < 0.5:
            high = not high
            drive.reading(99.0 if high else 90.0)
        elif throw < 0.54:
            drive.plant(chance.random() < 0.6)
        elif throw < 0.58:
            drive.wait(chance.randrange(1, 60))
        else:
            drive.act(chance.choice(keys), chance.choice(list(ActionKind)), chance.choice([1, 20, 100, 200]))
        drive.check()
    taken = {(before, trigger) for before, trigger, _ in drive.transitions}
    assert {(state, row.trigger) for row in TABLE for state in row.states} <= taken
    # Python's enumerations are the table's words
    assert {trigger for _, trigger in taken} == {*Trigger, "COMMENT"}


def test_the_four_names_of_the_gateway() -> None:
    """W-135 to W-138: each is used, and condition and silence decide."""
    assert set(GATEWAY_STATES) == set(State)
    assert set(GATEWAY_STATES.values()) == set(GatewayState)


def test_the_page_is_the_table() -> None:
    assert main(["--check", str(DEFAULT)]) == 0
