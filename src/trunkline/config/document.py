"""YAML text into plain Python values, with a way back to the line that a value came from.

libyaml reads the text (a site of 10,000 tags in well under a second; a parser in pure Python takes several). Scalars follow the core
schema of YAML 1.2, so that `on`, `no` and 12:30 stay text. Merge keys (`<<`) and anchors work; other tags do not.
"""

import math
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from trunkline.config.problems import Location, Problem, dotted

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 64
#: Values after aliases are written out: a guard against documents that unfold to more than any machine holds.
MAX_VALUES: Final = 5_000_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS: Final[dict[str, bool | float | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
}  # fmt: skip
_STANDARD: Final = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """A file that was read.

    Attributes:
        file: its name as given.
        text: what it holds.
        data: the value; None when it could not be read.
        problems: what is wrong with its form.
    """

    file: str
    text: str = ""
    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    _root: Any = None

    def problem(self, location: Location, message: str, mend: str = "", *, key: bool = False, warning: bool = False) -> Problem:
        """Return a problem at a place in the data: at its value, or at its key with `key`.

        `location` holds keys and positions from the root; steps that the data does not have are passed over.
        """
        line, column, found = self._locate(location, key=key)
        return Problem(self.file, line, column, dotted(found), message, mend, "warning" if warning else "error")

    def line(self, location: Location) -> int:
        """Return the line, from 1, at which a value starts."""
        return self._locate(location, key=True)[0]

    def _locate(self, location: Location, *, key: bool) -> tuple[int, int, Location]:
        if self._root is None:
            self._root = yaml.compose(self.text, Loader=_LOADER)
        node, mark = self._root, self._root.start_mark
        found: list[str | int] = []
        last = len(location) - 1
        for position, step in enumerate(location):
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                mark = node.start_mark
                found.append(step)
            elif isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == str(step)), None)
                if pair is not None:
                    # an empty value has its mark on the next line; the key says more
                    mark = pair[0].start_mark if (key and position == last) or not pair[1].value else pair[1].start_mark
                    node = pair[1]
                    found.append(step)
                elif position == last:
                    found.append(step)
        return mark.line + 1, mark.column + 1, tuple(found)


class _Mark(Protocol):
    """Where something stands, from 0."""

    line: int
    column: int


class _Event(Protocol):
    """What the parser of PyYAML yields; not every kind has every attribute."""

    start_mark: _Mark
    anchor: str | None
    tag: str | None
    implicit: tuple[bool, bool]
    value: str


class _Malformed(Exception):
    def __init__(self, mark: _Mark, message: str, mend: str) -> None:
        super().__init__(message)
        self.mark, self.message, self.mend = mark, message, mend


def read(path: Path) -> Document:
    """Read a YAML file. Never raises for what is in it: `Document.problems` tells."""
    document = Document(str(path))
    try:
        if path.stat().st_size > MAX_BYTES:
            return _failed(document, f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", "this is hardly a site file")
        raw = path.read_bytes()
    except OSError as error:
        return _failed(document, f"cannot be read: {error.strerror or error}", "give the path of a site file that this user may read")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        return _failed(document, f"byte 0x{raw[error.start]:02x} is not UTF-8", "save the file as UTF-8", line, column)
    return parse(text, str(path))


def parse(text: str, file: str) -> Document:
    """Read YAML text; `file` names it in problems."""
    document = Document(file, text)
    builder = _Builder(file)
    try:
        document.data = builder.build(text)
    except _Malformed as error:
        builder.problems.append(Problem(file, error.mark.line + 1, error.mark.column + 1, "", error.message, error.mend))
    except yaml.YAMLError as error:
        builder.problems.extend(_syntax(error, text, file))
    document.problems = builder.problems
    return document


def _failed(document: Document, message: str, mend: str, line: int = 1, column: int = 1) -> Document:
    document.problems.append(Problem(document.file, line, column, "", message, mend))
    return document


def _syntax(error: Exception, text: str, file: str) -> Iterator[Problem]:
    """Turn a parser's error into problems: every tab that indents, then what the parser says."""
    tabs = [number for number, line in enumerate(text.splitlines(), 1) if "\t" in line[: len(line) - len(line.lstrip())]]
    for number in tabs:
        yield Problem(file, number, 1, "", "a tab indents this line", "indent with spaces: YAML does not allow tabs")
    problem = getattr(error, "problem", None) or str(error)
    # where text in quotes was opened says more than the end of the file
    mark = getattr(error, "context_mark" if "end of stream" in problem else "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if line in tabs:
        return
    context = getattr(error, "context", None)
    mend = "compare the indentation and the punctuation with the lines around it"
    if "mapping values are not allowed" in problem:
        mend = "check the indentation of this line, and put text that holds ': ' in quotes"
    elif "found character" in problem or "special characters" in problem or "control characters" in problem:
        mend = "put the text in quotes, or remove the character"
    elif "did not find expected" in problem:
        mend = "indent all keys of one section by the same number of spaces; close every bracket and quote"
    yield Problem(file, line, column, "", f"not valid YAML: {problem}" + (f" ({context})" if context else ""), mend)


class _Builder:
    """Builds values from parser events; collects duplicate keys and the like on the way."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._texts: dict[str, str] = {}  # one object for what tens of thousands of tags have in common
        self._events: Iterator[_Event] = iter(())

    def build(self, text: str) -> object:
        self._events = yaml.parse(text, Loader=_LOADER)
        next(self._events)  # stream start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value, _ = self._value(next(self._events), (), 0)
        next(self._events)  # document end
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _Malformed(following.start_mark, "a second document starts here", "keep one document in a file: remove the '---'")
        return value

    def _value(self, event: _Event, location: Location, depth: int) -> tuple[Any, int]:
        """Return the value that starts with `event` and how many values it unfolds to."""
        if depth > MAX_DEPTH:
            raise _Malformed(event.start_mark, f"nested more than {MAX_DEPTH} levels deep", "a site file has about six")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = event.anchor
        if anchor:
            self._open.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            result: tuple[Any, int] = self._scalar(event, location), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            result = self._sequence(location, depth)
        else:
            result = self._mapping(location, depth)
        if result[1] > MAX_VALUES:
            raise _Malformed(event.start_mark, f"aliases unfold to more than {MAX_VALUES} values", "write the values out")
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = result
        return result

    def _alias(self, event: _Event) -> tuple[Any, int]:
        if event.anchor in self._open:
            raise _Malformed(event.start_mark, f"the alias *{event.anchor} stands inside what it names", "write the values out")
        if event.anchor not in self._anchors:
            raise _Malformed(event.start_mark, f"no anchor &{event.anchor} stands before this alias", "name an anchor above")
        return self._anchors[event.anchor]

    def _sequence(self, location: Location, depth: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            value, inner = self._value(event, (*location, len(values)), depth + 1)
            values.append(value)
            size += inner
        return values, size

    def _mapping(self, location: Location, depth: int) -> tuple[dict[Any, Any], int]:
        values: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        merged: list[Any] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, _ = self._value(event, location, depth + 1)
            place = (*location, str(key))
            value, inner = self._value(next(self._events), place, depth + 1)
            size += inner
            if not isinstance(key, Hashable):
                self._report(event, location, "a key must be a plain word", "put keys like {a: b} or [a] in quotes")
            elif key == "<<" and event.implicit[0]:
                merged.extend(value if isinstance(value, list) else [value])
            elif key in values:
                self._report(event, place, f"key {key!r} is given twice; first in line {lines[key]}", "keep one of them")
            else:
                values[key] = value
                lines[key] = event.start_mark.line + 1
        for extra in merged:
            if isinstance(extra, dict):
                values = {**extra, **values}
        return values, size

    def _scalar(self, event: _Event, location: Location) -> object:
        text, tag = self._texts.setdefault(event.value, event.value), event.tag
        if tag == _STANDARD + "str" or tag == "!" or (tag is None and not event.implicit[0]):
            return text
        if tag is None:
            return _resolve(text)
        value = _resolve(text)
        expected = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}.get(tag.removeprefix(_STANDARD))
        if expected is None:
            self._report(event, location, f"the YAML tag {tag!r} is not known here", "write the value without a tag")
        elif not isinstance(value, expected):  # type: ignore[arg-type]  # a union in a dict: each entry is fit for isinstance
            self._report(event, location, f"{text!r} is not what its tag {tag.removeprefix(_STANDARD)!r} says", "remove the tag")
        return value

    def _report(self, event: _Event, location: Location, message: str, mend: str) -> None:
        mark = event.start_mark
        self.problems.append(Problem(self._file, mark.line + 1, mark.column + 1, dotted(location), message, mend))


def _resolve(text: str) -> object:
    """Return the value of a plain scalar (YAML 1.2.2, 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 10 if text[1:2] not in ("o", "x") else 0) if len(text) <= 300 else text
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return -math.inf if infinite[1] == "-" else math.inf
    return text
