"""What commands print: text for people on stderr, one JSON object per line on stdout for machines."""

import json
import re
import sys
from typing import Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

people = Console(stderr=True, highlight=False)


def emit(document: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def plain(text: object) -> str:
    """Return text of devices, files and errors for `people`: brackets are no markup, and nothing in it can drive the terminal."""
    return escape(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text)))


def complain(message: str) -> None:
    """Say what is wrong and how to mend it."""
    people.print(f"[bold red]error[/] {plain(message)}", soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Complain and exit."""
    complain(message)
    raise typer.Exit(code)
