"""`trunkline ledger`: does the ledger balance, and where not."""

import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table

from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import load
from trunkline.ledger.balance import Balance, Row, unbalanced
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.wiring import account

_AGAIN_SECONDS: Final = 0.5
_COLUMNS: Final = ("read", "waiting", "forwarded", "dropped", "in_transit", "stored", "rejected", "deduplicated", "missing", "surplus")


def ledger(
    file: Annotated[Path, typer.Argument(help="the site file")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per row, then a summary")] = False,
    settle: Annotated[float, typer.Option(help="wait up to so many seconds for it to balance")] = 0.0,
    hours: Annotated[int, typer.Option(help="show so many hours; all are balanced")] = 24,
) -> None:
    """Balance every reading by gateway, source and hour. Exits 1 if it does not close, and says where."""
    try:
        site = load(file)
        result = account(site)
        deadline = time.monotonic() + settle
        while not (result.balanced and result.quiet) and time.monotonic() < deadline:
            time.sleep(_AGAIN_SECONDS)
            result = account(site)
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {file}' running?", 3)
    problems = unbalanced(result)
    if as_json:
        for row in result.rows:
            emit(msgspec.to_builtins(row))
        holes = msgspec.to_builtins(result.holes)
        emit({"balanced": result.balanced, "quiet": result.quiet, **result.totals, "holes": holes, "problems": problems})
    else:
        people.print(_table(result, hours))
        for problem in problems:
            people.print(f"[bold red]✕[/] {plain(problem)}", soft_wrap=True)
        words = "balanced" if result.balanced else "[bold red]not balanced[/]"
        people.print(f"{words} at {times.to_iso(result.at_us)}{'' if result.quiet else ', data is moving'}")
    raise typer.Exit(0 if result.balanced else 1)


def _table(result: Balance, hours: int) -> Table:
    table = Table(box=None)
    for name in ("hour", "gateway", "source", "class"):
        table.add_column(name)
    for name in _COLUMNS:
        table.add_column(name.replace("_", " "), justify="right")
    since = result.at_us - hours * times.HOUR
    for row in result.rows:
        if row.hour_us >= since or not row.balanced:
            names = (plain(row.gateway), plain(row.source or "—"), row.category)
            table.add_row(times.to_iso(row.hour_us)[:13], *names, *_figures(row))
    table.add_section()
    table.add_row("all", "", "", "", *(f"{result.totals[name]:,}" for name in _COLUMNS))
    return table


def _figures(row: Row) -> list[str]:
    figures = [f"{getattr(row, name):,}" for name in _COLUMNS]
    for place, name in enumerate(_COLUMNS):
        if name in {"missing", "surplus"} and getattr(row, name):
            figures[place] = f"[bold red]{figures[place]}[/]"
    return figures
