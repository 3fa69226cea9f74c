"""The command line in this process: quick, for commands that start nothing."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from trunkline.cli.main import app


class Said(NamedTuple):
    """What a command left: `out` is for machines, `text` what people see, without the line breaks of a narrow terminal."""

    code: int
    out: str
    text: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The output as JSON, one object a line and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]


def trunkline(*arguments: str | Path) -> Said:
    """Run a command. An exception that escapes it fails the test: people must never see a traceback."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    return Said(result.exit_code, result.stdout, " ".join(result.stderr.split()))
