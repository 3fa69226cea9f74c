"""A file of definitions by themselves, to be tried before they go into the site file; its sections are those of the site file."""

from pathlib import Path

from pydantic import Field, ValidationError

from trunkline.config import document
from trunkline.config.examining import problems_of
from trunkline.config.problems import InvalidSite, errors
from trunkline.config.rules import AnyRule
from trunkline.config.tags import Model


class Definitions(Model):
    """Definitions that can be tried over history."""

    rules: tuple[AnyRule, ...] = Field((), description="quality rules")


def read_definitions(path: Path) -> Definitions:
    """Read a file of definitions.

    Raises:
        InvalidSite: with every error, its line and mend.
    """
    read = document.read(path)
    found = list(read.problems)
    if not errors(found) and not isinstance(read.data, dict):
        found.append(read.problem((), "a file of definitions has sections", "start with 'rules:' and a list, as in the site file"))
    if not errors(found):
        try:
            return Definitions.model_validate(read.data)
        except ValidationError as error:
            found.extend(problems_of(error, Definitions, (), read))
    raise InvalidSite(sorted(set(found)))
