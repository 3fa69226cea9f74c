"""`trunkline rollups`: show statistics of a tag, and check all of them against the readings."""

import math
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.table import Table

from trunkline.cli.moment import moment
from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, load
from trunkline.config.rollups import TierName
from trunkline.historian.reader import UnknownTag
from trunkline.historian.rollup.check import Difference, Report
from trunkline.historian.rollup.check import check as recompute
from trunkline.historian.rollup.reading import RollupSeries
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.wiring import conninfo, historian_reader

app = typer.Typer(help="Statistics of tags over seconds, minutes, hours and days.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="the site file")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per row, then a summary")]
_SHOWN: Final = 50
_FIGURES: Final = ("avg", "tw_avg", "min", "max", "first", "last", "p50", "p95", "p99", "total")


@app.command()
def show(
    file: File,
    tag: Annotated[str, typer.Argument(help="tag path")],
    tier: Annotated[TierName, typer.Option(help="length of the buckets")] = "1min",
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, or '15m', '2h', '3d' back from now")] = "1h",
    end: Annotated[str, typer.Option("--to", help="the same; 'now'")] = "now",
    as_json: Json = False,
) -> None:
    """Show the rollups of a tag."""
    try:
        begin, until = moment(start), moment(end)
        site = load(file)
        with historian_reader(site) as reader:
            found = reader.rollup(tag, tier, begin, until)
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except UnknownTag:
        fail(f"history has no tag {tag!r}: 'trunkline status {file}' shows whether its source is connected", 1)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {file}' running?", 3)
    rows = _rows(found)
    if as_json:
        for row in rows:
            emit(row)
        emit({"tag": tag, "tier": tier, "unit": found.unit, "buckets": len(rows)})
    else:
        people.print(_table(rows[-_SHOWN:], site))
        people.print(f"{len(rows):,} buckets of {plain(tag)}" + (f", the last {_SHOWN} shown" if len(rows) > _SHOWN else ""))


@app.command()
def check(
    file: File,
    tag: Annotated[str, typer.Option(help="only this tag")] = "",
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, or '15m', '2h', '3d' back from now; default: all")] = "",
    end: Annotated[str, typer.Option("--to", help="the same; 'now'")] = "now",
    as_json: Json = False,
) -> None:
    """Compute every bucket again by SQL from the readings. Exits 1 if a statistic differs, and says where."""
    try:
        site = load(file)
        begin = moment(start) if start else None
        zone = ZoneInfo(site.config.timezone)
        report = recompute(conninfo(site), site.config.rollups, zone, tag=tag, from_time=begin, to_time=moment(end))
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {file}' running?", 3)
    passed = not report.differences
    if as_json:
        for difference in report.differences:
            emit(msgspec.to_builtins(difference))
        emit({**_counts(report), "differences": len(report.differences), "passed": passed})
    else:
        for difference in report.differences[:_SHOWN]:
            people.print(f"[bold red]✕[/] {plain(_words(difference))}", soft_wrap=True)
        people.print(f"{report.buckets:,} buckets of {report.tags:,} tags computed again, {report.behind:,} not yet made")
        people.print("all as the readings say" if passed else f"[bold red]{len(report.differences):,} figures differ[/]")
    raise typer.Exit(0 if passed else 1)


def _counts(report: Report) -> dict[str, int]:
    return {"tags": report.tags, "buckets": report.buckets, "behind": report.behind}


def _words(one: Difference) -> str:
    where = f"{one.tag} {one.tier} {times.to_iso(one.start)} {one.statistic}"
    if one.statistic == "row":
        return f"{where}: is missing" if one.stored is None else f"{where}: is there without a reading"
    return f"{where}: stored {one.stored}, the readings say {one.computed}"


def _rows(found: RollupSeries) -> list[dict[str, object]]:
    """Return the buckets with names and units for people; None where there is no figure."""
    rows: list[dict[str, object]] = []
    for row, stop, deviation, good in zip(found.rows, found.stop.tolist(), found.stddev.tolist(), found.percent_good.tolist(), strict=True):
        figures = {name: None if math.isnan(row[name]) else float(row[name]) for name in _FIGURES}
        counts = {name: int(row[name]) for name in ("revision", "n", "uncertain", "bad")}
        window = {"start": times.to_iso(int(row["start"])), "stop": times.to_iso(stop)}
        rows.append({**window, **counts, "percent_good": round(good, 3), **figures, "stddev": None if math.isnan(deviation) else deviation})
    return rows


def _table(rows: list[dict[str, object]], site: Site) -> Table:
    shown = Table(box=None)
    names = ("start", "n", "percent_good", "avg", "tw_avg", "min", "max", "p95", "total", "revision")
    zone = ZoneInfo(site.config.timezone)
    for name in names:
        words = {"percent_good": "good %", "revision": "rev"}.get(name, name.replace("_", " "))
        shown.add_column(words, justify="left" if name == "start" else "right", no_wrap=True)
    for row in rows:
        begin = times.to_datetime(times.from_iso(str(row["start"]))).astimezone(zone).strftime("%m-%d %H:%M:%S")
        cells = ["—" if row[name] is None else f"{row[name]:.5g}" if isinstance(row[name], float) else str(row[name]) for name in names[1:]]
        shown.add_row(begin, *cells)
    return shown
