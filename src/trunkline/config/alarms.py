"""Alarm definitions of the site file: what makes an alarm, how it is held steady, and what the operator is told.

Terms are those of ISA-18.2-2016 / IEC 62682:2014: deadband, on- and off-delay, latching, priority, consequence, shelving.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Identifier, Model, Path, Seconds
from trunkline.model.events import AlarmSeverity
from trunkline.model.expressions import Expression
from trunkline.model.tags import TagPattern

Kind = Literal["high-high", "high", "low", "low-low", "deviation", "rate", "discrete", "stale", "fault", "expression"]
Priority = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
Delay = Annotated[float, Field(ge=0, le=86_400)]
Scalar = bool | int | float | str

#: Definitions of this id would look like alarms that devices report themselves.
DEVICE_RULE: Final = "device"


def _pattern(text: str) -> str:
    TagPattern(text)
    return text


def _expression(text: str) -> str:
    found = Expression(text, "ASSET")
    if found.gives == "text":
        raise ValueError(f"{text!r} gives a text: compare it with one, such as MODE == 'MANUAL'")
    if found.good_of or found.age_of:
        raise ValueError("alarms know values only, not 'isgood' or 'age': use 'quality', 'on_bad' or an alarm of kind 'stale'")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]

#: What each kind needs, and what it may have besides what every kind may have.
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "high-high": ("limit",),
    "high": ("limit",),
    "low": ("limit",),
    "low-low": ("limit",),
    "deviation": ("limit",),
    "rate": ("limit",),
    "discrete": ("equals",),
    "stale": ("silence",),
    "fault": (),
    "expression": ("expression",),
}
_MAY: Final[dict[str, tuple[str, ...]]] = {
    "high-high": ("deadband",),
    "high": ("deadband",),
    "low": ("deadband",),
    "low-low": ("deadband",),
    "deviation": ("deadband", "setpoint", "setpoint_tag"),
    "rate": ("deadband", "direction"),
}
_SPECIAL: Final = ("limit", "deadband", "setpoint", "setpoint_tag", "direction", "equals", "silence", "expression")
_USUAL: Final[dict[str, Priority]] = {"high-high": "HIGH", "low-low": "HIGH", "stale": "LOW", "fault": "LOW"}
_TYPES: Final = {"rate": "RATE_OF_CHANGE"}


class Suppression(Model):
    """The plant state in which an alarm means nothing: while the tag has this value, the alarm is suppressed by design."""

    tag: Path = Field(description="tag that tells the plant's state, for example PLANT01.AREA02.UNIT_05.RUNNING")
    equals: Scalar = Field(description="its value in that state")


class AlarmDefinition(Model):
    """One definition; with `tags` it makes one alarm for each tag that a pattern selects."""

    id: Identifier = Field(description="name of the definition; an alarm's key is this and the tag: flow-high:PLANT01.AREA02.UNIT_05.FLOW")
    tag: Path | None = Field(None, description="the tag that is watched")
    tags: tuple[Pattern, ...] = Field((), description="or patterns of tags: '*' within one level, '**' over any levels")
    kind: Kind = Field(description="what makes the condition (docs/how-to/alarms.md shows each)")
    limit: float | None = Field(
        None, description="limits: the value beyond which it is on; deviation: the distance; rate: the change per second"
    )
    deadband: float = Field(0.0, ge=0, description="how far the value must come back behind the limit until the condition is off")
    setpoint: float | None = Field(None, description="deviation: the value that the tag should have")
    setpoint_tag: Path | None = Field(None, description="deviation: or the tag that says so")
    direction: Literal["up", "down", "both"] = Field("both", description="rate: which way the change counts")
    equals: Scalar | None = Field(None, description="discrete: the value that is alarmed")
    silence: Seconds | None = Field(None, description="stale: seconds without a reading that counts")
    expression: Annotated[str, AfterValidator(_expression)] | None = Field(
        None,
        max_length=1024,
        description="expression: on while it is true, such as 'FLOW_RATE < 5 and RUNNING == on'; a name without dots is of the same asset",
    )
    on_delay: Delay = Field(0.0, description="seconds that the condition must last until the alarm is raised")
    off_delay: Delay = Field(0.0, description="seconds that it must be gone until the alarm returns to normal")
    latching: bool = Field(False, description="true keeps the alarm after the condition went until somebody resets it")
    ack: Literal["required", "not"] = Field("required", description="whether somebody has to acknowledge it")
    priority: Priority | None = Field(
        None,
        description="CRITICAL, HIGH, MEDIUM or LOW; default: HIGH for high-high and low-low, LOW for stale and fault, else MEDIUM. "
        "INFO makes events instead of alarms (W-134)",
    )
    type: str = Field("", pattern=r"^([A-Z][A-Z0-9_]{0,63})?$", description="the alarm's type; default: of kind and tag, HIGH_FLOW_RATE")
    consequence: str = Field("", max_length=512, description="what happens when nobody acts")
    response: str = Field("", max_length=1024, description="what the operator is to do")
    alarm_class: Identifier | None = Field(None, alias="class", description="class for reports and rules of handling, for example safety")
    max_shelve: Seconds = Field(8 * 3600.0, description="longest time in seconds that it may be shelved or suppressed at once")
    quality: Literal["GOOD", "UNCERTAIN"] = Field("UNCERTAIN", description="the worst quality whose values count; BAD never raises (PD-28)")
    on_bad: Literal["hold", "clear"] = Field("hold", description="when values do not count: 'hold' the state, or 'clear' the condition")
    suppressed_while: Suppression | None = Field(None, description="plant state in which the alarm is suppressed by design")

    @model_validator(mode="after")
    def _whole(self) -> "AlarmDefinition":
        self._check_tags()
        for name in _NEEDS[self.kind]:
            if getattr(self, name) is None:
                raise ValueError(f"kind {self.kind!r} needs {name!r}: add it")
        known = (*_NEEDS[self.kind], *_MAY.get(self.kind, ()))
        if odd := [name for name in _SPECIAL if name in self.model_fields_set and name not in known]:
            raise ValueError(f"kind {self.kind!r} has no use for {odd[0]!r}: remove it, or choose the kind that has")
        if self.kind == "deviation" and (self.setpoint is None) == (self.setpoint_tag is None):
            raise ValueError("a deviation is from something: give either 'setpoint' or 'setpoint_tag'")
        if self.kind in {"deviation", "rate"} and self.limit is not None and not self.limit > self.deadband:
            raise ValueError(f"the limit ({self.limit:g}) of kind {self.kind!r} must be above the deadband ({self.deadband:g})")
        if self.kind == "stale" and (self.on_delay or self.off_delay):
            raise ValueError("'silence' is the delay of kind 'stale': remove 'on_delay' and 'off_delay'")
        if self.priority == "INFO" and (self.latching or "ack" in self.model_fields_set):
            raise ValueError("INFO makes events, which nobody acknowledges or resets: remove 'ack' and 'latching', or choose LOW")
        return self

    def _check_tags(self) -> None:
        if self.id == DEVICE_RULE:
            raise ValueError(f"id {DEVICE_RULE!r} stands for alarms that devices report themselves: choose another")
        if (self.tag is None) == (not self.tags):
            raise ValueError("give either 'tag' or 'tags'")
        if self.setpoint_tag is not None and self.setpoint_tag == self.tag:
            raise ValueError("'setpoint_tag' is the tag itself: its deviation is always 0")

    @property
    def severity(self) -> AlarmSeverity | None:
        """The severity of its alarms; None for INFO, which makes events."""
        name = self.priority or _USUAL.get(self.kind, "MEDIUM")
        return None if name == "INFO" else AlarmSeverity[name]

    def alarm_type(self, tag: str) -> str:
        """Return the type of its alarm on a tag, for example HIGH_FLOW_RATE."""
        word = _TYPES.get(self.kind, self.kind.upper().replace("-", "_"))
        return self.type or f"{word}_{tag.rpartition('.')[2].replace('-', '_')}"

    def key(self, tag: str) -> str:
        """Return the key of its alarm on a tag."""
        return f"{self.id}:{tag}"


class Position(Model):
    """An operator position: who answers the alarms of these tags. Alarm rates are judged by position (EEMUA 191)."""

    id: Identifier = Field(description="name of the position, for example desk-north")
    tags: tuple[Pattern, ...] = Field(min_length=1, description="patterns of the tags it answers for; the first position that fits counts")


class AlarmsConfig(Model):
    """Alarms after ISA-18.2 / IEC 62682."""

    definitions: tuple[AlarmDefinition, ...] = Field((), description="what is alarmed")
    positions: tuple[Position, ...] = Field((), description="operator positions; without any the second part of a path (area) is one")
    live_within: Seconds = Field(60.0, description="seconds: data further behind is recorded as history and never announced (D-36)")
    device_max_shelve: Seconds = Field(8 * 3600.0, description="longest time in seconds that a device's own alarm may be shelved at once")

    @model_validator(mode="after")
    def _unique(self) -> "AlarmsConfig":
        for what, ids in (("definition", [one.id for one in self.definitions]), ("position", [one.id for one in self.positions])):
            if twice := sorted({one for one in ids if ids.count(one) > 1}):
                raise ValueError(f"{what} id {twice[0]!r} is given twice: give each an id of its own")
        return self
