"""Options of the file source."""

import codecs
import re
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Model
from trunkline.sources.jsonpath import check_path
from trunkline.sources.tables import Column, TableConfig


def _check_pattern(text: str) -> str:
    if not PurePath(text).is_absolute():
        raise ValueError(f"{text!r} is not absolute: begin with '/', so that it does not depend on where the gateway was started")
    return text


def _check_encoding(text: str) -> str:
    try:
        single = "\n0".encode(codecs.lookup(text).name) == b"\n0"
    except LookupError:
        raise ValueError(f"{text!r} is no encoding: use for example utf-8, latin-1 or cp1252") from None
    if not single:
        raise ValueError(f"{text!r} takes more than a byte for a line end: have the file written as UTF-8")
    return text


def _check_expression(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    if not groups:
        raise ValueError(f"{text!r} has no named group: write (?P<name>…) around each part that is a column")
    return text


class Csv(Model):
    """Rows with a delimiter (RFC 4180, but a row is one line)."""

    syntax: Literal["csv"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1, description='between columns; a tab is "\\t"')
    quote: str = Field('"', min_length=1, max_length=1, description="around columns that contain the delimiter; doubled inside")
    decimal: Literal[".", ","] = Field(".", description="sign before the fractions of numbers")
    header: int = Field(1, ge=0, le=100, description="line with the names of the columns, counted from 1; 0: none, columns are numbers")
    first: int = Field(0, ge=0, le=1_000, description="first line with values; 0: the one after the header")
    comment: str = Field("", max_length=8, description="lines that begin like this are passed over; empty: none")

    @model_validator(mode="after")
    def _ordered(self) -> "Csv":
        if self.first and self.first <= self.header:
            raise ValueError(f"'first' ({self.first}) must come after 'header' ({self.header})")
        if len({self.delimiter, self.quote, self.decimal}) < 3:
            raise ValueError("'delimiter', 'quote' and 'decimal' must differ: files with a decimal comma have ';' or a tab between columns")
        return self

    @property
    def rows_from(self) -> int:
        """Number of the first line with values, counted from 1."""
        return self.first or self.header + 1


class Lines(Model):
    """Lines of any shape; the named groups of a regular expression are the columns."""

    syntax: Literal["lines"]
    pattern: Annotated[str, AfterValidator(_check_expression)] = Field(
        description="regular expression, searched for in each line", examples=[r"^(?P<time>\S+) flow=(?P<flow>\S+)"]
    )
    others: Literal["report", "ignore"] = Field("report", description="what to do with lines that it does not match")
    decimal: Literal[".", ","] = Field(".", description="sign before the fractions of numbers")


class JsonLines(Model):
    """A JSON object in each line; columns are its members, or JSONPaths (RFC 9535) that begin with '$'."""

    syntax: Literal["jsonl"]


Format = Annotated[Csv | Lines | JsonLines, Field(discriminator="syntax")]


class FileConfig(TableConfig):
    """Files that somebody else writes, read while they grow."""

    type: Literal["file"] = "file"
    files: Annotated[str, AfterValidator(_check_pattern)] = Field(
        description="absolute path, or a pattern with *, ?, [] and ** for several files", examples=["/data/logger/*.csv"]
    )
    format: Format = Field(Csv(), description="syntax of the lines: csv, lines or jsonl, with its options")
    encoding: Annotated[str, AfterValidator(_check_encoding)] = Field(
        "utf-8", description="of the text: utf-8, latin-1, cp1252 or another in which a line end is one byte"
    )
    poll_seconds: float = Field(1.0, gt=0, le=3_600, description="seconds until files that had nothing new are looked at again")
    max_line_bytes: int = Field(65_536, ge=80, le=1_000_000, description="longer lines are reported and passed over")
    last_line_after: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="seconds without change after which a last line without a line end counts as complete; absent: it waits for its end",
    )

    @model_validator(mode="after")
    def _columns_exist(self) -> "FileConfig":
        for column in self.columns:
            self._check_column(column)
        return self

    def _check_column(self, column: Column) -> None:
        match self.format:
            case Csv(header=0) if isinstance(column, str):
                raise ValueError(f"column {column!r}: without a header line columns are numbers, counted from 1")
            case Lines(pattern=pattern) if column not in (names := re.compile(pattern).groupindex):
                raise ValueError(f"column {column!r} is no group of the pattern: there are {', '.join(names)}")
            case JsonLines() if not isinstance(column, str):
                raise ValueError(f"column {column}: members of JSON objects have names, not numbers")
            case JsonLines() if isinstance(column, str) and column.startswith("$"):
                check_path(column)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column that is named."""
        named = [self.timestamp.column] if self.timestamp else []
        if self.long:
            named += [self.long.tag, self.long.value, *([self.long.quality] if self.long.quality else [])]
        for tag in self.tags:
            named += [column for column in (tag.column, tag.quality) if column is not None]
        return tuple(dict.fromkeys(named))
