"""Rollups on the log: a block of many buckets in Avro, or one bucket as JSON with the names of W-63, W-131 and W-132."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Final

import fastavro
import msgspec
import numpy as np
import numpy.typing as npt

from trunkline.log.codec.avro import array, long, longs
from trunkline.log.codec.builtin.platform import ROLLUP_BLOCK, ROLLUP_BLOCK_ID
from trunkline.log.codec.schemas import FRAME_BYTES, frame, schema_id_of
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.tags import TagPath

_PARSED: Final = fastavro.parse_schema(ROLLUP_BLOCK)
_COLUMNS: Final[list[tuple[str, bool]]] = [
    (entry["name"], entry["type"]["items"] == "double")
    for entry in ROLLUP_BLOCK["fields"]
    if entry["name"] not in ("width", "tags", "units")
]


@dataclass(slots=True)
class RollupBlock:
    """Buckets of one width.

    Attributes:
        width: '1s', '10s', '1min', '1h' or '1day'.
        tags, units: of the tags in the block.
        columns: by the schema's names, one entry a bucket: int64 or float64; `tag` is an index into tags.
    """

    width: str
    tags: Sequence[str]
    units: Sequence[str]
    columns: Mapping[str, npt.NDArray[Any]]


def encode_rollups(block: RollupBlock) -> bytes:
    """Return the framed Avro record."""
    whole = longs([block.columns[name].astype(np.int64) for name, number in _COLUMNS if not number])
    encoded = dict(zip([name for name, number in _COLUMNS if not number], whole, strict=True))
    parts = [frame(ROLLUP_BLOCK_ID), _string(block.width), _strings(block.tags), _strings(block.units)]
    for name, number in _COLUMNS:
        column = block.columns[name]
        parts.append(array(len(column), column.astype("<f8").tobytes()) if number else encoded[name])
    return b"".join(parts)


def decode_rollups(value: bytes) -> RollupBlock:
    """Return what a record holds. Raises CorruptData when it is no block of rollups."""
    if schema_id_of(value) != ROLLUP_BLOCK_ID:
        raise CorruptData(f"not a block of rollups: its schema has the id {schema_id_of(value)}, not {ROLLUP_BLOCK_ID}")
    try:
        fields: Any = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), _PARSED, None)
    except (ValueError, TypeError, EOFError, IndexError) as error:
        raise CorruptData(f"a block of rollups cannot be decoded: {error}") from error
    columns = {name: np.array(fields[name], np.float64 if number else np.int64) for name, number in _COLUMNS}
    return RollupBlock(fields["width"], fields["tags"], fields["units"], columns)


def encode_rollup_json(block: RollupBlock, place: int) -> bytes:
    """Return one bucket as JSON: statistics are null where there are none (D-50: one reading has no deviation)."""
    row = {name: column[place].item() for name, column in block.columns.items()}
    path = TagPath.parse(block.tags[row["tag"]])
    valued, count = row["valued"], row["count"]
    good = count - row["uncertain_samples"] - row["bad_samples"]
    figures = {name: row[name] for name in ("avg", "tw_avg", "min", "max", "first", "last", "p50", "p95", "p99", "total")}
    moments = {name: _moment(row[name]) for name in ("min_time", "max_time", "first_time", "last_time")}
    deviation = (row["m2"] / (valued - 1)) ** 0.5 if valued > 1 else None
    width = row["window_end"] - row["window_start"]
    document = {
        "asset_id": path.asset,
        "parameter": path.tag,
        "unit": block.units[row["tag"]],
        "window_start": times.to_iso(row["window_start"]),
        "window_end": times.to_iso(row["window_end"]),
        "revision": row["revision"],
        "aggregates": {
            **{name: None if isnan(value) else value for name, value in figures.items()},
            **moments,
            "stddev": deviation,
            "count": count,
        },
        "quality_summary": {
            "good_samples": good,
            "suspect_samples": row["uncertain_samples"],
            "bad_samples": row["bad_samples"],
            "pct_good": round(100.0 * good / count, 2) if count else None,
            "pct_good_time": round(100.0 * row["good_us"] / width, 2),
        },
    }
    return msgspec.json.encode(document)


def _moment(us: int) -> str | None:
    return times.to_iso(us) if us else None


def _string(text: str) -> bytes:
    encoded = text.encode()
    return long(len(encoded)) + encoded


def _strings(texts: Sequence[str]) -> bytes:
    return array(len(texts), b"".join(map(_string, texts)))
