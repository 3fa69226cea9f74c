"""Alarms: what stands, and what people do about it."""

from typing import Final

import msgspec
from fastapi import APIRouter, Response

from trunkline.api.answers import answer
from trunkline.api.models import AlarmAction, AlarmAnswer, AlarmList
from trunkline.api.problem import ProblemDetails, bad_request
from trunkline.api.services import IdentityDep, ServicesDep
from trunkline.api.values import wire
from trunkline.model import times
from trunkline.model.alarms import Action, ActionKind, State
from trunkline.processing.alarms.desk import ask
from trunkline.processing.alarms.standing import Standing
from trunkline.security.errors import NotAllowed
from trunkline.security.roles import Role

router = APIRouter(tags=["alarms"])

#: D-41: who may acknowledge may not therefore silence for good.
_NEEDS: Final = {
    ActionKind.SUPPRESS: Role.ENGINEER,
    ActionKind.UNSUPPRESS: Role.ENGINEER,
    ActionKind.OUT_OF_SERVICE: Role.ENGINEER,
    ActionKind.RETURN_TO_SERVICE: Role.ENGINEER,
}


@router.get("/alarms", summary="Alarms that stand", response_model=AlarmList)
def alarms(found: ServicesDep) -> Response:
    """Return every alarm that is not at rest, what wants attention first (W-135 to W-138)."""
    standing = found.alarms.standing(found.log)
    return answer({"alarms": [_row(one) for one in standing], "at_us": times.now()})


@router.post(
    "/alarms/actions",
    summary="Acknowledge, shelve, suppress, comment",
    response_model=AlarmAnswer,
    responses={400: {"model": ProblemDetails, "description": "The body is no JSON."}},
)
def act(found: ServicesDep, who: IdentityDep, asked: AlarmAction) -> Response:
    """Have one action done to one alarm, and say what came of it: done, refused (why), or unknown when no answer came."""
    if not found.site.config.keeps_alarms:
        raise bad_request("This site keeps no alarms.", "Add a section 'alarms:' to the site file.")
    kind = ActionKind(asked.action)
    needed = _NEEDS.get(kind, Role.OPERATOR)
    if who.role < needed:
        raise NotAllowed(f"{kind.value} needs the role {needed.label}; {who.name} is {who.role.label}")
    action = Action(
        kind=kind,
        key=asked.key,
        actor=who.name,
        reason=asked.reason,
        occurrence=asked.alarm_id,
        state=State(asked.state) if asked.state else None,
        seconds=asked.seconds,
    )
    told = ask(found.log, found.layout, action)
    if told is None:
        return answer({"outcome": "unknown", "text": "The alarm step did not answer. Look at the alarm before asking again."})
    return answer({"outcome": "done" if told.done else "refused", "text": told.text})


def _row(one: Standing) -> dict[str, object]:
    times_us = {f"{name}_us": getattr(one, name) or None for name in ("shelved_until", "suppressed_until")}
    row = {name: value for name, value in msgspec.to_builtins(one).items() if name not in {"shelved_until", "suppressed_until", "value"}}
    for name in ("raised_at", "acked_at", "cleared_at"):
        times_us[f"{name}_us"] = row.pop(name) or None
    return {**row, **times_us, "value": wire(one.value), "acked_by": one.acked_by or None}
