"""What people may do to an alarm, and why not: an action names what the person saw, and is refused when that is over."""

from typing import Final

from trunkline.model import times
from trunkline.model.alarms import COMMENT, Action, ActionKind, State, Trigger
from trunkline.model.events import Event
from trunkline.processing.alarms.life import Cause, Life, Subject, record

_TRIGGERS: Final = {
    ActionKind.ACKNOWLEDGE: Trigger.ACKNOWLEDGE,
    ActionKind.RESET: Trigger.RESET,
    ActionKind.SHELVE: Trigger.SHELVE,
    ActionKind.UNSHELVE: Trigger.UNSHELVE,
    ActionKind.SUPPRESS: Trigger.SUPPRESS,
    ActionKind.UNSUPPRESS: Trigger.UNSUPPRESS,
    ActionKind.OUT_OF_SERVICE: Trigger.OUT_OF_SERVICE,
    ActionKind.RETURN_TO_SERVICE: Trigger.RETURN_TO_SERVICE,
}
_TIMED: Final = frozenset({ActionKind.SHELVE, ActionKind.SUPPRESS})
_EXPLAINED: Final = _TIMED | {ActionKind.OUT_OF_SERVICE, ActionKind.COMMENT}
_CAN_ACKNOWLEDGE: Final = frozenset({State.UNACKNOWLEDGED, State.RETURNED_UNACKNOWLEDGED, State.LATCHED_UNACKNOWLEDGED})


def refusal(subject: Subject, life: Life, action: Action) -> str:
    """Return why an action is refused, with the mend; empty when it is not."""
    if not action.actor:
        return "an action needs its author: say who"
    if action.kind in _EXPLAINED and not action.reason:
        return f"{action.kind.value} needs a reason: say why"
    if action.occurrence and action.occurrence != life.occurrence:
        now = f"now it is {life.occurrence}" if life.occurrence else "it is over"
        return f"stale: occurrence {action.occurrence} of {subject.key} is not the present one, {now}; look again"
    if action.state is not None and action.state is not life.state:
        return f"stale: {subject.key} was {action.state.value} and is {life.state.value} now; look again"
    if action.kind in _TIMED:
        most = subject.max_shelve / times.SECOND
        if not 0 < action.seconds <= most:
            return f"{action.kind.value} {subject.key} for more than 0 and at most {most:g} seconds, not {action.seconds:g}"
    return _not_now(subject, life, action.kind)


def _not_now(subject: Subject, life: Life, kind: ActionKind) -> str:
    """Return why the alarm's state does not allow an action; empty when it does."""
    key, state = subject.key, life.state.value
    refused = {
        ActionKind.ACKNOWLEDGE: (life.state not in _CAN_ACKNOWLEDGE, f"{key} is {state}: there is nothing to acknowledge"),
        ActionKind.RESET: (
            life.state is not State.LATCHED_ACKNOWLEDGED,
            f"{key} is {state}: it can be reset once the condition is gone and it is acknowledged",
        ),
        ActionKind.UNSHELVE: (not life.shelved_until, f"{key} is not shelved"),
        ActionKind.UNSUPPRESS: (not life.suppressed_until, f"{key} is not suppressed by hand"),
        ActionKind.OUT_OF_SERVICE: (life.out_of_service, f"{key} is out of service already"),
        ActionKind.RETURN_TO_SERVICE: (not life.out_of_service, f"{key} is not out of service"),
    }
    no, why = refused.get(kind, (False, ""))
    return why if no else ""


def cause(action: Action, now: int) -> Cause:
    """Return what an action that is allowed does."""
    until = now + round(action.seconds * times.SECOND) if action.kind in _TIMED else 0
    return Cause(trigger=_TRIGGERS[action.kind], time=now, actor=action.actor, reason=action.reason, until=until)


def comment(subject: Subject, life: Life, action: Action, now: int) -> Event:
    """Return the record of a remark; the alarm stays as it is."""
    life.number += 1
    said = Cause(trigger=Trigger.ACKNOWLEDGE, time=now, actor=action.actor, reason=action.reason)
    return record(subject, life, said, life.state, COMMENT, now)


def expired(life: Life, now: int) -> list[Cause]:
    """Return what ends by itself by `now`, in order of time."""
    ends = ((life.shelved_until, Trigger.SHELF_EXPIRED), (life.suppressed_until, Trigger.UNSUPPRESS))
    return [Cause(trigger=trigger, time=end, reason="the time is over") for end, trigger in sorted(ends) if 0 < end <= now]
