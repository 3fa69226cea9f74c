"""`trunkline derived try`: what a formula gives at a moment, from history, before anything is deployed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from trunkline.cli.moment import moment
from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, load
from trunkline.config.problems import nearest
from trunkline.historian.reader import Reader, UnknownTag
from trunkline.historian.readings import ValueAt
from trunkline.model import quality, times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.expressions import Expression
from trunkline.model.quality import Severity
from trunkline.model.reading import Value
from trunkline.model.tags import TagPath
from trunkline.supervisor.wiring import historian_reader

app = typer.Typer(help="Tags that are reckoned from others.", no_args_is_help=True)


@app.callback()
def derived() -> None:
    """Tags that are reckoned from others (docs/how-to/derived-tags.md)."""


@app.command("try")
def try_(
    calc: Annotated[str, typer.Argument(help="an expression, or the path of a derived tag of the site file", show_default=False)],
    file: Annotated[Path, typer.Option("--site", help="the site file")],
    at: Annotated[str, typer.Option(help="ISO 8601 with a zone, 'now', or '15m', '2h', '3d' back from now")] = "now",
    home: Annotated[str, typer.Option(help="asset whose tags are named without it")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per input, then the result")] = False,
) -> None:
    """Show what an expression gives at a moment: inputs, result, unit."""
    try:
        when, site = moment(at), load(file)
        expression = _expression(site, calc, home)
        unit = _unit(site, expression)
        with historian_reader(site) as reader:
            inputs = {tag: _held(reader, tag, when) for tag in expression.tags}
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {file}' running?", 3)
    result = expression.value(
        {tag: held.value for tag, held in inputs.items() if held is not None},
        {tag: held is not None and quality.severity(held.quality) is Severity.GOOD for tag, held in inputs.items()},
        {tag: None if held is None else (when - held.from_time) / times.SECOND for tag, held in inputs.items()},
    )
    if as_json:
        for tag, held in inputs.items():
            emit({"tag": tag, "unit": _unit_of(site, tag), **_shown(held, when)})
        emit({"calc": expression.text, "home": expression.home, "at": times.to_iso(when), "value": result, "unit": unit})
    else:
        people.print(_table(site, inputs, when))
        answer = "no value" if result is None else plain(_words(result))
        people.print(f"[bold]{answer}[/] {plain(unit)}", soft_wrap=True)


def _expression(site: Site, calc: str, home: str) -> Expression:
    """Return the expression meant. Raises ValueError naming a tag that the site does not have."""
    known = {one.path: one for one in site.config.derived}
    if home:
        TagPath.parse(home)
    expression = known[calc].expression if calc in known else Expression(calc, home)
    tags = site.tags()
    for tag in expression.tags:
        if tag not in tags:
            guess = nearest(tag, tags)
            raise ValueError(f"{site.file} has no tag {tag}" + (f": did you mean {guess}?" if guess else ""))
    return expression


def _unit(site: Site, expression: Expression) -> str:
    """Return the unit that comes out, in words; '' where it is not known. Raises ValueError where the inputs' units do not fit."""
    from trunkline.config.units import quantity_of  # noqa: PLC0415 - pint is slow to import, and other commands need none

    given = quantity_of(expression.tree, {path: entry.tag.unit for path, entry in site.tags().items()})
    return given.text if given.factor is not None else ""


def _unit_of(site: Site, tag: str) -> str:
    return site.tags()[tag].tag.unit


def _held(reader: Reader, tag: str, when: int) -> ValueAt | None:
    try:
        return reader.at(tag, when)
    except UnknownTag:  # in the site file, but nothing was stored yet
        return None


def _shown(held: ValueAt | None, when: int) -> dict[str, Value]:
    if held is None:
        return {"value": None, "quality": None, "time": None, "age_s": None}
    age = (when - held.from_time) / times.SECOND
    return {"value": held.value, "quality": quality.name(held.quality), "time": times.to_iso(held.from_time), "age_s": age}


def _words(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _table(site: Site, inputs: dict[str, ValueAt | None], when: int) -> Table:
    table = Table("tag", "value", "unit", "quality", "time", "age", box=None)
    for tag, held in inputs.items():
        shown = _shown(held, when)
        value = "—" if held is None or held.value is None else _words(held.value)
        age = "" if held is None else f"{shown['age_s']:.6g} s"
        cells = (tag, value, _unit_of(site, tag), str(shown["quality"] or "never seen"), str(shown["time"] or ""), age)
        table.add_row(*map(plain, cells))
    return table
