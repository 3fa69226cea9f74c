"""Options of the SQL source."""

import re
from pathlib import PurePath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.secrets import redact_text
from trunkline.sources.tables import TableConfig

#: Texts, names and comments, in which ':since' means nothing, or the parameter itself.
_PARTS: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(?<![:\w]):since\b", re.DOTALL)
PARAMETER: Final = ":since"


def with_parameter(query: str, marker: str) -> str:
    """Return a query with each parameter ':since' as the database's client marks it."""
    return _PARTS.sub(lambda part: marker if part[0] == PARAMETER else part[0], query)


def _has_parameter(query: str) -> bool:
    return any(part[0] == PARAMETER for part in _PARTS.finditer(query))


def _check_file(text: str) -> str:
    if text and not PurePath(text).is_absolute():
        raise ValueError(f"{text!r} is not absolute: begin with '/', so that it does not depend on where the gateway was started")
    return text


def _check_dsn(text: str) -> str:
    if redact_text(text) != text:
        raise ValueError("the password stands in the file: write a secret reference in its place, such as password=${secret:name}")
    return text


class SqlConfig(TableConfig):
    """A query that is run again and again; give either `dsn` or `file`."""

    type: Literal["sql"] = "sql"
    dsn: Annotated[str, AfterValidator(_check_dsn)] = Field(
        "",
        description="PostgreSQL: connection string; passwords, or all of it, as secret references",
        examples=["host=mes.example dbname=mes user=reader password=${secret:mes} sslmode=verify-full"],
    )
    file: Annotated[str, AfterValidator(_check_file)] = Field("", description="SQLite: absolute path of the database")
    query: str = Field(min_length=1, max_length=20_000, description="one SELECT; ':since' stands for the last row's value of 'cursor'")
    cursor: str = Field(
        "", max_length=256, description="column that only grows, by which new rows are known; empty: every run gives all rows"
    )
    start: int | float | str = Field(0, description="what ':since' is in the first run")
    poll_seconds: float = Field(10.0, gt=0, le=86_400, description="seconds from one run to the next when nothing more is new")
    timeout: float = Field(10.0, gt=0, le=300, description="longest wait in seconds for a connection, and for a run of the query")

    @model_validator(mode="after")
    def _whole(self) -> "SqlConfig":
        if bool(self.dsn) == bool(self.file):
            raise ValueError("give either 'dsn' (PostgreSQL) or 'file' (SQLite)")
        if self.cursor and not _has_parameter(self.query):
            raise ValueError(f"the query reads all rows each time: add for example WHERE {self.cursor} > :since ORDER BY {self.cursor}")
        if not self.cursor and _has_parameter(self.query):
            raise ValueError("the query has ':since': name the column that it is compared with as 'cursor'")
        return self
