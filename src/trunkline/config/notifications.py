"""Who is told of which alarm, by which channel: section `notifications` of the site file."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trunkline.config.channels import AppriseChannel, Channel, EmailChannel, PagerDutyChannel, SlackChannel, WebhookChannel
from trunkline.config.rotas import Hours, Person, Rota
from trunkline.config.tags import Identifier, Model, Seconds
from trunkline.model.events import AlarmSeverity
from trunkline.model.tags import TagPattern

__all__ = ["AppriseChannel", "Channel", "EmailChannel", "NotificationsConfig", "PagerDutyChannel", "Rule", "SlackChannel", "WebhookChannel"]

Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW"]
SEVERITIES: Final[tuple[Severity, ...]] = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
#: W-143.
DIGEST_SECONDS: Final = 900.0
#: Whom unacknowledged alarms go to unless the site file says otherwise (W-145).
ONCALL: Final = "oncall_manager"


def _several(given: object) -> object:
    """One severity, or a list of them (W-140)."""
    listed = (given,) if isinstance(given, str) else given
    if isinstance(listed, list | tuple) and "INFO" in listed:
        raise ValueError("INFO is shown on the page and sent to nobody (D-35): use CRITICAL, HIGH, MEDIUM or LOW")
    return listed


def _pattern(text: str) -> str:
    TagPattern(text)
    return text


Severities = Annotated[tuple[Severity, ...], BeforeValidator(_several), Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class Target(Model):
    """By which channels, and whom."""

    channels: tuple[Identifier, ...] = Field((), description="channels that are used, all of them")
    people: tuple[Identifier, ...] = Field((), description="people whom it is for; without people or rota, the channel's own recipients")
    rota: Identifier | None = Field(None, description="rota whose people on duty it is for, by the time of the alarm")


class Rule(Target):
    """Alarms that are told, and to whom. An alarm goes by every rule that fits it; what a rule does not say, it does not ask for."""

    id: Identifier = Field(description="name of the rule")
    channels: tuple[Identifier, ...] = Field(min_length=1, description="channels that are used, all of them")
    severity: Severities = Field(SEVERITIES, description="severities that it is for: one, or a list")
    assets: tuple[Pattern, ...] = Field((), description="assets or areas: paths, '*' within one level, '**' for any levels")
    tags: tuple[Pattern, ...] = Field((), description="tags: paths or patterns, as above")
    types: tuple[str, ...] = Field((), description="types of alarms, for example HIGH_FLOW; '*' stands for any characters")
    hours: Hours | None = Field(None, description="time of day and days, in the site's zone; empty for always")
    digest_seconds: Seconds | None = Field(None, description="collect, and send together this often; empty sends at once")


class Escalation(Target):
    """Alarms that nobody acknowledges go to somebody else (W-145)."""

    channels: tuple[Identifier, ...] = Field((ONCALL,), description="channels that are used; empty escalates nothing")
    after_seconds: Seconds = Field(900.0, description="from the alarm until it is escalated, unless it is acknowledged or clears")
    severity: Severities = Field(("CRITICAL", "HIGH"), description="severities that are escalated: one, or a list (D-35)")


class Storm(Model):
    """When many alarms come at once, a channel gets one summary in place of most of them."""

    per_minute: int = Field(20, ge=1, le=10_000, description="messages about single alarms that a channel gets in a minute")
    critical_per_minute: int = Field(
        60, ge=1, le=10_000, description="CRITICAL alarms still pass beyond that, until so many messages were sent in the minute"
    )


class NotificationsConfig(Model):
    """Who is told of alarms. Without rules: CRITICAL by pagerduty and sms, HIGH by slack, MEDIUM and LOW as a digest by email."""

    channels: tuple[Channel, ...] = Field((), description="ways to tell; none: nobody is told")
    people: tuple[Person, ...] = Field((), description="people and desks of rotas and rules")
    rotas: tuple[Rota, ...] = Field((), description="who is on duty")
    rules: tuple[Rule, ...] = Field((), description="which alarms go where")
    hold_seconds: Seconds = Field(300.0, description="repeats of one asset and type are held back for so long (W-144)")
    escalation: Escalation = Field(Escalation(), description="what nobody acknowledges")
    storm: Storm = Field(Storm(), description="protection against floods")
    url: str = Field("", max_length=512, pattern=r"^(https?://\S+)?$", description="address of the page, put into messages as a link")

    @model_validator(mode="after")
    def _unique(self) -> "NotificationsConfig":
        for word, named in (("channels", self.channels), ("people", self.people), ("rotas", self.rotas), ("rules", self.rules)):
            ids = [one.id for one in named]
            if twice := next((one for one in ids if ids.count(one) > 1), None):
                raise ValueError(f"two of the {word} have the id {twice!r}: give each one of its own")
        return self

    @property
    def routes(self) -> tuple[Rule, ...]:
        """The rules in force: those given, or else those of W-141 to W-143 for the channels there are."""
        return self.rules or tuple(_standard(self.channels))

    @property
    def escalates(self) -> tuple[str, ...]:
        """Channels of escalation that exist."""
        known = {channel.id for channel in self.channels}
        return tuple(name for name in self.escalation.channels if name in known)


class _Standard(NamedTuple):
    id: str
    severity: tuple[Severity, ...]
    types: tuple[str, ...]
    digest_seconds: float | None


_STANDARD: Final = (
    _Standard("critical", ("CRITICAL",), ("pagerduty", "sms"), None),
    _Standard("high", ("HIGH",), ("slack",), None),
    _Standard("medium-and-low", ("MEDIUM", "LOW"), ("email",), DIGEST_SECONDS),
)


def _standard(channels: tuple[Channel, ...]) -> Iterator[Rule]:
    """Yield the standard rules. Who is told of escalations only, is told of nothing else."""
    for one in _STANDARD:
        names = tuple(channel.id for channel in channels if channel.type in one.types and channel.id != ONCALL)
        if names:
            yield Rule(id=one.id, severity=one.severity, channels=names, digest_seconds=one.digest_seconds)


def untold(config: NotificationsConfig) -> list[AlarmSeverity]:
    """Return the severities that no rule tells anybody of, whatever the asset and hour."""
    told = {name for rule in config.routes for name in rule.severity}
    return [AlarmSeverity[name] for name in SEVERITIES if name not in told]
