"""`trunkline journal`: what is in an edge journal, whether it is whole, and what can be saved of a damaged one."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.progress import Progress
from rich.table import Column, Table

from trunkline.cli.edge_key import naming_the_key
from trunkline.cli.journal_copy import export, import_
from trunkline.cli.journal_reduced import reduced
from trunkline.cli.output import emit, fail, people, plain
from trunkline.cli.telling import telling
from trunkline.config.loading import load
from trunkline.gateway.buffer import LAST_BUFFER, LastBuffer
from trunkline.gateway.forecast import buffer_problems, span
from trunkline.gateway.outbox import LANES, Lane, stored_lanes
from trunkline.ledger.status import BufferStatus
from trunkline.log.journal import inspecting, reading, schema, space
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.reserve import Reserve
from trunkline.log.journal.salvage import beside
from trunkline.log.journal.sealing import Key
from trunkline.log.opening import edge_journal, edge_key, key_named
from trunkline.log.topics import TABLES, Layout
from trunkline.model import times
from trunkline.model.errors import CorruptData, Misconfigured

app = typer.Typer(help="Edge journals: look, check, salvage, carry by hand.", no_args_is_help=True)
app.command("export")(export)
app.command("import")(import_)
app.command("reduced")(reduced)

JournalFile = Annotated[Path, typer.Argument(help="a journal's file; with --gateway the site file")]
GatewayId = Annotated[str, typer.Option("--gateway", help="id of the gateway whose journal it is, in the site file")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, then a summary")]

_FIGURES: Final = ("records", "waiting", "bytes")


def journal_file(file: Path, gateway: str) -> Path:
    """Return the journal that the command line names. Raises Misconfigured."""
    if not gateway:
        return file
    site = load(file)
    return edge_journal(site.data_dir, site.gateway(gateway).id)


@contextmanager
def _with_key(file: Path, gateway: str) -> Iterator[Key | None]:
    """Yield the key that the site file names, None without one or without a site file; what is wrong with it is told with its place."""
    if not gateway:
        yield None
        return
    site = load(file)
    with naming_the_key(site, gateway):
        yield edge_key(site.gateway(gateway), site.secrets)


def _category(topic: str) -> str:
    """Return the class of a raw topic's records in whatever layout knows it, else 'platform'."""
    for name in TABLES:
        category = Layout(name, 1).categories("raw").get(topic)
        if category is not None:
            return category.name.lower()
    return "platform"


@app.command()
def show(file: JournalFile, gateway: GatewayId = "", as_json: AsJson = False) -> None:
    """Show what a journal holds and what it takes; changes nothing, also beside a running gateway."""
    with telling():
        path = journal_file(file, gateway)
        try:
            topics, summary = _look(path)
        except CorruptData as error:
            fail(f"{error}: see 'trunkline journal check'")
    if as_json:
        for topic in topics:
            emit(topic)
        emit(summary)
    else:
        _tell(topics, summary)


def _look(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    with inspecting.looking(path) as db:
        inspecting.require_journal(db, path)
        try:
            identity = schema.journal_id(db)
            lanes = stored_lanes(schema.fact(db, LANES))
            topics = _topics(inspecting.partitions(db), lanes)
            known = schema.fact(db, LAST_BUFFER)
            lost = [one for one in reading.quarantined(db) if one.kind != "skipped"]
            taken = space.measure(db, beside(path, "-wal"))
            can_shrink = schema.shrinks(db)
            sealing = inspecting.sealing(db)
        except (sqlite3.Error, UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise CorruptData(f"{path} cannot be read: {error}") from error
    last = msgspec.json.decode(known, type=LastBuffer) if known else None
    aside = sorted(one.name for one in path.parent.glob(f"{path.name}.corrupt-*"))
    return topics, {
        "journal": str(path),
        "id": identity,
        "file_bytes": taken.file,
        "free_bytes": taken.free,
        "wal_bytes": taken.wal,
        "held_bytes": Reserve(beside(path, ".reserve"), 0).held,
        "shrinks": can_shrink,
        "sealed_with": sealing.key if sealing else None,
        "plain_records": sealing.plain_records if sealing else None,
        "waiting": sum(topic["waiting"] for topic in topics),
        "as_of_us": last.at_us if last else None,
        "buffer": msgspec.to_builtins(last.buffer) if last else None,
        "lost": [f"{one.topic}/{one.partition}@{one.first} to {one.next - 1}: {one.reason}" for one in lost],
        "set_aside": aside,
    }


def _topics(partitions: list[inspecting.Partition], lanes: dict[Any, Lane]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in partitions:
        topic = found.setdefault(one.at.topic, {"topic": one.at.topic, "class": _category(one.at.topic), "partitions": 0})
        figures = {"records": one.next - one.first, "waiting": lanes.get(one.at, Lane()).waiting(one.first, one.next), "bytes": one.bytes}
        topic["partitions"] += 1
        for name in _FIGURES:
            topic[name] = topic.get(name, 0) + figures[name]
        topic["oldest_us"] = min((at for at in (topic.get("oldest_us"), one.oldest) if at is not None), default=None)
        topic["newest_us"] = max((at for at in (topic.get("newest_us"), one.newest) if at is not None), default=None)
    return list(found.values())


def _tell(topics: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    widest = max((len(topic["topic"]) for topic in topics), default=0)
    table = Table(Column("topic", min_width=widest), "class", "records", "waiting", "size", "oldest", "newest", box=None)
    for topic in topics:
        ends = [times.to_iso(at)[:19] if at is not None else "—" for at in (topic["oldest_us"], topic["newest_us"])]
        cells = (f"{topic['records']:,}", f"{topic['waiting']:,}", f"{topic['bytes'] / 1e6:,.2f} MB")
        table.add_row(plain(topic["topic"]), topic["class"], *cells, *ends)
    people.print(table)
    sizes = ((name, summary[f"{name}_bytes"] / 1e6) for name in ("file", "free", "wal", "held"))
    people.print(", ".join(f"{name} {size:,.1f} MB" for name, size in sizes) + f"; journal {summary['id']}", soft_wrap=True)
    if summary["sealed_with"] is not None:
        plainly = f"; {summary['plain_records']:,} records from before are not" if summary["plain_records"] else ""
        people.print(f"sealed, with the key {summary['sealed_with']}{plainly}")
    if summary["buffer"] is not None:
        buffer = msgspec.convert(summary["buffer"], BufferStatus)
        room = f"{buffer.bytes / 1e6:,.1f} MB of {(buffer.max_bytes - buffer.reserved_bytes) / 1e6:,.1f} MB used"
        people.print(f"{room}, {buffer.reserved_bytes / 1e6:,.1f} MB reserved for alarms, at {times.to_iso(summary['as_of_us'])[:19]}")
        full = f"full in {span(buffer.full_in_s)} at that rate" if buffer.full_in_s is not None else "does not grow"
        people.print(full)
        for problem in buffer_problems(buffer, summary["as_of_us"]):
            people.print(f"[yellow]{plain(problem)}[/]", soft_wrap=True)
    for place in summary["lost"]:
        people.print(f"[bold red]lost to damage[/] {plain(place)}", soft_wrap=True)
    for name in summary["set_aside"]:
        people.print(f"set aside when it was mended: {plain(name)}", soft_wrap=True)


@app.command()
def check(file: JournalFile, gateway: GatewayId = "", as_json: AsJson = False) -> None:
    """Check structure, seals, marks and every batch's checksum. Exits 1 and names what is wrong; changes nothing."""
    with telling(), _with_key(file, gateway) as key:
        path = journal_file(file, gateway)
        with Progress(console=people, transient=True) as bar:
            task = bar.add_task("batches", total=None)
            checked = inspecting.check(path, key, lambda done, of: bar.update(task, completed=done, total=of))
    for flaw in checked.flaws:
        if as_json:
            emit({"place": flaw.place, "problem": flaw.what})
        else:
            people.print(f"[bold red]✕[/] {plain(flaw.place)}: {plain(flaw.what)}", soft_wrap=True)
    figures = {"batches": checked.batches, "records": checked.records, "bytes": checked.bytes, "known_losses": len(checked.known)}
    figures["unopened_batches"] = checked.unopened
    if as_json:
        emit({"journal": str(path), "id": checked.id, **figures, "problems": len(checked.flaws), "passed": not checked.flaws})
    else:
        people.print(f"{checked.batches:,} batches with {checked.records:,} records are whole, {len(checked.flaws):,} problems")
        if checked.unopened:
            text = f"{checked.unopened:,} of them are sealed: their checksums are right; whether they open was not tried, "
            people.print(text + "for want of the key: name the site file and --gateway", soft_wrap=True)
        if checked.flaws:
            people.print("a gateway mends its journal when it opens it; 'trunkline journal salvage' shows first what can be saved")
    raise typer.Exit(1 if checked.flaws else 0)


@app.command()
def salvage(
    file: JournalFile,
    to: Annotated[Path, typer.Option(help="the new file")],
    gateway: GatewayId = "",
    as_json: AsJson = False,
) -> None:
    """Carry what is whole in a damaged journal into a new file, and say what is lost. The damaged file stays as it is."""
    with telling(), _with_key(file, gateway) as key:
        path = journal_file(file, gateway)
        if not path.is_file():
            raise Misconfigured(f"there is no journal {path}: name its file, or the site file and --gateway")
        with Progress(console=people, transient=True) as bar:
            task = bar.add_task("pages", total=None)
            inspecting.salvage_into(to, path, key, lambda done, of: bar.update(task, completed=done, total=of))
        checked = inspecting.check(to, key)
        with inspecting.looking(to) as db:
            kept = {f"{one.at.topic}/{one.at.partition}": inspecting.records(db, one.at) for one in inspecting.partitions(db)}
    lost = [one for one in checked.known if one.kind != "skipped"]
    for one in lost:
        place = f"{one.topic}/{one.partition}@{one.first} to {one.next - 1}"
        if as_json:
            emit({"lost": place, "records": one.next - one.first, "reason": one.reason})
        else:
            people.print(f"[bold red]lost[/] {plain(place)}: {plain(one.reason)}", soft_wrap=True)
    summary = {"journal": str(to), "id": checked.id, "batches": checked.batches, "records": checked.records, "lost_ranges": len(lost)}
    if as_json:
        emit({**summary, "partitions": kept, "passed": not checked.flaws})
    else:
        for name, records in kept.items():
            people.print(f"{plain(name)}: {records:,} records")
        people.print(f"{checked.records:,} records are carried over into {plain(str(to))}, {len(lost)} ranges are lost", soft_wrap=True)
    raise typer.Exit(0 if not checked.flaws else 1)


@app.command()
def rekey(
    file: Annotated[Path, typer.Argument(help="the site file; it names the new key")],
    gateway: GatewayId,
    before: Annotated[str, typer.Option("--from", help="secret reference of the key until now, such as '${secret:NAME}'")],
) -> None:
    """Let the key that the site file names open the journal, instead of the one before. Records stay as they are; the gateway may run."""
    with telling():
        site = load(file)
        with naming_the_key(site, gateway):
            new = edge_key(site.gateway(gateway), site.secrets)
            if new is None:
                raise Misconfigured(f"gateway {gateway!r} has no 'buffer.encryption.key' in {file}: name the new key there")
            path = edge_journal(site.data_dir, gateway)
            with inspecting.looking(path) as db:
                sealing = inspecting.sealing(db)
            if sealing is None:
                raise Misconfigured(f"journal {path} is not sealed: it is from the gateway's next start on")
            if sealing.key != new.fingerprint:
                with Journal(path, key=key_named(before, site.secrets)) as journal:
                    journal.rekey(new)
    people.print(f"the journal of {plain(gateway)} opens with the key {new.fingerprint}")
