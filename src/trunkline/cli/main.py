"""The `trunkline` command."""

import typer

from trunkline.cli import run

app = typer.Typer(
    name="trunkline",
    help="An open industrial data platform: reads field devices, loses nothing, proves it.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=True,
)
app.add_typer(run.app, name="run")
