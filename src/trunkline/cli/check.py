"""`trunkline check` and `trunkline schema`: the site file before anything is started."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.output import emit, people
from trunkline.config.loading import check as check_site
from trunkline.config.problems import errors, render
from trunkline.config.schema import json_schema


def check(
    file: Annotated[Path, typer.Argument(help="the site file")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per problem, then a summary")] = False,
) -> None:
    """Report everything that is wrong with a site file, with line and mend. Exits 1 on errors."""
    problems = check_site(file)
    wrong = errors(problems)
    if as_json:
        for problem in problems:
            emit(asdict(problem))
        emit({"file": str(file), "errors": len(wrong), "warnings": len(problems) - len(wrong), "passed": not wrong})
    else:
        people.print(render(problems), markup=False, soft_wrap=True)
    raise typer.Exit(1 if wrong else 0)


def schema() -> None:
    """Print the JSON Schema of site files, for completion in editors."""
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
