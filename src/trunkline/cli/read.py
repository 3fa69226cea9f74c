"""`trunkline read`: history of one tag, as a table or a file."""

import csv
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import typer
from rich.table import Table

from trunkline.cli.moment import moment
from trunkline.cli.output import fail, people, plain
from trunkline.config.loading import load
from trunkline.historian.reader import UnknownTag
from trunkline.historian.readings import Chart, Raw
from trunkline.model import quality as q
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.reading import Kind
from trunkline.supervisor.wiring import historian_reader

_STAMP = pa.timestamp("us", tz="UTC")
_SHOWN = 200


class Format(StrEnum):
    """How to print."""

    table = "table"
    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"


def read(
    file: Annotated[Path, typer.Argument(help="the site file")],
    tag: Annotated[str, typer.Argument(help="tag path")],
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, or '15m', '2h', '3d' back from now")] = "15m",
    end: Annotated[str, typer.Option("--to", help="the same; 'now'")] = "now",
    points: Annotated[int | None, typer.Option(help="so many buckets with count, minimum, maximum, average")] = None,
    limit: Annotated[int, typer.Option(help="readings at most")] = 100_000,
    form: Annotated[Format, typer.Option("--format", help="how to print")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file for csv, parquet and arrow; default is stdout")] = None,
) -> None:
    """Read the history of a tag."""
    try:
        begin, until = moment(start), moment(end)
        site = load(file)
        with historian_reader(site) as reader:
            found: Raw | Chart = reader.chart(tag, begin, until, points) if points else reader.raw(tag, begin, until, limit, event_ids=True)
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except UnknownTag:
        fail(f"history has no tag {tag!r}: 'trunkline status {file}' shows whether its source is connected", 1)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {file}' running?", 3)
    table = _chart_table(found) if isinstance(found, Chart) else _raw_table(found)
    _write(table, form, output, found.unit)
    if isinstance(found, Raw) and found.truncated:
        people.print(f"[yellow]![/] only the first {limit:,} readings are shown: use --limit or --points")


def _raw_table(raw: Raw) -> pa.Table:
    kinds: dict[Kind, pa.DataType] = {
        Kind.DOUBLE: pa.float64(),
        Kind.INTEGER: pa.int64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TEXT: pa.string(),
    }
    columns = {
        "time": pa.array(raw.time, _STAMP),
        "value": pa.array(raw.values(), kinds[raw.kind]),
        "quality": pa.array([q.name(one) for one in raw.quality.tolist()]),
        "quality_code": pa.array(raw.quality),
    }
    if raw.event_ids is not None:
        columns["event_id"] = pa.array([None if one is None else str(one) for one in raw.event_ids], pa.string())
    return pa.table(columns)


def _chart_table(chart: Chart) -> pa.Table:
    def numbers(values: Any) -> pa.Array:  # noqa: ANN401 - a numpy array of floats
        return pa.array(values, mask=np.isnan(values))

    return pa.table(
        {
            "time": pa.array(chart.time, _STAMP),
            "n": pa.array(chart.n),
            "min": numbers(chart.min),
            "max": numbers(chart.max),
            "avg": numbers(chart.avg),
            "not_good": pa.array(chart.bad),
        }
    )


def _write(table: pa.Table, form: Format, output: Path | None, unit: str) -> None:
    match form:
        case Format.table:
            _show(table, unit)
        case Format.csv:
            with output.open("w", newline="") if output else nullcontext(sys.stdout) as target:
                writer = csv.writer(target)
                writer.writerow(table.column_names)
                for row in table.to_pylist():
                    writer.writerow([_cell(value) for value in row.values()])
        case Format.parquet:
            pyarrow.parquet.write_table(table, output or pa.PythonFile(sys.stdout.buffer, "w"))
        case Format.arrow:
            sink = pa.OSFile(str(output), "wb") if output else pa.PythonFile(sys.stdout.buffer, "w")
            with pyarrow.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)


def _cell(value: Any) -> Any:  # noqa: ANN401 - cells of several types
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def _show(table: pa.Table, unit: str) -> None:
    shown = Table(box=None)
    for name in table.column_names:
        if name != "quality_code":
            shown.add_column(plain(f"{name} {unit}".strip()) if name == "value" else name, justify="left" if name == "time" else "right")
    for row in table.slice(max(0, table.num_rows - _SHOWN)).to_pylist():
        shown.add_row(*("—" if value is None else plain(_cell(value)) for name, value in row.items() if name != "quality_code"))
    people.print(shown)
    people.print(f"{table.num_rows:,} rows" + (f", the last {_SHOWN} shown" if table.num_rows > _SHOWN else ""))
