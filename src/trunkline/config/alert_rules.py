"""Reads an `alert_rules.yaml` (W-140 to W-143) and says the same as section `notifications` of a site file.

The site file stays the only place that is read at run time; what the other form does not know (the mail server, Slack's address, who sends
the SMS) is given or becomes a secret reference.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from trunkline.config import document
from trunkline.config.channels import Mail, Phone
from trunkline.config.explain import explain
from trunkline.config.notifications import Severities
from trunkline.config.problems import InvalidSite, errors
from trunkline.config.secrets import references
from trunkline.config.tags import Model, Seconds
from trunkline.model.errors import Misconfigured

_SPAN: Final = re.compile(r"(\d+)\s*(s|sec|min|m|h)?")
_UNITS: Final = {"s": 1, "sec": 1, None: 1, "m": 60, "min": 60, "h": 3600}


def _seconds(given: object) -> object:
    found = _SPAN.fullmatch(given.strip()) if isinstance(given, str) else None
    if isinstance(given, str) and found is None:
        raise ValueError(f"{given!r} is no span: write seconds, or '15min'")
    return int(found[1]) * _UNITS[found[2]] if found is not None else given


class _PagerDuty(Model):
    type: Literal["pagerduty"]
    integration_key: str = Field(min_length=1)


class _Sms(Model):
    type: Literal["sms"]
    phone_numbers: tuple[Phone, ...] = Field(min_length=1)


class _Slack(Model):
    type: Literal["slack"]
    channel: str = ""


class _Email(Model):
    type: Literal["email"]
    recipients: tuple[Mail, ...] = Field(min_length=1)
    digest_interval: Annotated[Seconds, BeforeValidator(_seconds)] | None = None


_Action = Annotated[_PagerDuty | _Sms | _Slack | _Email, Field(discriminator="type")]


class _Condition(Model):
    severity: Severities


class _Rule(Model):
    name: str = ""
    condition: _Condition
    actions: tuple[_Action, ...] = Field(min_length=1)


class AlertRules(Model):
    """The file."""

    rules: tuple[_Rule, ...] = Field(min_length=1)


def read_alert_rules(path: Path) -> AlertRules:
    """Read the file. Raises InvalidSite with every error of it, each with line and mend."""
    read = document.read(path)
    if errors(read.problems):
        raise InvalidSite(read.problems)
    try:
        return AlertRules.model_validate(read.data)
    except ValidationError as error:
        found = [(detail, *explain(detail, AlertRules)) for detail in error.errors(include_url=False)]
        raise InvalidSite(
            [read.problem(detail["loc"], message, mend, key=detail["type"] == "extra_forbidden") for detail, message, mend in found]
        ) from None


def as_notifications(given: AlertRules, mail_server: str = "", mail_sender: str = "") -> dict[str, Any]:
    """Return section `notifications`.

    Args:
        given: the file.
        mail_server: host that e-mails are sent by, which the file does not tell.
        mail_sender: address that they come from.

    Raises:
        Misconfigured: there are e-mails to send, and one of these is missing.
    """
    channels: dict[str, dict[str, Any]] = {}
    rules: list[dict[str, Any]] = []
    for number, rule in enumerate(given.rules, 1):
        base = re.sub(r"[^a-z0-9_-]+", "-", rule.name.lower()).strip("-_")[:48] or f"rule-{number}"
        named: dict[float | None, list[str]] = {}
        for action in rule.actions:
            digest = action.digest_interval if isinstance(action, _Email) else None
            named.setdefault(digest, []).append(_placed(_channel(action, mail_server, mail_sender), channels))
        for digest, names in named.items():
            name = base if digest is None or len(named) == 1 else f"{base}-digest-{digest:g}"
            fresh = {"id": name, "severity": list(rule.condition.severity), "channels": names}
            rules.append(fresh if digest is None else {**fresh, "digest_seconds": digest})
    return {"channels": list(channels.values()), "rules": rules}


def _channel(action: _PagerDuty | _Sms | _Slack | _Email, mail_server: str, mail_sender: str) -> dict[str, Any]:
    if isinstance(action, _PagerDuty):
        written_out = not references(action.integration_key)
        return {"type": "pagerduty", "integration_key": "${secret:pagerduty}" if written_out else action.integration_key}
    if isinstance(action, _Sms):
        return {"type": "sms", "url": "${secret:sms-provider}", "phone_numbers": list(action.phone_numbers)}
    if isinstance(action, _Slack):
        return {"type": "slack", "url": "${secret:slack-webhook}", "channel": action.channel}
    if not mail_server or not mail_sender:
        raise Misconfigured("the file has e-mails, and does not say by which server: give --mail-server and --mail-sender")
    return {"type": "email", "host": mail_server, "sender": mail_sender, "recipients": list(action.recipients)}


def _placed(channel: dict[str, Any], channels: dict[str, dict[str, Any]]) -> str:
    """Return the id of a channel: of one like it that is there already, or a new one."""
    for name, other in channels.items():
        if {"id": name, **channel} == other:
            return name
    kind = channel["type"]
    name = kind if kind not in channels else f"{kind}-{sum(other['type'] == kind for other in channels.values()) + 1}"
    channels[name] = {"id": name, **channel}
    return name
