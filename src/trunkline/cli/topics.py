"""`trunkline topics`: the catalogue against the log, and a browser for the log (E-69, ED-22)."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from trunkline.cli.kafka_login import Login, browsing, cluster_admin, logged_in
from trunkline.cli.output import emit, fail, people, plain
from trunkline.cli.telling import telling
from trunkline.cli.topic_plans import apply, drift, plan
from trunkline.config.loading import Site, load
from trunkline.log.codec.envelope import Class, validate
from trunkline.log.following import require
from trunkline.log.journal.journal import Journal
from trunkline.log.layouts.spec import Form, TopicSpec
from trunkline.log.opening import layout_of
from trunkline.log.port import Log, Record, TopicPartition
from trunkline.model import times
from trunkline.model.reading import Category

app = typer.Typer(help="Topics: what there should be, what there is, what is in them.", no_args_is_help=True)
for command in (plan, apply, drift):
    app.command()(command)

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
TopicName = Annotated[str, typer.Argument(help="topic; 'trunkline topics list' shows them")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, then a summary")]


@app.command("list")
def list_topics(file: SiteFile, login: Login = "", as_json: AsJson = False) -> None:
    """Show every topic with its partitions, records and purpose."""
    with telling():
        site = logged_in(load(file), login)
        layout = layout_of(site.config.log)
        with browsing(site) as log:
            rows = [_row(log, name, layout.spec(name), site.config.log.form) for name in sorted(log.topics())]
    missing = [spec.name for spec in layout.specs() if spec.name not in {row["topic"] for row in rows}]
    if as_json:
        for row in rows:
            emit(row)
        emit({"topics": len(rows), "missing": missing})
        return
    table = Table(
        Column("topic", no_wrap=True),
        "partitions",
        "records",
        "bytes",
        "form",
        "purpose",
        box=None,
    )
    for row in rows:
        size = "" if row["bytes"] is None else f"{row['bytes']:,}"
        table.add_row(
            plain(row["topic"]), str(row["partitions"]), f"{row['records']:,}", size, row["form"] or "", plain(row["purpose"] or "—")
        )
    people.print(table)
    if missing:
        people.print(f"[yellow]![/] not there: {plain(', '.join(missing))}: 'trunkline topics apply {plain(file)}'", soft_wrap=True)


def _row(log: Log, name: str, spec: TopicSpec | None, form: Form) -> dict[str, Any]:
    bounds = log.bounds(name)
    return {
        "topic": name,
        "partitions": len(bounds),
        "records": sum(end - first for first, end in bounds.values()),
        "bytes": log.size(name) if isinstance(log, Journal) else None,
        "form": _written(spec, form) if spec else None,
        "owner": spec.owner if spec else None,
        "purpose": spec.purpose if spec else None,
    }


def _written(spec: TopicSpec, form: Form) -> Form:
    """Return the form that the site's own records have on a topic."""
    if spec.form == "block" or (form == "json" and spec.carries is not None and spec.carries[1] != "dead"):
        return form
    return spec.form


@app.command()
def show(file: SiteFile, topic: TopicName, login: Login = "", as_json: AsJson = False) -> None:
    """Show one topic: who answers for it, partitions, offsets, settings, and how far each group has read it."""
    with telling():
        site = logged_in(load(file), login)
        with browsing(site) as log:
            require(log, topic)
            found = _row(log, topic, spec := layout_of(site.config.log).spec(topic), site.config.log.form)
            found["readers"] = list(spec.readers) if spec else []
            found["writers"] = list(spec.writers) if spec else []
            found["settings"] = _settings(site, log, topic)
            found["offsets"] = [
                {"partition": at.partition, "first": first, "next": end} for at, (first, end) in sorted(log.bounds(topic).items())
            ]
            found["groups"] = [row for row in _lags(site, log) if row["topic"] == topic]
    if as_json:
        emit(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    people.print(f"[bold]{plain(found['topic'])}[/]  {plain(found['purpose'] or 'not in the catalogue')}", soft_wrap=True)
    facts = {"form": found["form"], "owner": found["owner"], "writers": ", ".join(found["writers"]), "readers": ", ".join(found["readers"])}
    for name, value in {**facts, **found["settings"]}.items():
        people.print(f"  {plain(name)}: {plain(value or '—')}", soft_wrap=True)
    table = Table("partition", "first", "next", "records", box=None)
    for one in found["offsets"]:
        table.add_row(str(one["partition"]), f"{one['first']:,}", f"{one['next']:,}", f"{one['next'] - one['first']:,}")
    people.print(table)
    for row in found["groups"]:
        people.print(f"  group {plain(row['group'])}: {row['lag']:,} records behind")


def _settings(site: Site, log: Log, topic: str) -> dict[str, str]:
    """Return what the engine knows of a topic's settings, in Kafka's names."""
    if site.config.log.engine == "kafka":
        found = cluster_admin(site).look([topic]).topics.get(topic)
        return {"replication": str(found.replication), **found.settings} if found else {}
    kept = log.topics()[topic].retention_us
    return {"retention.ms": "-1" if kept is None else str(kept // 1000)}


@app.command()
def groups(file: SiteFile, login: Login = "", as_json: AsJson = False) -> None:
    """Show how far each group has read each topic, and how much lies before it."""
    with telling():
        site = logged_in(load(file), login)
        with browsing(site) as log:
            rows = _lags(site, log)
    if as_json:
        for row in rows:
            emit(row)
        emit({"groups": len({row["group"] for row in rows}), "lag": sum(row["lag"] for row in rows)})
        return
    table = Table("group", Column("topic", no_wrap=True), "partitions", "behind", box=None)
    for row in rows:
        table.add_row(plain(row["group"]), plain(row["topic"]), str(len(row["partitions"])), f"{row['lag']:,}")
    people.print(table if rows else "no group has read anything yet")


def _lags(site: Site, log: Log) -> list[dict[str, Any]]:
    """Return, for each group and topic, the partitions with committed offset and lag."""
    names = log.groups() if isinstance(log, Journal) else sorted(cluster_admin(site).groups())
    rows = []
    for group in names:
        by_topic: dict[str, list[dict[str, int]]] = {}
        bounds: dict[TopicPartition, tuple[int, int]] = {}
        for at, offset in sorted(log.committed(group).items()):
            if at.topic not in by_topic:
                bounds |= log.bounds(at.topic)
            first, end = bounds[at]
            lag = max(0, end - max(first, offset))
            by_topic.setdefault(at.topic, []).append({"partition": at.partition, "committed": offset, "next": end, "lag": lag})
        for topic, parts in by_topic.items():
            rows.append({"group": group, "topic": topic, "lag": sum(part["lag"] for part in parts), "partitions": parts})
    return rows


def _useless(spec: TopicSpec, value: bytes) -> str:
    """Return why a record written by hand would only become a dead letter on a topic of readings, or ''."""
    if spec.form != "block":
        return ""
    if spec.carries != (Category.TELEMETRY, "raw"):
        return "holds what validation lets pass: write to the raw topic, or let a source read it"
    message, reason = validate(value)
    if message is not None and message.category is not Class.TELEMETRY:
        reason = f"a message of category {message.category}"
    return f"holds blocks, which gateways make, and takes the plant's envelopes; this is neither: {reason}" if reason else ""


@app.command()
def produce(
    file: SiteFile,
    topic: TopicName,
    value: Annotated[str | None, typer.Option(help="the record's value, as text")] = None,
    source: Annotated[Path | None, typer.Option("--file", help="file with the record's value, as it is")] = None,
    key: Annotated[str | None, typer.Option(help="the record's key; decides its partition")] = None,
    header: Annotated[list[str] | None, typer.Option(help="NAME=TEXT; may be repeated")] = None,
    partition: Annotated[int | None, typer.Option(help="write to this partition, whatever the key")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    raw: Annotated[bool, typer.Option(help="also to topics whose records are blocks that only the platform can make")] = False,
    login: Login = "",
    as_json: AsJson = False,
) -> None:
    """Write one record."""
    with telling():
        record = Record(_value(value, source), None if key is None else key.encode(), _headers(header or []), None, partition)
        site = logged_in(load(file), login)
        spec = layout_of(site.config.log).spec(topic)
        if spec is not None and not raw and (reason := _useless(spec, record.value)):
            fail(f"{topic} {reason}. --raw writes it all the same", 2)
        if not yes and not typer.confirm(f"Write {len(record.value):,} bytes to {topic} of site {site.name}?", err=True):
            fail("nothing was written", 1)
        with browsing(site) as log:
            (at, following), *_ = log.append(topic, [record]).items()
    if as_json:
        emit({"topic": at.topic, "partition": at.partition, "offset": following - 1, "at": times.to_iso(times.now())})
    else:
        people.print(f"written to {plain(at.topic)}/{at.partition}@{following - 1}")


def _value(value: str | None, source: Path | None) -> bytes:
    if (value is None) == (source is None):
        raise ValueError("give the value once: with --value or with --file")
    if value is not None:
        return value.encode()
    assert source is not None
    try:
        return source.read_bytes()
    except OSError as error:
        raise ValueError(f"{source}: {(error.strerror or 'cannot be read').lower()}") from error


def _headers(given: list[str]) -> tuple[tuple[str, bytes], ...]:
    pairs = [text.partition("=") for text in given]
    if bad := [name for name, equals, _ in pairs if not equals or not name]:
        raise ValueError(f"{bad[0]!r} is no header: write NAME=TEXT")
    return tuple((name, text.encode()) for name, _, text in pairs)
