"""Readings as batches of the log: out of a table in a file, or run by run as history has them."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from trunkline.log.codec.columns import BOOL, F64, I64, U16, Columns
from trunkline.log.codec.head import BlockHead
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.reading import Kind, Value
from trunkline.model.tags import TagPath

_COLUMNS = {"time", "tag", "value"}
_OPTIONAL = {"quality", "gateway_time"}
_WORDS: dict[str, Value] = {"true": True, "false": False, "": None}


class Row(NamedTuple):
    """One reading of a file."""

    time: int
    gateway_time: int
    tag: str
    value: Value
    quality: int


def read_csv(path: Path) -> list[Row]:
    """Read a table with the columns time, tag, value and, where wanted, quality and gateway_time; in order of the file.

    Times are ISO 8601 with a zone, or µs. A quality is one of GOOD, UNCERTAIN, BAD, or a name such as BAD_SENSOR_FAULT.

    Raises:
        Misconfigured: names file and line of what cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            names = set(lines.fieldnames or ())
            if not names >= _COLUMNS or names - _COLUMNS - _OPTIONAL:
                has = ", ".join(lines.fieldnames or ()) or "missing"
                raise Misconfigured(f"{path}:1: the columns are {has}: use time, tag, value and, if wanted, quality and gateway_time")
            return [_row(line, f"{path}:{lines.line_num}") for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def _row(line: dict[str, str], place: str) -> Row:
    try:
        time = _time(line["time"])
        TagPath.parse(line["tag"])
        gateway_time = _time(line["gateway_time"]) if line.get("gateway_time") else time
        return Row(time, gateway_time, line["tag"], _value(line["value"]), _quality(line.get("quality") or "GOOD"))
    except (ValueError, TypeError, AttributeError) as error:
        raise Misconfigured(f"{place}: {error}") from error


def _time(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else times.from_iso(text)


def _value(text: str) -> Value:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _quality(text: str) -> int:
    return int(q.Quality[text]) if text in q.Quality.__members__ else int(q.from_short(text))


def kind_of(values: Sequence[Value]) -> Kind:
    """Return the kind that fits all values of a tag: text if one is text, else boolean if all are, else double."""
    present = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in present):
        return Kind.TEXT
    return Kind.BOOLEAN if present and all(isinstance(value, bool) for value in present) else Kind.DOUBLE


def columns_of(rows: Sequence[Row], kinds: dict[str, Kind]) -> Columns:
    """Return rows as a batch of the log; their tags are of these kinds."""
    tags = sorted({row.tag for row in rows})
    place = {tag: number for number, tag in enumerate(tags)}
    texts = {at for at, row in enumerate(rows) if kinds[row.tag] is Kind.TEXT and row.value is not None}
    numbers = [0.0 if kinds[row.tag] is not Kind.DOUBLE else np.nan if row.value is None else float(row.value) for row in rows]
    booleans = [int(row.value) if isinstance(row.value, bool) else 0 for row in rows]
    return Columns(
        heads=[BlockHead("trial", 0, len(rows), ())],
        block=np.zeros(len(rows), np.int32),
        tags=tags,
        kinds=np.array([kinds[tag] for tag in tags], np.int32),
        sources=[""],
        tag=np.array([place[row.tag] for row in rows], np.int32),
        source=np.zeros(len(rows), np.int32),
        seq=np.arange(len(rows), dtype=np.int64),
        time=np.array([row.time for row in rows], np.int64),
        gateway_time=np.array([row.gateway_time for row in rows], np.int64),
        quality=np.array([row.quality for row in rows], np.uint16),
        number=np.array(numbers, np.float64),
        integer=np.array(booleans, np.int64),
        text={at: str(rows[at].value) for at in texts},
        absent=np.array([row.value is None for row in rows], np.bool_),
    )


def batches(rows: Sequence[Row], size: int) -> Iterator[Columns]:
    """Yield rows in batches of at most `size`."""
    values: dict[str, list[Value]] = {}
    for row in rows:
        values.setdefault(row.tag, []).append(row.value)
    kinds = {tag: kind_of(found) for tag, found in values.items()}
    for begin in range(0, len(rows), size):
        yield columns_of(rows[begin : begin + size], kinds)


class Run(Protocol):
    """Readings of one tag in order of time, as the historian gives them (`trunkline.historian.readings.Raw`)."""

    tag: str
    kind: Kind
    time: I64
    quality: U16
    number: F64
    integer: I64
    text: list[str | None]
    absent: BOOL


def columns_of_runs(runs: Sequence[Run]) -> Columns:
    """Return runs of several tags as one batch, in order of time."""
    tags = list(dict.fromkeys(run.tag for run in runs))
    place = {tag: number for number, tag in enumerate(tags)}
    sizes = [len(run.time) for run in runs]
    total, starts = sum(sizes), np.cumsum([0, *sizes])
    time = np.concatenate([run.time for run in runs])
    texts = {
        int(start) + at: word for run, start in zip(runs, starts, strict=False) for at, word in enumerate(run.text) if word is not None
    }
    columns = Columns(
        heads=[BlockHead("trial", 0, total, ())],
        block=np.zeros(total, np.int32),
        tags=tags,
        kinds=np.array([next(run.kind for run in runs if run.tag == tag) for tag in tags], np.int32),
        sources=[""],
        tag=np.repeat(np.array([place[run.tag] for run in runs], np.int32), sizes),
        source=np.zeros(total, np.int32),
        seq=np.arange(total, dtype=np.int64),
        time=time,
        gateway_time=time,
        quality=np.concatenate([run.quality for run in runs]),
        number=np.concatenate([_filled(run.number, len(run.time)) for run in runs]),
        integer=np.concatenate([_filled(run.integer, len(run.time)) for run in runs]),
        text=texts,
        absent=np.concatenate([run.absent for run in runs]),
    )
    return columns.take(np.argsort(time, kind="stable"))


def _filled(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return values if len(values) == size else np.zeros(size, values.dtype)
