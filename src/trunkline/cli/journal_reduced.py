"""`trunkline journal reduced`: what deadbands kept back, stated exactly."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from trunkline.cli.output import emit, people, plain
from trunkline.cli.telling import telling
from trunkline.config.loading import load
from trunkline.gateway.edge import edge_counts
from trunkline.gateway.reduction import FURTHEST, statements, stored_furthest
from trunkline.log.opening import edge_journal, open_edge_journal
from trunkline.model import times
from trunkline.model.errors import Misconfigured


def reduced(
    file: Annotated[Path, typer.Argument(help="the site file")],
    gateway: Annotated[str, typer.Option(help="id of the gateway")],
    hours: Annotated[int, typer.Option(help="show so many hours; what is said of a source is about all of them")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a source and hour, then a summary")] = False,
) -> None:
    """Say by source and hour how many readings came, how many were kept, and how many their tags' deadbands kept back."""
    with telling():
        site = load(file)
        path = edge_journal(site.data_dir, site.gateway(gateway).id)
        if not path.is_file():
            raise Misconfigured(f"there is no journal {path}: gateway {gateway!r} has never run on this machine")
        with open_edge_journal(site.config.log, site.data_dir, gateway) as journal:
            cells = [one for one in edge_counts(journal.tallies()) if one.category == "telemetry"]
            said = statements(cells, stored_furthest(journal.meta(FURTHEST)))
    if as_json:
        for cell in cells:
            counts = {"came": cell.read + cell.reduced, "kept": cell.read, "kept_back": cell.reduced}
            emit({"gateway": gateway, "source": cell.source, "hour_us": cell.hour * times.HOUR, **counts})
        emit({"gateway": gateway, "sources": msgspec.to_builtins(said)})
        return
    since = times.hour_of(times.now()) - hours
    table = Table("hour", "source", "came", "kept", "kept back", box=None)
    for cell in cells:
        if cell.hour >= since:
            figures = (f"{count:,}" for count in (cell.read + cell.reduced, cell.read, cell.reduced))
            table.add_row(times.to_iso(cell.hour * times.HOUR)[:13], plain(cell.source), *figures)
    people.print(table)
    for one in said:
        people.print(plain(one.sentence), soft_wrap=True)
