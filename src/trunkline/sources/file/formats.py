"""Lines to rows: CSV, groups of a regular expression, JSON objects; and rows to readings."""

import csv
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trunkline.model.reading import Kind, Reading, Value
from trunkline.sources.decoding import Undecodable, checked_value, parse_json, parse_text
from trunkline.sources.file.config import Csv, FileConfig, JsonLines, Lines
from trunkline.sources.file.tail import Line
from trunkline.sources.jsonpath import compile_path
from trunkline.sources.tables import ABSENT, Column, Finder, Getter, Parse, Row, TableDecoder

_BYTE_ORDER_MARK = "\ufeff"


class LineDecoder:
    """Decodes the lines of one file.

    Attributes:
        missing: what is wrong with the file's header; empty when nothing is.
    """

    def __init__(self, config: FileConfig, header: bytes | None) -> None:
        """Prepare for a file.

        Args:
            config: what its lines look like.
            header: its line with the names of the columns, for CSV with a header.
        """
        self._config = config
        self._header = header
        self._first = 1
        self.missing = ""
        decimal = "." if isinstance(config.format, JsonLines) else config.format.decimal
        self._row: Callable[[str], Row | None]
        parse: Parse
        match config.format:
            case Csv() as form:
                self._first = form.rows_from
                self._comment = form.comment
                names = None if header is None else self._names(form, header)
                self._row = _csv_reader(form, len(names) if names else 0, config.columns)
                find = _csv_finder(names)
            case Lines() as form:
                self._row = _line_reader(form)
                find = _group_finder
            case JsonLines():
                self._row = _json_row
                find = _member_finder
        parse = partial(checked_value, max_text_bytes=config.max_line_bytes)
        if not isinstance(config.format, JsonLines):
            parse = _of_text(decimal, parse)
        self._table = TableDecoder(config, find, parse, decimal=decimal)

    def _names(self, form: Csv, header: bytes) -> list[str]:
        """Return the names in a header; none, and what is `missing`, if it makes no sense."""
        try:
            names = [name.strip() for name in _csv_row(form, _text(header, self._config.encoding))]
        except Undecodable as error:
            self.missing = f"the header makes no sense: {error}"
            return []
        absent = [column for column in self._config.columns if not _is_in(column, names)]
        if absent:
            self.missing = f"no column {absent[0]!r} in the header: there are {', '.join(names)[:400]}"
        return names

    def decode(self, line: Line, now: int) -> tuple[list[Reading], str]:
        """Return the readings of a line, and what is wrong with it: empty when nothing is."""
        if line.number < self._first or (line.data is not None and line.data == self._header):
            return [], ""  # loggers that start again write their header again
        if line.data is None:
            return [], f"longer than {self._config.max_line_bytes} bytes"
        try:
            text = _text(line.data, self._config.encoding)
            if not text.strip() or (isinstance(self._config.format, Csv) and self._comment and text.startswith(self._comment)):
                return [], ""
            row = self._row(text)
        except Undecodable as error:
            return [], str(error)
        return ([], "") if row is None else self._table.decode(row, now)


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix(_BYTE_ORDER_MARK).removesuffix("\r")
    except UnicodeDecodeError as error:
        raise Undecodable(f"not {encoding} text: {error.reason} at byte {error.start + 1}") from error


def _csv_row(form: Csv, text: str) -> list[str]:
    try:
        return next(csv.reader((text,), delimiter=form.delimiter, quotechar=form.quote, strict=True))
    except (csv.Error, StopIteration) as error:
        raise Undecodable(f"not CSV: {error}") from error


def _csv_reader(form: Csv, width: int, columns: Sequence[Column]) -> Callable[[str], list[str]]:
    least = max((column for column in columns if isinstance(column, int)), default=0)

    def read(text: str) -> list[str]:
        # a quoted part is what costs; most files have none
        row = _csv_row(form, text) if form.quote in text else text.split(form.delimiter)
        if width and len(row) != width:
            raise Undecodable(f"{len(row)} columns, the header has {width}")
        if len(row) < least:
            raise Undecodable(f"{len(row)} columns, number {least} is wanted")
        return row

    return read


def _is_in(column: Column, names: Sequence[str]) -> bool:
    return column in names if isinstance(column, str) else column <= len(names)


def _csv_finder(names: Sequence[str] | None) -> Finder:
    def find(column: Column) -> Getter:
        place = column - 1 if isinstance(column, int) else names.index(column) if names and column in names else None
        return lambda row: row[place] if place is not None else ABSENT

    return find


def _line_reader(form: Lines) -> Callable[[str], dict[str, Any] | None]:
    expression = re.compile(form.pattern)

    def read(text: str) -> dict[str, Any] | None:
        found = expression.search(text)
        if found is None and form.others == "report":
            raise Undecodable("the pattern does not match")
        return None if found is None else found.groupdict()

    return read


def _group_finder(column: Column) -> Getter:
    return lambda row: row[column]


def _json_row(text: str) -> dict[str, Any]:
    document = parse_json(text)
    if not isinstance(document, dict):
        raise Undecodable("not a JSON object")
    return document


def _member_finder(column: Column) -> Getter:
    name = str(column)
    if not name.startswith("$"):
        return lambda row: row.get(name, ABSENT)
    path = compile_path(name)

    def get(row: Row) -> object:
        found = path(row)
        return found[0] if found else ABSENT

    return get


def _of_text(decimal: str, check: Parse) -> Parse:
    """Return a function that reads cells of text with a decimal sign."""

    def parse(raw: object, kind: Kind) -> Value:
        text = str(raw)
        return check(parse_text(text if kind is Kind.TEXT else text.replace(decimal, "."), kind), kind)

    return parse
