"""`trunkline alarms`: what stands, what people do about it, and how the alarm system itself is doing."""

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table

from trunkline.cli.moment import moment, seconds_of
from trunkline.cli.output import emit, people, plain
from trunkline.cli.telling import telling
from trunkline.config.loading import load
from trunkline.historian.reader import MAX_ROWS, Reader
from trunkline.log.opening import layout_of
from trunkline.model import times
from trunkline.model.alarms import Action, ActionKind
from trunkline.model.errors import Misconfigured
from trunkline.model.events import Alarm
from trunkline.model.reading import Category
from trunkline.processing.alarms.desk import AlarmList, ask
from trunkline.processing.alarms.report import positions
from trunkline.processing.alarms.report import report as make_report
from trunkline.processing.alarms.report_text import render
from trunkline.processing.alarms.standing import Standing
from trunkline.supervisor.wiring import historian_reader, site_log

app = typer.Typer(help="Alarms: what stands, acknowledge, shelve, report.", no_args_is_help=True)

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
Names = Annotated[list[str], typer.Argument(help="short codes of alarms as 'list' shows them, or keys", show_default=False)]
Reason = Annotated[str, typer.Option(help="why")]
Actor = Annotated[str, typer.Option(help="who; default: the user of this machine")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per alarm")]

_COLOURS: Final = {"CRITICAL": "bold red", "HIGH": "dark_orange", "MEDIUM": "yellow", "LOW": "magenta", "INFO": "dim"}


@app.command("list")
def list_(
    file: SiteFile,
    under: Annotated[str, typer.Option(help="only of this asset and those below")] = "",
    as_json: AsJson = False,
) -> None:
    """Show every alarm that is not at rest, what wants attention first."""
    with telling():
        site = load(file)
        with site_log(site) as log:
            found = [one for one in AlarmList(site).standing(log) if not under or f"{one.asset}.".startswith(f"{under}.")]
    if as_json:
        for one in found:
            emit(msgspec.to_builtins(one))
        return
    if not found:
        people.print("no alarm stands" if site.config.keeps_alarms else f"{plain(file)} has no 'alarms:' section: add definitions to it")
        return
    people.print(_table(found))


def _table(alarms: Sequence[Standing]) -> Table:
    table = Table(box=None)
    for name in ("code", "priority", "state", "alarm", "where", "value", "since"):
        table.add_column(name, overflow="fold")
    for one in alarms:
        colour = _COLOURS[one.severity]
        state = one.state.value.lower().replace("_", " ")
        if one.shelved_until:
            state += f" until {times.to_iso(one.shelved_until)[11:19]}"
        if one.acked_by:
            state += f" by {plain(one.acked_by)}"
        shown = f"{one.value:.6g}" if isinstance(one.value, float) else "" if one.value is None else plain(one.value)
        where = ".".join(part for part in (one.asset, one.tag) if part)
        since = times.to_iso(one.raised_at)[:19] if one.raised_at else ""
        value = f"{shown} {plain(one.unit)}".strip()
        table.add_row(one.code, f"[{colour}]{one.severity}[/]", state, plain(one.type), plain(where), value, since)
    return table


@app.command()
def ack(file: SiteFile, alarms: Names, reason: Reason = "", actor: Actor = "", as_json: AsJson = False) -> None:
    """Acknowledge: say that you have taken note."""
    _act(file, ActionKind.ACKNOWLEDGE, alarms, reason, actor, as_json=as_json)


@app.command()
def reset(file: SiteFile, alarms: Names, reason: Reason = "", actor: Actor = "", as_json: AsJson = False) -> None:
    """Release the latch of an alarm whose condition is gone."""
    _act(file, ActionKind.RESET, alarms, reason, actor, as_json=as_json)


@app.command()
def shelve(
    file: SiteFile,
    alarms: Names,
    reason: Reason,
    lasting: Annotated[str, typer.Option("--for", help="how long: 90s, 15m, 2h")] = "15m",
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Silence for a time; the alarm comes back by itself."""
    _act(file, ActionKind.SHELVE, alarms, reason, actor, lasting=lasting, as_json=as_json)


@app.command()
def unshelve(file: SiteFile, alarms: Names, reason: Reason = "", actor: Actor = "", as_json: AsJson = False) -> None:
    """End shelving early."""
    _act(file, ActionKind.UNSHELVE, alarms, reason, actor, as_json=as_json)


@app.command()
def suppress(
    file: SiteFile,
    alarms: Names,
    reason: Reason,
    lasting: Annotated[str, typer.Option("--for", help="how long: 90s, 15m, 2h")] = "15m",
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Suppress by hand for a time (W-138)."""
    _act(file, ActionKind.SUPPRESS, alarms, reason, actor, lasting=lasting, as_json=as_json)


@app.command()
def unsuppress(file: SiteFile, alarms: Names, reason: Reason = "", actor: Actor = "", as_json: AsJson = False) -> None:
    """End suppression by hand."""
    _act(file, ActionKind.UNSUPPRESS, alarms, reason, actor, as_json=as_json)


@app.command("out-of-service")
def out_of_service(file: SiteFile, alarms: Names, reason: Reason, actor: Actor = "", as_json: AsJson = False) -> None:
    """Take an alarm out of service for maintenance, until it is returned."""
    _act(file, ActionKind.OUT_OF_SERVICE, alarms, reason, actor, as_json=as_json)


@app.command("return")
def return_(file: SiteFile, alarms: Names, reason: Reason = "", actor: Actor = "", as_json: AsJson = False) -> None:
    """Return an alarm to service."""
    _act(file, ActionKind.RETURN_TO_SERVICE, alarms, reason, actor, as_json=as_json)


@app.command()
def comment(file: SiteFile, alarms: Names, text: Annotated[str, typer.Option(help="the remark")], actor: Actor = "") -> None:
    """Leave a remark in the alarm's record."""
    _act(file, ActionKind.COMMENT, alarms, text, actor, as_json=False)


@app.command()
def report(
    file: SiteFile,
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, or '8h', '1d' back from now")] = "8h",
    end: Annotated[str, typer.Option("--to", help="the same; 'now'")] = "now",
    under: Annotated[str, typer.Option(help="only of this asset and those below")] = "",
    as_json: AsJson = False,
) -> None:
    """Tell how the alarm system did: rates against EEMUA 191, floods, bad actors, standing and chattering alarms, times to acknowledge."""
    with telling():
        begin, until = moment(start), moment(end)
        if until <= begin:
            raise Misconfigured(f"--from {start} is not before --to {end}")
        site = load(file)
        with site_log(site) as log:
            standing = [one for one in AlarmList(site).standing(log) if 0 < one.raised_at < begin - times.DAY]
        with historian_reader(site) as reader:
            recorded = _recorded(reader, begin - times.DAY, until, under)
            for one in standing:  # whatever has stood for longer than that
                recorded += _recorded(reader, one.raised_at, one.raised_at + 1, under)
            found = make_report(recorded, begin, until, positions(site.config.alarms))
    if as_json:
        emit(msgspec.to_builtins(found))
    else:
        people.print(render(found))


def _recorded(reader: Reader, begin: int, end: int, under: str) -> list[Alarm]:
    """Return the alarms' transitions of a time."""
    found: list[Alarm] = []
    cursor: str | None = ""
    while cursor is not None:
        page, cursor = reader.events(begin, end, category=Category.ALARM, under=under, limit=MAX_ROWS // 100, cursor=cursor)
        found += [event for event, _ in page if isinstance(event, Alarm)]
    return found


def _act(file: Path, kind: ActionKind, names: Sequence[str], reason: str, actor: str, *, lasting: str = "", as_json: bool) -> None:
    """Ask for one action on each alarm and tell what came of it; exits 1 unless all were done."""
    with telling():
        site = load(file)
        if not site.config.keeps_alarms:
            raise Misconfigured(f"{file} has no 'alarms:' section: add definitions to it")
        seconds = seconds_of(lasting) if lasting else 0.0
        who = actor or getpass.getuser()
        with site_log(site) as log:
            known = {name: one for one in AlarmList(site).standing(log) for name in (one.code, one.key)}
            done = True
            for name in names:
                seen = known.get(name)  # None is at rest: it can be shelved, too
                action = Action(
                    kind=kind,
                    key=seen.key if seen else name,
                    actor=who,
                    reason=reason,
                    occurrence=seen.alarm_id if seen else "",
                    state=seen.state if seen else None,
                    seconds=seconds,
                )
                answer = ask(log, layout_of(site.config.log), action)
                text = answer.text if answer else "no answer: is 'trunkline up' running? Look at the alarm before you ask again"
                done &= answer is not None and answer.done
                _tell(action, answer.done if answer else None, text, as_json=as_json)
    raise typer.Exit(0 if done else 1)


def _tell(action: Action, done: bool | None, text: str, *, as_json: bool) -> None:
    outcome = {True: "done", False: "refused", None: "unknown"}[done]
    if as_json:
        emit({"action": action.kind.value, "key": action.key, "outcome": outcome, "text": text})
        return
    colour = {"done": "green", "refused": "bold red", "unknown": "yellow"}[outcome]
    people.print(f"[{colour}]{outcome}[/] {action.kind.value} {plain(action.key)}{'' if done else f': {plain(text)}'}", soft_wrap=True)
