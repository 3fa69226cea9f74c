"""`trunkline sources`: the source plugins that are installed, and a package for a new one."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.output import emit, fail, people, plain
from trunkline.model.errors import Misconfigured
from trunkline.sources.catalogue import Installed, installed
from trunkline.sources.options import BEGIN, END, options, readme_with
from trunkline.sources.port import plugin
from trunkline.sources.scaffold import write_package

app = typer.Typer(help="Source plugins: what is installed, their options, a package for a new one.", no_args_is_help=True)


@app.command("list")
def list_sources(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per source, then a summary")] = False,
) -> None:
    """List every installed source, whose it is, what it can do and where its page is. Exits 1 when one cannot be used."""
    found = installed()
    broken = sum(bool(one.error) for one in found)
    for one in found:
        if as_json:
            emit(asdict(one))
        else:
            _tell(one)
    if as_json:
        emit({"sources": len(found), "broken": broken, "passed": not broken})
    raise typer.Exit(1 if broken else 0)


def _tell(one: Installed) -> None:
    package = plain(f"{one.distribution} {one.version} ({one.module})")
    if one.error:
        people.print(f"[bold red]{plain(one.name)}[/]  cannot be used  {package}\n    {plain(one.error)}", soft_wrap=True)
        return
    does = ", ".join(["reads", *(["writes"] if one.can_write else []), *(["browses"] if one.can_browse else [])])
    people.print(f"[bold]{plain(one.name)}[/]  {does}  {package}\n    {plain(one.summary)}", soft_wrap=True)
    if one.page:
        people.print(f"    {plain(one.page)}", soft_wrap=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="name of an installed source")],
    into: Annotated[
        Path | None, typer.Option(help=f"put the table of options into this page, between {BEGIN} and {END}", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, with the options as JSON Schema")] = False,
) -> None:
    """Print the options of a source and its example, as Markdown."""
    try:
        found = plugin(name)
    except Misconfigured as error:
        fail(str(error), 2)
    if into is not None:
        page = readme_with(into.read_text("utf-8"), options(found))
        if page is None:
            fail(f"{into} has no place for the options: put {BEGIN} and {END} there", 2)
        into.write_text(page, "utf-8")
        return
    described = next(one for one in installed() if one.name == name)
    example = Path(described.example).read_text("utf-8") if described.example else ""
    if as_json:
        emit({**asdict(described), "example": example, "options": found.config.model_json_schema()})
    else:
        shown = f"\n## Example\n\n```yaml\n{example}```" if example else ""
        typer.echo(f"# Source `{name}`\n\n{described.summary}\n\n## Options\n\n{options(found)}{shown}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="name of the source, for 'type' in site files", show_default=False)],
    directory: Annotated[Path | None, typer.Option("--dir", help="empty or new folder; default: trunkline-NAME")] = None,
) -> None:
    """Write a package with a new source: code, options, example, page, tests with the contract of sources, Dockerfile."""
    try:
        folder = write_package(name, directory)
    except Misconfigured as error:
        fail(str(error), 2)
    shown = plain(folder)
    people.print(f"wrote [bold]{shown}[/]: a source that works, and the device it reads", soft_wrap=True)
    people.print(f"    python -m pip install -e '{shown}{plain('[testing]')}'\n    python -m pytest {shown}", soft_wrap=True)
