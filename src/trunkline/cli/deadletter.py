"""`trunkline deadletter`: what was refused, why, and sending it again."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import load
from trunkline.log.opening import layout_of
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.processing.deadletter import ORIGINAL
from trunkline.processing.replay import Letter, find_letter, read_letters
from trunkline.processing.replay import replay as replay_letters
from trunkline.supervisor.wiring import site_log

app = typer.Typer(help="Records that could not be accepted.", no_args_is_help=True)

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, then a summary")]
Where = Annotated[str, typer.Argument(help="topic/partition@offset, as 'list' prints it")]


def _place(letter: Letter) -> str:
    return f"{letter.record.topic}/{letter.record.partition}@{letter.record.offset}"


def _plain(letter: Letter) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(letter.letter)
    return {"place": _place(letter), **plain}


@app.command("list")
def list_letters(
    file: SiteFile,
    reason: Annotated[str, typer.Option(help="only reasons that contain this")] = "",
    tag: Annotated[str, typer.Option(help="only tags that start with this")] = "",
    limit: Annotated[int, typer.Option(help="show the newest so many")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show dead letters with their reasons."""
    try:
        site = load(file)
        with site_log(site) as log:
            found = [one for one in read_letters(log, layout_of(site.config.log)) if _matches(one, reason, tag)]
    except (Misconfigured, RetryLater) as error:
        fail(str(error), 2)
    shown = found[-limit:]
    if as_json:
        for one in shown:
            emit(_plain(one))
        emit({"total": len(found), "shown": len(shown)})
        return
    table = Table("place", "refused at", "gateway source", "tag", "value", "reason", box=None)
    for one in shown:
        letter = one.letter
        value = "" if letter.value is None else str(letter.value)[:24]
        cells = (_place(one), times.to_iso(letter.at_us), letter.source or "", letter.tag or "", value, letter.reason)
        table.add_row(*map(plain, cells))
    people.print(table)
    people.print(f"{len(found):,} dead letters, {len(shown):,} shown" if found else "no dead letters: validation refused nothing")


def _matches(letter: Letter, reason: str, tag: str) -> bool:
    return reason in letter.letter.reason and (letter.letter.tag or "").startswith(tag)


def _parse(where: str) -> tuple[TopicPartition, int]:
    try:
        topic, rest = where.split("/")
        partition, offset = rest.split("@")
        return TopicPartition(topic, int(partition)), int(offset)
    except ValueError:
        fail(f"{where!r} is no place of a dead letter: use topic/partition@offset, as 'trunkline deadletter list' prints it", 2)


@app.command()
def show(file: SiteFile, where: Where, as_json: AsJson = False) -> None:
    """Show one dead letter with its original bytes."""
    at, offset = _parse(where)
    try:
        site = load(file)
        with site_log(site) as log:
            letter = find_letter(log, at, offset, layout_of(site.config.log))
    except (Misconfigured, RetryLater) as error:
        fail(str(error), 2)
    original = letter.record.header(ORIGINAL) or b""
    document = {**_plain(letter), "original_hex": original[:4096].hex(), "original_bytes": len(original)}
    if as_json:
        emit(document)
    else:
        people.print_json(data=document)


@app.command()
def replay(
    file: SiteFile,
    where: Annotated[str, typer.Argument(help="topic/partition@offset; empty with --all or a filter")] = "",
    reason: Annotated[str, typer.Option(help="all whose reason contains this")] = "",
    tag: Annotated[str, typer.Option(help="all whose tag starts with this")] = "",
    everything: Annotated[bool, typer.Option("--all", help="all of them")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters to validation again: once each, however often this is called."""
    if not (where or reason or tag or everything):
        fail("say which: a place, --reason, --tag or --all", 2)
    try:
        site = load(file)
        layout = layout_of(site.config.log)
        with site_log(site) as log:
            if where:
                letters = [find_letter(log, *_parse(where), layout)]
            else:
                letters = [one for one in read_letters(log, layout) if _matches(one, reason, tag)]
            tags = {path: entry.tag for path, entry in site.tags().items()}
            results = list(replay_letters(log, layout, tags, letters))
    except (Misconfigured, RetryLater) as error:
        fail(str(error), 2)
    refused = [one for one in results if one.problem]
    for one in refused:
        if as_json:
            emit({"place": _place(one.letter), "problem": one.problem})
        else:
            people.print(f"[bold red]✕[/] {plain(_place(one.letter))}: {plain(one.problem)}", soft_wrap=True)
    if as_json:
        emit({"sent": len(results) - len(refused), "refused": len(refused), "passed": not refused})
    else:
        people.print(f"{len(results) - len(refused):,} sent again, {len(refused):,} cannot be sent")
    raise typer.Exit(1 if refused else 0)
