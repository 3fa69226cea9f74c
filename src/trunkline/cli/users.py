"""`trunkline users`: accounts of people, on the machine itself."""

from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.output import fail, people
from trunkline.config.loading import load
from trunkline.model.errors import TrunklineError
from trunkline.security.users import reset_password

app = typer.Typer(help="Accounts of people.", no_args_is_help=True)


@app.command("reset-password")
def reset(
    file: Annotated[Path, typer.Argument(help="the site file")],
    username: Annotated[str, typer.Argument(help="whose password")] = "admin",
) -> None:
    """Give somebody a new password; it is shown once and ends the account's sessions."""
    try:
        password = reset_password(load(file).data_dir, username)
    except TrunklineError as error:
        fail(str(error), 2)
    people.print(f"new password of [bold]{username}[/]: [bold]{password}[/]")
