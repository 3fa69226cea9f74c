"""Quality rules: what makes a reading doubtful or wrong, for as many tags as a pattern names (W-121…W-129, E-72).

What a tag itself says (`min`, `max`, `max_rate`) is the short way of a range and a rate rule.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from trunkline.config.tags import Identifier, Model, Seconds
from trunkline.model.expressions import Expression
from trunkline.model.expressions.parsing import MAX_CHARACTERS
from trunkline.model.tags import SEPARATOR, TagPattern

#: Asset of names without one, where only the form of an expression is looked at.
_SOMEWHERE: Final = "PLANT"


def _check_pattern(text: str) -> str:
    TagPattern(text)
    return text


def _check_expression(text: str) -> str:
    if Expression(text, _SOMEWHERE).gives not in ("truth", "any"):
        raise ValueError("the expression gives a number or a text: compare it with something, for example '… > 0'")
    return text


Pattern = Annotated[str, AfterValidator(_check_pattern)]


class QualityRule(Model):
    """What every rule has."""

    id: Identifier = Field(description="name of the rule, unique among the rules; reasons and reports show it")
    tags: tuple[Pattern, ...] = Field(description="paths or patterns of the tags judged: '*' within one level, '**' for any levels")
    description: str = Field("", max_length=256, description="what it is for, for people")

    @field_validator("tags")
    @classmethod
    def _some(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if not tags:
            raise ValueError("name at least one tag or pattern")
        return tags


class MarkingRule(QualityRule):
    """A rule that makes the quality of a reading worse, never better (D-17)."""

    action: Literal["uncertain", "bad"] = Field(
        "uncertain", description="verdict: 'uncertain' (SUSPECT in the gateway's words, W-123) or 'bad' (W-124)"
    )
    bad: Literal["dead_letter", "keep"] | None = Field(
        None,
        description="with 'action: bad': 'dead_letter' keeps the reading out of history (W-124), 'keep' stores it as BAD (E-72); "
        "default: as 'validation.bad' says, and 'keep' for a status, which is the device's own word",
    )

    @model_validator(mode="after")
    def _goes(self) -> "MarkingRule":
        if self.bad is not None and self.action != "bad":
            raise ValueError("'bad' says where BAD readings go: add 'action: bad', or remove it")
        return self


class RangeRule(MarkingRule):
    """A value outside a range (W-126); bounds belong to the range unless 'exclusive' (D-32)."""

    kind: Literal["range"] = Field(description="what the rule looks at")
    action: Literal["uncertain", "bad"] = Field("bad", description="verdict: 'bad', or 'uncertain' for a range that is only unusual")
    min: float | None = Field(None, description="lower end")
    max: float | None = Field(None, description="upper end")
    exclusive: bool = Field(False, description="true: a value equal to an end is outside")
    unit: str = Field("", max_length=32, description="only tags of this unit; empty: of any")

    @model_validator(mode="after")
    def _ends(self) -> "RangeRule":
        if self.min is None and self.max is None:
            raise ValueError("give 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min ({self.min:g}) must be below max ({self.max:g})")
        return self


class RateRule(MarkingRule):
    """A change that is too fast, per second of the device's time (W-127, D-32); late readings are left alone."""

    kind: Literal["rate"] = Field(description="what the rule looks at")
    max_rate: float = Field(gt=0, description="largest believable change per second")


class FrozenRule(MarkingRule):
    """A value that no longer moves, as of a sensor that hangs."""

    kind: Literal["frozen"] = Field(description="what the rule looks at")
    seconds: Seconds | None = Field(None, description="unchanged for so long")
    readings: int | None = Field(None, ge=2, le=1_000_000, description="unchanged over so many readings; with 'seconds': both must hold")
    tolerance: float = Field(0.0, ge=0, description="a value this close to the one at which it stopped counts as unchanged")

    @model_validator(mode="after")
    def _long(self) -> "FrozenRule":
        if self.seconds is None and self.readings is None:
            raise ValueError("say when a value is frozen: 'seconds', 'readings' or both")
        return self


class SpikeRule(MarkingRule):
    """A value far from those before it: |x - median| above `threshold` robust deviations (1.4826 x MAD) of the last GOOD readings."""

    kind: Literal["spike"] = Field(description="what the rule looks at")
    window: int = Field(30, ge=5, le=1000, description="GOOD readings that a value is compared with; with fewer none is judged")
    threshold: float = Field(6.0, gt=0, description="robust deviations from the median that are still believable")
    least: float = Field(
        0.0,
        ge=0,
        description="a smaller distance from the median is no spike, in the tag's unit; with 0 nothing is judged while most are equal",
    )
    forget_after: Seconds = Field(21_600.0, description="after a longer silence the window begins anew: old values say nothing (D-32)")


class GapRule(QualityRule):
    """A silence: found by a timer, without waiting for the next reading, and told as an event GAP (W-66, W-129, D-34)."""

    kind: Literal["gap"] = Field(description="what the rule looks at")
    expected_seconds: Seconds | None = Field(None, description="usual distance of two readings")
    factor: float = Field(2.0, gt=1, description="silence of more than this many usual distances is a gap")
    longest_seconds: Seconds | None = Field(
        None, description="for tags that report by exception: longest silence allowed, instead of 'expected_seconds'"
    )

    @model_validator(mode="after")
    def _one(self) -> "GapRule":
        if (self.expected_seconds is None) == (self.longest_seconds is None):
            raise ValueError("give either 'expected_seconds' or, for tags that report by exception, 'longest_seconds'")
        return self

    @property
    def allowed_seconds(self) -> float:
        """Longest silence that is no gap."""
        return self.longest_seconds or self.factor * (self.expected_seconds or 0.0)


class DuplicateRule(QualityRule):
    """Another reading with the stamp of the newest one (W-128); equal ones are dropped anyway (D-33)."""

    kind: Literal["duplicate"] = Field(description="what the rule looks at")
    action: Literal["uncertain", "bad", "drop"] = Field(
        "uncertain",
        description="verdict; 'drop' counts and drops it: for devices whose clock is fine enough to tell readings apart (D-33)",
    )
    bad: Literal["dead_letter", "keep"] | None = Field(None, description="with 'action: bad': 'dead_letter' or 'keep', as for other rules")


class ClockSkewRule(MarkingRule):
    """A device whose clock differs from the gateway's."""

    kind: Literal["clock_skew"] = Field(description="what the rule looks at")
    ahead_seconds: Seconds | None = Field(None, description="a source time further ahead of the gateway's breaks the rule")
    behind_seconds: Seconds | None = Field(None, description="a source time further behind breaks it; not for devices that store readings")

    @model_validator(mode="after")
    def _ways(self) -> "ClockSkewRule":
        if self.ahead_seconds is None and self.behind_seconds is None:
            raise ValueError("give 'ahead_seconds', 'behind_seconds' or both")
        return self


class StatusRule(MarkingRule):
    """A status word of another tag says that the device doubts its own measurement (W-125)."""

    kind: Literal["status"] = Field(description="what the rule looks at")
    status: str = Field(
        pattern=r"^[A-Z0-9][A-Z0-9_.-]*$",
        description="tag with the status: a name without dots is beside each tag judged, else a path",
    )
    bits: int | None = Field(None, ge=1, lt=2**63, description="bit mask: any of these bits set breaks the rule")
    values: tuple[int | str, ...] = Field((), description="values of the status that break the rule, instead of 'bits'")

    @model_validator(mode="after")
    def _says(self) -> "StatusRule":
        if (self.bits is None) == (not self.values):
            raise ValueError("give either 'bits' or 'values'")
        return self


class ExpressionRule(MarkingRule):
    """An expression over tags that is never true of a sound plant, for example 'FLOW > 0.5 when PUMP == off'."""

    kind: Literal["expression"] = Field(description="what the rule looks at")
    expression: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_check_expression)] = Field(
        description="what must not be true; tags beside the one judged are named without their asset (docs/reference/expressions.md)"
    )


def status_path(rule: StatusRule, path: str) -> str:
    """Return the path of the tag that holds the status of a tag."""
    asset, _, _ = path.rpartition(SEPARATOR)
    return rule.status if SEPARATOR in rule.status or not asset else f"{asset}{SEPARATOR}{rule.status}"


_OfOneTag = RangeRule | RateRule | FrozenRule | SpikeRule | GapRule | DuplicateRule | ClockSkewRule
AnyRule = Annotated[_OfOneTag | StatusRule | ExpressionRule, Field(discriminator="kind")]

#: Kinds of rules that look at tags of other partitions.
ACROSS: Final = ("status", "expression")
