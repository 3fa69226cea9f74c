"""`trunkline schemas`: what records look like, and whether a new version may follow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from trunkline.cli.output import complain, emit, fail, people, plain
from trunkline.config.loading import load
from trunkline.log.codec.builtin import SUBJECTS
from trunkline.log.codec.canonical import fingerprint, sha256
from trunkline.log.codec.compatibility import Level, judge
from trunkline.log.codec.declarations import InvalidSchema, parse
from trunkline.log.codec.registry import RegistryClient
from trunkline.model.errors import Misconfigured, RetryLater, TrunklineError
from trunkline.registry.client import client_of

T = TypeVar("T")

app = typer.Typer(help="Schemas of records: list, show, register, check.", no_args_is_help=True)

_Site = Annotated[Path, typer.Argument(help="the site file", show_default=False)]
_Subject = Annotated[str, typer.Argument(help="subject, for example telemetry.raw-value", show_default=False)]
_File = Annotated[Path, typer.Argument(help="file with the schema (.avsc)", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object per line on stdout")]


@app.command("list")
def list_(file: _Site, as_json: _Json = False) -> None:
    """Show every subject of the site's registry; without one, the built-in subjects."""
    client = _client(file)
    rows = _ask(lambda: _registered(client)) if client is not None else _built_in()
    if client is not None and (taken := _ask(client.conflicts)):
        complain(
            f"the registry keeps other schemas under the built-in ids {_joined(taken)}: records of third parties with these ids are "
            "misread. Use a registry whose own ids begin at 1000."
        )
    if as_json:
        for row in rows:
            emit(row)
        return
    table = Table("subject", "versions", "ids", "level")
    for row in rows:
        table.add_row(plain(row["subject"]), _joined(row["versions"]), _joined(row["ids"]), row["level"])
    people.print(table)


@app.command()
def show(
    file: _Site,
    subject: Annotated[str, typer.Argument(help="subject, or a schema id")],
    version: Annotated[str, typer.Option(help="number of a version, or 'latest'")] = "latest",
) -> None:
    """Print a schema, with its fingerprints on stderr."""
    client = _client(file) or RegistryClient()
    text = _ask(lambda: _text(client, subject, version))
    schema = parse(text)
    people.print(f"fingerprint {fingerprint(schema):016x} (CRC-64-AVRO), sha-256 {sha256(schema)}")
    typer.echo(json.dumps(json.loads(text), indent=2, ensure_ascii=False))


@app.command()
def register(file: _Site, subject: _Subject, schema: _File) -> None:
    """Register a schema as the next version of a subject; prints its id."""
    client = _client(file)
    if client is None:
        fail(f"{file} has no 'registry:' section: add one", 2)
    emit({"subject": subject, "id": _ask(lambda: client.register(subject, _read(schema)))})


@app.command()
def check(
    schema: _File,
    against: Annotated[list[Path], typer.Option(help="earlier versions, oldest first; may be repeated")] = [],  # noqa: B006 - typer copies it
    level: Annotated[Level, typer.Option(help="what must be kept")] = Level.FULL_TRANSITIVE,
    file: Annotated[Path | None, typer.Option("--site", help="site file: ask its registry instead of reading files")] = None,
    subject: Annotated[str, typer.Option(help="with --site: the subject")] = "",
) -> None:
    """Say whether a schema may follow earlier ones, with the place and the mend of each problem. Exit status 1 when it may not."""
    text = _read(schema)
    if file is None:
        earlier = [(number, parse(_read(one))) for number, one in enumerate(against, 1)]
        messages = [finding.message for finding in judge(parse(text), earlier, level)]
    else:
        client = _client(file)
        if client is None or not subject:
            fail("--site needs a 'registry:' section in the site file, and --subject", 2)
        messages = _ask(lambda: client.incompatibilities(subject, text))
    for message in messages:
        people.print(plain(message), soft_wrap=True)
    emit({"schema": str(schema), "compatible": not messages, "messages": messages})
    if messages:
        raise typer.Exit(1)


def _client(file: Path) -> RegistryClient | None:
    try:
        site = load(file)
        return client_of(site) if site.config.registry is not None else None
    except Misconfigured as error:
        fail(str(error), 2)


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except RetryLater as error:
        fail(f"{error}; is 'trunkline run registry' running?", 3)
    except TrunklineError as error:
        fail(str(error), 1)


def _read(file: Path) -> str:
    try:
        text = file.read_text()
        parse(text)
    except (OSError, UnicodeDecodeError, InvalidSchema) as error:
        fail(f"{file}: {error}", 2)
    return text


def _registered(client: RegistryClient) -> list[dict[str, Any]]:
    rows = []
    for subject in client.subjects():
        versions = client.versions(subject)
        ids = [client.version(subject, number).id for number in versions]
        rows.append({"subject": subject, "versions": versions, "ids": ids, "level": client.level(subject)})
    return rows


def _built_in() -> list[dict[str, Any]]:
    return [
        {
            "subject": subject.name,
            "versions": list(range(1, len(subject.versions) + 1)),
            "ids": [number for number, _ in subject.versions],
            "level": str(subject.level),
        }
        for subject in SUBJECTS
    ]


def _text(client: RegistryClient, subject: str, version: str) -> str:
    if subject.isdigit():
        text = client.schema(int(subject)).text
        if text is None:
            raise Misconfigured(f"schema id {subject} speaks of types of other subjects: show those")
        return text
    for built_in in SUBJECTS:
        if built_in.name == subject:
            numbers = [str(number) for number in range(1, len(built_in.versions) + 1)]
            chosen = numbers[-1] if version == "latest" else version
            if chosen not in numbers:
                raise Misconfigured(f"{subject} has the versions {', '.join(numbers)}")
            return json.dumps(built_in.versions[int(chosen) - 1][1])
    return client.version(subject, version).schema


def _joined(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
