"""`trunkline notify`: who is told what, what was sent, and a test of each channel."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import msgspec
import typer
import yaml
from rich.table import Table

from trunkline.cli.moment import moment
from trunkline.cli.output import emit, fail, people, plain
from trunkline.cli.telling import telling
from trunkline.config.alert_rules import as_notifications, read_alert_rules
from trunkline.config.channels import ADDRESSED
from trunkline.config.loading import Site, load
from trunkline.config.notifications import SEVERITIES
from trunkline.config.problems import did_you_mean
from trunkline.log.codec.notifications import decode_delivery
from trunkline.log.following import partitions_of, read_last
from trunkline.log.opening import layout_of
from trunkline.log.port import StoredRecord
from trunkline.model import times
from trunkline.model.errors import CorruptData, Misconfigured, Rejected, RetryLater
from trunkline.model.events import AlarmSeverity
from trunkline.model.notifications import Delivery, NotificationRequest, RequestKind
from trunkline.processing.notify.routing import Routing
from trunkline.processing.notify.transition import Transition
from trunkline.sinks.notify import port
from trunkline.sinks.notify.making import make_sender
from trunkline.sinks.notify.topics import topics_of
from trunkline.supervisor.wiring import site_log

app = typer.Typer(help="Who is told of alarms, and what was sent.", no_args_is_help=True)

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, then a summary")]
Severity = Annotated[str, typer.Option(help="CRITICAL, HIGH, MEDIUM or LOW")]
At = Annotated[str, typer.Option(help="when the alarm comes: an ISO time with its offset, or 'now'")]
Asset = Annotated[str, typer.Option(help="asset of the alarm, for example PLANT01.AREA02.UNIT_05")]
Tag = Annotated[str, typer.Option(help="its tag, for example FLOW_RATE")]
Type = Annotated[str, typer.Option("--type", help="its type, for example HIGH_FLOW")]


def _alarm(severity: str, at: str, asset: str, tag: str, kind: str) -> Transition:
    name = severity.upper()
    if name not in SEVERITIES:
        raise Misconfigured(f"--severity {severity!r} is not known: {did_you_mean(name, SEVERITIES, 'known are')}")
    return Transition(
        id="", occurrence="", standing="active", live=True, time=moment(at), severity=AlarmSeverity[name], asset=asset, tag=tag, type=kind
    )


@dataclass(frozen=True)
class _Told:
    """One line of 'who': a channel, whom it reaches, and when."""

    channel: str
    type: str
    receivers: list[str]
    when: str
    rules: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        return {"channel": self.channel, "type": self.type, "receivers": self.receivers, "when": self.when, "rules": list(self.rules)}


def _told(site: Site, alarm: Transition) -> Iterable[_Told]:
    """Yield what would be told to whom."""
    config = site.config.notifications
    routing = Routing(config, site.config.timezone)
    kinds = {channel.id: channel.type for channel in config.channels}
    for one in routing.destinations(alarm):
        when = "at once" if one.digest_us is None else f"collected, every {one.digest_us / times.MINUTE:g} min"
        yield _Told(one.channel, kinds[one.channel], _receivers(site, one.channel, one.people), when, one.rules)
    escalation = config.escalation
    if alarm.severity.name in escalation.severity:
        after = round(escalation.after_seconds * times.SECOND)
        for name in config.escalates:
            on_duty = routing.people(escalation, alarm.time + after)
            when = f"after {after / times.MINUTE:g} min, unless acknowledged"
            yield _Told(name, kinds[name], _receivers(site, name, on_duty), when, ())


def _receivers(site: Site, channel: str, named: tuple[str, ...]) -> list[str]:
    """Return addresses where a channel needs them, and otherwise the people that its message names."""
    config = site.config.notifications
    found = next(one for one in config.channels if one.id == channel)
    if found.type not in ADDRESSED:
        return list(named)
    key = ADDRESSED[found.type]
    reached = [f"{one.id} <{address}>" for one in config.people if one.id in named and (address := getattr(one, key))]
    return reached or list(getattr(found, "recipients" if key == "email" else "phone_numbers"))


@app.command()
def who(
    file: SiteFile, severity: Severity, at: At = "now", asset: Asset = "", tag: Tag = "", kind: Type = "ALARM", as_json: AsJson = False
) -> None:
    """Say what would be told to whom, were such an alarm to come now or at a time."""
    with telling():
        site = load(file)
        alarm = _alarm(severity, at, asset, tag, kind)
        told = list(_told(site, alarm))
    if as_json:
        for one in told:
            emit(one.document)
        emit({"told": len(told), "at": times.to_iso(alarm.time), "passed": bool(told)})
    else:
        table = Table("channel", "type", "receivers", "when", "rules", box=None)
        for one in told:
            table.add_row(*map(plain, (one.channel, one.type, ", ".join(one.receivers) or "—", one.when, ", ".join(one.rules))))
        people.print(table if told else "nobody would be told")
    raise typer.Exit(0 if told else 1)


@app.command()
def route(
    file: SiteFile, severity: Severity, at: At = "now", asset: Asset = "", tag: Tag = "", kind: Type = "ALARM", as_json: AsJson = False
) -> None:
    """Show every rule, and why it fits such an alarm or does not."""
    with telling():
        site = load(file)
        alarm = _alarm(severity, at, asset, tag, kind)
        verdicts = Routing(site.config.notifications, site.config.timezone).verdicts(alarm)
    fitting = sum(not why for _, why in verdicts)
    if as_json:
        for rule, why in verdicts:
            emit({"rule": rule.id, "fits": not why, "why_not": why, "channels": list(rule.channels)})
        emit({"rules": len(verdicts), "fit": fitting, "passed": fitting > 0})
    else:
        for rule, why in verdicts:
            mark = f"[dim]-[/] {plain(rule.id)}: not its {why}" if why else f"[green]✓[/] {plain(rule.id)}: {', '.join(rule.channels)}"
            people.print(mark)
        people.print(f"{fitting} of {len(verdicts)} rules fit")
    raise typer.Exit(0 if fitting else 1)


@app.command("log")
def delivery_log(
    file: SiteFile,
    channel: Annotated[str, typer.Option(help="only this channel")] = "",
    outcome: Annotated[str, typer.Option(help="only delivered, superseded, expired or refused")] = "",
    limit: Annotated[int, typer.Option(min=1, help="show the newest so many")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was sent, and what became of it."""

    def wanted(record: StoredRecord) -> bool:
        entry = _entry(record)
        return entry is not None and channel in ("", entry.channel) and outcome in ("", entry.outcome.value)

    with telling():
        site = load(file)
        topic = topics_of(layout_of(site.config.log)).log
        with site_log(site) as log:
            found = [entry for record in read_last(log, partitions_of(log, topic), limit, wanted) if (entry := _entry(record)) is not None]
    if as_json:
        for entry in found:
            emit({**msgspec.to_builtins(entry), "severity": entry.severity.name, "at": times.to_iso(entry.at)})
        emit({"shown": len(found), "passed": True})
        return
    table = Table("at", "channel", "kind", "outcome", "subject", "detail", box=None)
    for entry in found:
        cells = (times.to_iso(entry.at), entry.channel, entry.kind, entry.outcome, entry.subject, entry.detail)
        table.add_row(*map(plain, cells))
    people.print(table if found else "nothing was sent yet")


def _entry(record: StoredRecord) -> Delivery | None:
    try:
        return decode_delivery(record)
    except CorruptData:
        return None


@app.command("test")
def send_test(file: SiteFile, channel: Annotated[str, typer.Argument(help="id of the channel")], as_json: AsJson = False) -> None:
    """Send a test message by one channel now, and say what the receiver answers; an incident is resolved at once."""
    with telling():
        site = load(file)
        config = site.config.notifications
        found = next((one for one in config.channels if one.id == channel), None)
        if found is None:
            known = [one.id for one in config.channels]
            raise Misconfigured(f"{file} has no channel {channel!r}; {did_you_mean(channel, known, 'it has')}")
        sender = make_sender(found, config, port.Site(site.name, site.config.title), site.secrets)
    key = f"test-{uuid4()}"
    kinds = (RequestKind.TRIGGER, RequestKind.RESOLVE) if found.type == "pagerduty" else (RequestKind.TRIGGER,)
    try:
        said = [sender.send(_test_request(channel, kind, key), times.now()) for kind in kinds]
    except (Rejected, RetryLater) as error:
        why = site.secrets.redact(str(error))
        if as_json:
            emit({"channel": channel, "sent": False, "detail": why, "passed": False})
        fail(why, 3 if isinstance(error, RetryLater) else 1)
    if as_json:
        emit({"channel": channel, "sent": True, "detail": site.secrets.redact(said[0]), "passed": True})
    else:
        people.print(f"sent by {plain(channel)}: {plain(site.secrets.redact(said[0]))}")


def _test_request(channel: str, kind: RequestKind, key: str) -> NotificationRequest:
    return NotificationRequest(
        id=str(uuid4()),
        channel=channel,
        kind=kind,
        dedup_key=key,
        severity=AlarmSeverity.LOW,
        time=times.now(),
        subject="Test of this channel",
        text="Somebody tested this channel with 'trunkline notify test'. There is nothing to do.",
        type="TEST",
    )


@app.command("import")
def import_rules(
    file: Annotated[Path, typer.Argument(help="an alert_rules.yaml")],
    mail_server: Annotated[str, typer.Option(help="host that e-mails are sent by; the file does not say")] = "",
    mail_sender: Annotated[str, typer.Option(help="address that e-mails come from")] = "",
) -> None:
    """Print what an alert_rules.yaml says as section 'notifications' of a site file."""
    with telling():
        section = as_notifications(read_alert_rules(file), mail_server, mail_sender)
    typer.echo(yaml.safe_dump({"notifications": section}, sort_keys=False, allow_unicode=True), nl=False)
    people.print("put it into the site file; 'trunkline check' says which secrets are missing")
