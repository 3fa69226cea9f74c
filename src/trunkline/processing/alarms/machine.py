"""The state machine of an alarm as one table (ISA-18.2-2016, IEC 62682:2014), which is its documentation too (`reference`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trunkline.model.alarms import State, Trigger


class Guard(StrEnum):
    """What decides between rows of one state and trigger; the value is the text of the page."""

    ALWAYS = ""
    ACK_REQUIRED = "acknowledgement required"
    ACK_NOT_REQUIRED = "acknowledgement not required"
    LATCHING = "latching"
    NOT_LATCHING = "not latching"
    OUT_OF_SERVICE_STILL = "still out of service"
    SUPPRESSED_STILL = "else still suppressed"
    SHELVED_STILL = "else still shelved"
    ON_ACK_REQUIRED = "else condition on, acknowledgement required"
    ON_ACK_NOT_REQUIRED = "else condition on, acknowledgement not required"
    LATCHED_ACK_REQUIRED = "else latched before, acknowledgement required"
    LATCHED_ACK_NOT_REQUIRED = "else latched before, acknowledgement not required"
    OFF = "else"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guards ask.

    Attributes:
        condition: whether the condition is on.
        latching, ack_required: of the definition.
        latched: an occurrence of a latching alarm has begun and was not reset.
        silenced: the silencing states that hold when the trigger is done: shelved, suppressed, out of service.
    """

    condition: bool
    latching: bool = False
    ack_required: bool = True
    latched: bool = False
    silenced: frozenset[State] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One arrow of the figure, or several with the same sense: from any of these states, on this trigger, if the guard holds."""

    states: tuple[State, ...]
    trigger: Trigger
    guard: Guard
    target: State
    meaning: str


_A, _B, _C, _D, _E, _F, _G, _H, _I = State
_HEARD: Final = (_A, _B, _C, _D, _E, _F)

TABLE: Final[tuple[Row, ...]] = (
    Row((_A, _F), Trigger.CONDITION_ON, Guard.ACK_REQUIRED, _B, "the alarm is raised"),
    Row((_A, _F), Trigger.CONDITION_ON, Guard.ACK_NOT_REQUIRED, _C, "the alarm is raised; nobody has to acknowledge it"),
    Row((_D, _E), Trigger.CONDITION_ON, Guard.ALWAYS, _B, "the condition came back before anybody acknowledged: one alarm still"),
    Row((_B,), Trigger.ACKNOWLEDGE, Guard.ALWAYS, _C, "an operator has taken note"),
    Row((_B,), Trigger.CONDITION_OFF, Guard.NOT_LATCHING, _D, "the condition went and nobody has acknowledged yet"),
    Row((_B,), Trigger.CONDITION_OFF, Guard.LATCHING, _E, "the condition went; the latch holds the alarm"),
    Row((_C,), Trigger.CONDITION_OFF, Guard.NOT_LATCHING, _A, "the condition went: the alarm is over"),
    Row((_C,), Trigger.CONDITION_OFF, Guard.LATCHING, _F, "the condition went; the latch holds the alarm"),
    Row((_D,), Trigger.ACKNOWLEDGE, Guard.ALWAYS, _A, "noted after it went: the alarm is over"),
    Row((_E,), Trigger.ACKNOWLEDGE, Guard.ALWAYS, _F, "noted; the latch holds the alarm until it is reset"),
    Row((_F,), Trigger.RESET, Guard.ALWAYS, _A, "the latch is released: the alarm is over"),
    Row((*_HEARD, _G), Trigger.SHELVE, Guard.ALWAYS, _G, "silenced by an operator for a time; again: with a new end"),
    Row((*_HEARD, _G, _H), Trigger.SUPPRESS, Guard.ALWAYS, _H, "silenced by the plant's state, or by hand for a time"),
    Row((*_HEARD, _G, _H), Trigger.OUT_OF_SERVICE, Guard.ALWAYS, _I, "silenced for maintenance, until returned by hand"),
    Row((_H,), Trigger.SHELVE, Guard.ALWAYS, _H, "the shelf holds beneath"),
    Row((_I,), Trigger.SHELVE, Guard.ALWAYS, _I, "the shelf holds beneath"),
    Row((_I,), Trigger.SUPPRESS, Guard.ALWAYS, _I, "the suppression holds beneath"),
    Row((_G,), Trigger.CONDITION_ON, Guard.ALWAYS, _G, "noted in the record only"),
    Row((_G,), Trigger.CONDITION_OFF, Guard.ALWAYS, _G, "noted in the record only"),
    Row((_H,), Trigger.CONDITION_ON, Guard.ALWAYS, _H, "noted in the record only"),
    Row((_H,), Trigger.CONDITION_OFF, Guard.ALWAYS, _H, "noted in the record only"),
    Row((_I,), Trigger.CONDITION_ON, Guard.ALWAYS, _I, "noted in the record only"),
    Row((_I,), Trigger.CONDITION_OFF, Guard.ALWAYS, _I, "noted in the record only"),
    *(
        Row(states, trigger, guard, target, meaning)
        for states, trigger in (
            ((_G, _H, _I), Trigger.UNSHELVE),
            ((_G, _H, _I), Trigger.SHELF_EXPIRED),
            ((_H, _I), Trigger.UNSUPPRESS),
            ((_I,), Trigger.RETURN_TO_SERVICE),
        )
        for guard, target, meaning in (
            (Guard.OUT_OF_SERVICE_STILL, _I, "something stronger still silences it"),
            (Guard.SUPPRESSED_STILL, _H, "something else still silences it"),
            (Guard.SHELVED_STILL, _G, "the shelf still silences it"),
            (Guard.ON_ACK_REQUIRED, _B, "the condition is on: annunciated anew"),
            (Guard.ON_ACK_NOT_REQUIRED, _C, "the condition is on: annunciated anew"),
            (Guard.LATCHED_ACK_REQUIRED, _E, "the latch outlives the silence"),
            (Guard.LATCHED_ACK_NOT_REQUIRED, _F, "the latch outlives the silence"),
            (Guard.OFF, _A, "nothing is wrong now"),
        )
    ),
)


def holds(guard: Guard, facts: Facts) -> bool:
    """Return whether a guard holds. Those of release are asked in the table's order: 'else' is that order."""
    truth: Mapping[Guard, bool] = {
        Guard.ALWAYS: True,
        Guard.ACK_REQUIRED: facts.ack_required,
        Guard.ACK_NOT_REQUIRED: not facts.ack_required,
        Guard.LATCHING: facts.latching,
        Guard.NOT_LATCHING: not facts.latching,
        Guard.OUT_OF_SERVICE_STILL: _I in facts.silenced,
        Guard.SUPPRESSED_STILL: _H in facts.silenced,
        Guard.SHELVED_STILL: _G in facts.silenced,
        Guard.ON_ACK_REQUIRED: facts.condition and facts.ack_required,
        Guard.ON_ACK_NOT_REQUIRED: facts.condition and not facts.ack_required,
        Guard.LATCHED_ACK_REQUIRED: facts.latched and facts.ack_required,
        Guard.LATCHED_ACK_NOT_REQUIRED: facts.latched and not facts.ack_required,
        Guard.OFF: True,
    }
    return truth[guard]


def _index() -> dict[tuple[State, Trigger], list[Row]]:
    found: dict[tuple[State, Trigger], list[Row]] = {}
    for row in TABLE:
        for state in row.states:
            found.setdefault((state, row.trigger), []).append(row)
    return found


_ROWS: Final = _index()


def follow(state: State, trigger: Trigger, facts: Facts) -> Row | None:
    """Return the row that a trigger takes from a state; None where the standard has no arrow."""
    return next((row for row in _ROWS.get((state, trigger), ()) if holds(row.guard, facts)), None)
