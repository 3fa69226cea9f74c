"""What commands print: text for people on stderr, one JSON object per line on stdout for machines."""

import json
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

people = Console(stderr=True, highlight=False)


def emit(document: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong and how to mend it, and exit."""
    people.print(f"[bold red]error[/] {message}", markup=True)
    raise typer.Exit(code)
