"""`trunkline migrate`: brings the historian's database to this version, with the rights that only this needs (P-85, PD-34)."""

from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.output import fail, people
from trunkline.config.loading import load
from trunkline.historian.migrate import check_version
from trunkline.historian.migrate import migrate as apply_migrations
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.wiring import conninfo


def migrate(
    file: Annotated[Path, typer.Argument(help="the site file")],
    check: Annotated[bool, typer.Option("--check", help="change nothing; exit 2 if migrations are missing")] = False,
) -> None:
    """Create or update the historian's tables. 'trunkline up' does it by itself."""
    try:
        site = load(file)
        applied = [] if check else apply_migrations(conninfo(site))
        check_version(conninfo(site))
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(f"{error}: is the database running?", 3)
    for one in applied:
        people.print(f"applied {one.version:04} {one.name}")
    people.print("the database is up to date")
