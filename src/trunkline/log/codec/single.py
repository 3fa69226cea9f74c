"""Readings that come one to a record: our own `Reading`, and the vocabularies of other platforms, in any version of their schemas.

Avro's schema resolution is done on columns, not on records: a field of ours is the writer's column of that name or alias, or its default.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from trunkline.log.codec.assembly import ABSENT, UNKNOWN, Parts
from trunkline.log.codec.builtin import BY_ID
from trunkline.log.codec.builtin.gateway import TELEMETRY_READING_IDS
from trunkline.log.codec.builtin.petroleum import TELEMETRY_RAW_IDS
from trunkline.log.codec.columns import I32, I64, U16, Columns
from trunkline.log.codec.compatibility import pair_fields, problems
from trunkline.log.codec.declarations import Record, parse
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.registry import WriterSchema
from trunkline.log.codec.schemas import FRAME_BYTES, SINGLE, SINGLE_ID, frame
from trunkline.log.codec.writer import ledger_hour
from trunkline.log.port import Record as LogRecord
from trunkline.model.errors import CorruptData
from trunkline.model.quality import Quality, from_opcua, from_short
from trunkline.model.reading import Kind

_KINDS: Final[dict[pa.DataType, Kind]] = {
    pa.bool_(): Kind.BOOLEAN,
    pa.int32(): Kind.INTEGER,
    pa.int64(): Kind.INTEGER,
    pa.float32(): Kind.DOUBLE,
    pa.float64(): Kind.DOUBLE,
    pa.string(): Kind.TEXT,
}
_PANIC: Final = "PanicException"
_BODY: Final = itemgetter(slice(FRAME_BYTES, None))
#: Records cut and decoded in one go: few enough that they stay in the processor's cache, enough that calls cost nothing.
_PIECE: Final = 4096
#: Quality codes of the petroleum vocabulary (ED-15).
_PETROLEUM_QUALITY: Final = {192: Quality.GOOD, 64: Quality.UNCERTAIN, 0: Quality.BAD}


class _Fields(NamedTuple):
    """The writer's columns under the reader's names; a field that was not written has its default."""

    batch: pa.RecordBatch
    names: Mapping[str, str]
    defaults: Mapping[str, Any]

    def column(self, name: str) -> pa.Array:
        written = self.names.get(name)
        if written is not None:
            return self.batch.column(written)
        return pa.array([self.defaults[name]] * self.batch.num_rows)

    def words(self, name: str) -> tuple[list[str], I32]:
        """Return the distinct texts and each row's index into them; null is ''."""
        encoded = self.column(name).cast(pa.string()).fill_null("").dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int32)

    def longs(self, name: str, missing: int) -> I64:
        column = self.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us")).cast(pa.int64())
        longs: I64 = column.cast(pa.int64()).fill_null(missing).to_numpy(zero_copy_only=False)
        return longs.copy()


class Shape(NamedTuple):
    """A record that is a reading.

    Attributes:
        reader: its newest schema.
        read: makes parts of its columns; the arguments are the fields and the times of the records, µs.
    """

    reader: Record
    read: Callable[[_Fields, I64], Parts]


class Reader(NamedTuple):
    """Reads records that were written with one schema.

    Attributes:
        text: the writer's schema.
        shape: what its records are.
        names: the writer's column for each field of ours.
        defaults: of the fields that it does not write.
    """

    text: str
    shape: Shape
    names: Mapping[str, str]
    defaults: Mapping[str, Any]

    def read(self, values: Sequence[bytes], arrived: I64) -> Parts:
        """Decode records, all or none.

        Args:
            values: of the records, with their frames.
            arrived: per record, its own time, µs.

        Raises:
            CorruptData: bytes are not of this schema; callers then decode fewer to find the bad record.
        """
        try:
            pieces = [values[start : start + _PIECE] for start in range(0, len(values), _PIECE)]
            batches = [pyruhvro.deserialize_array(list(map(_BODY, piece)), self.text) for piece in pieces]
            return self.shape.read(_Fields(pa.concat_batches(batches), self.names, self.defaults), arrived)
        except CorruptData:
            raise
        except BaseException as error:
            # a panic of the decoder, on a type that it does not know, is no Exception
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            raise CorruptData(f"reading cannot be decoded: {error}") from error


def reader_of(schema: WriterSchema) -> Reader:
    """Return what reads records of a schema. Raises CorruptData when it is no reading, or one that ours cannot read."""
    return _resolved(schema.text or "", schema.name, schema.id)


@lru_cache(maxsize=256)
def _resolved(text: str, name: str, schema_id: int) -> Reader:
    shape = SHAPES.get(name)
    if shape is None:
        raise CorruptData(f"schema id {schema_id} ({name or 'no record'}) is no reading: known are {', '.join(SHAPES)}")
    if not text:
        raise CorruptData(f"schema id {schema_id} ({name}) speaks of types of other subjects, which readings here cannot")
    writer = parse(text)
    if not isinstance(writer, Record):
        raise CorruptData(f"schema id {schema_id} ({name}) is no record")
    if found := problems(shape.reader, writer):
        raise CorruptData(f"schema id {schema_id} cannot be read as {name}: {found[0].path}: {found[0].text}")
    names = {ours: theirs.name for ours, theirs in pair_fields(shape.reader, writer).items()}
    return Reader(text, shape, names, {one.name: one.default for one in shape.reader.fields if one.has_default})


# --- values


def _values(column: pa.Array) -> tuple[I32, np.ndarray[Any, Any], I64, dict[int, str]]:
    """Return branch, number, integer and text of a column of values."""
    size = len(column)
    branch = np.full(size, ABSENT, np.int32)
    number, integer = np.zeros(size, np.float64), np.zeros(size, np.int64)
    text: dict[int, str] = {}
    if pa.types.is_union(column.type):
        codes = column.type_codes.to_numpy(zero_copy_only=False)
        children = [(codes == place, column.field(place)) for place in range(column.type.num_fields)]
    else:
        children = [(pc.is_valid(column).to_numpy(zero_copy_only=False), column)]
    for mask, child in children:
        kind = _KINDS.get(child.type)
        if kind is None or not mask.any():
            continue
        branch[mask] = kind
        chosen = child.filter(pa.array(mask))
        if kind is Kind.DOUBLE:
            number[mask] = chosen.to_numpy(zero_copy_only=False)
        elif kind is Kind.TEXT:
            text.update(zip(np.flatnonzero(mask).tolist(), chosen.to_pylist(), strict=True))
        else:
            integer[mask] = chosen.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return branch, number, integer, text


def _dotted(fields: _Fields, first: str, second: str) -> tuple[list[str], I32]:
    """Return tag paths made of two fields, in the capitals of tag paths."""
    joined = pc.utf8_upper(pc.binary_join_element_wise(fields.column(first), fields.column(second), ".")).dictionary_encode()
    return joined.dictionary.to_pylist(), joined.indices.to_numpy().astype(np.int32)


# --- shapes


def _read_own(fields: _Fields, _: I64) -> Parts:
    tags, tag = fields.words("tag")
    sources, source = fields.words("source")
    quality = fields.longs("quality", 0)
    wrong = {place: f"quality: {quality[place]} is no 16-bit code" for place in np.flatnonzero((quality < 0) | (quality > 0xFFFF)).tolist()}
    branch, number, integer, text = _values(fields.column("value"))
    return Parts(
        tags=tags,
        tag=tag,
        sources=sources,
        source=source,
        source_time=fields.longs("source_time", UNKNOWN),
        gateway_time=fields.longs("gateway_time", 0),
        quality=quality.astype(np.uint16),
        branch=branch,
        number=number,
        integer=integer,
        text=text,
        wrong=wrong,
    )


def _read_gateway(fields: _Fields, arrived: I64) -> Parts:
    """W-58 to W-62. Versions 1 and 2 have no times: the record's own stands for the gateway's."""
    tags, tag = _dotted(fields, "asset_id", "parameter")
    sources, source = fields.words("pipeline_id")
    words, graded = fields.words("quality")
    codes, wrong = np.zeros(len(words), np.uint16), {}
    for number, word in enumerate(words):
        try:
            codes[number] = from_short(word)
        except ValueError as error:
            wrong.update(dict.fromkeys(np.flatnonzero(graded == number).tolist(), f"quality: {error}"))
    gateway_time = fields.longs("gateway_time", UNKNOWN)
    branch, value, integer, text = _values(fields.column("value"))
    return Parts(
        tags=tags,
        tag=tag,
        sources=sources,
        source=source,
        source_time=fields.longs("device_time", UNKNOWN),
        gateway_time=np.where(gateway_time == UNKNOWN, arrived, gateway_time),
        quality=codes[graded],
        branch=branch,
        number=value,
        integer=integer,
        text=text,
        wrong=wrong,
    )


def _read_petroleum(fields: _Fields, arrived: I64) -> Parts:
    """E-41, ED-15: times are milliseconds, whether the schema says so or not; a status code says more than the quality."""
    tags, tag = _dotted(fields, "deviceId", "tagId")
    sources, source = fields.words("siteId")
    stamp = fields.longs("timestamp", 0)
    if "timestamp" in fields.names and not pa.types.is_timestamp(fields.column("timestamp").type):
        stamp *= 1000
    source_time, gateway_time = fields.longs("sourceTimestamp", UNKNOWN), fields.longs("gatewayTimestamp", UNKNOWN)
    quality, wrong = _petroleum_quality(fields)
    branch, number, integer, text = _values(fields.column("value"))
    return Parts(
        tags=tags,
        tag=tag,
        sources=sources,
        source=source,
        source_time=np.where(source_time == UNKNOWN, stamp, source_time),
        gateway_time=np.where(gateway_time == UNKNOWN, arrived, gateway_time),
        quality=quality,
        branch=branch,
        number=number,
        integer=integer,
        text=text,
        wrong=wrong,
    )


def _petroleum_quality(fields: _Fields) -> tuple[U16, dict[int, str]]:
    codes, statuses = fields.longs("quality", 0), fields.longs("statusCode", UNKNOWN)
    quality, wrong = np.zeros(len(codes), np.uint16), {}
    for code in np.unique(codes).tolist():
        where = (codes == code) & (statuses == UNKNOWN)
        if code in _PETROLEUM_QUALITY:
            quality[where] = _PETROLEUM_QUALITY[code]
        else:
            wrong.update(dict.fromkeys(np.flatnonzero(where).tolist(), f"quality: {code} is none of 192, 64 and 0"))
    for status in np.unique(statuses[statuses != UNKNOWN]).tolist():
        if 0 <= status < 1 << 32:
            quality[statuses == status] = from_opcua(status)
        else:
            places = np.flatnonzero(statuses == status).tolist()
            wrong.update(dict.fromkeys(places, f"quality: {status} is no OPC UA status code of 32 bits"))
    return quality, wrong


def _shape(schema_id: int, read: Callable[[_Fields, I64], Parts]) -> Shape:
    reader = parse(json.dumps(BY_ID[schema_id]))
    assert isinstance(reader, Record)
    return Shape(reader, read)


_ALL: Final = (
    _shape(SINGLE_ID, _read_own),
    _shape(TELEMETRY_READING_IDS[-1], _read_gateway),
    _shape(TELEMETRY_RAW_IDS[-1], _read_petroleum),
)
#: Records that are readings, by full name.
SHAPES: Final[Mapping[str, Shape]] = {shape.reader.name: shape for shape in _ALL}


# --- encoding

_SCHEMA: Final = json.dumps(SINGLE)
_FRAME: Final = frame(SINGLE_ID)
#: Branches of the value's union, in the order of the schema: null, boolean, long, double, string.
_BRANCH: Final = {ABSENT: 0, Kind.BOOLEAN: 1, Kind.INTEGER: 2, Kind.DOUBLE: 3, Kind.TEXT: 4}
_VALUE_TYPES: Final = ((pa.null(), "null"), (pa.bool_(), "bit"), (pa.int64(), "bigint"), (pa.float64(), "float8"), (pa.string(), "varchar"))


def encode_singles(columns: Columns) -> list[LogRecord]:
    """Return one record for each reading, key = tag path, with a head: together the heads cover what the blocks covered.

    A block without readings is nothing here; its range has to be told by whoever forwards it.
    """
    if not len(columns):
        return []
    kind = columns.kinds[columns.tag]
    branch = np.where(columns.absent, 0, np.array([_BRANCH[Kind(one)] for one in range(len(Kind))])[kind]).astype(np.int8)
    size = len(columns)
    children = [
        pa.nulls(size),
        pa.array(columns.integer != 0),
        pa.array(columns.integer),
        pa.array(columns.number),
        pa.array([columns.text.get(place) for place in range(size)] if columns.text else [None] * size, pa.string()),
    ]
    value = pa.UnionArray.from_sparse(pa.array(branch), children, [name for _, name in _VALUE_TYPES])
    origins = [head.origin for head in columns.heads]
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array(columns.tags).take(pa.array(columns.tag)),
            value,
            pa.array(columns.quality.astype(np.int32)),
            pa.array(columns.time).cast(pa.timestamp("us")),
            pa.array(columns.gateway_time).cast(pa.timestamp("us")),
            pa.array(origins).take(pa.array(columns.block)),
            pa.array(columns.seq),
            pa.array(columns.sources).take(pa.array(columns.source)),
        ],
        names=[one["name"] for one in SINGLE["fields"]],
    )
    bodies = pyruhvro.serialize_record_batch(batch, _SCHEMA, 1)[0].to_pylist()
    tags = [tag.encode() for tag in columns.tags]
    return [
        LogRecord(value=_FRAME + body, key=tags[tag], headers=((HEADER, encode_head(head)),))
        for body, tag, head in zip(bodies, columns.tag.tolist(), _heads(columns), strict=True)
    ]


def _heads(columns: Columns) -> list[BlockHead]:
    """Return a head for each reading: it covers what lies between the reading before and this one; the last covers the rest."""
    heads: list[BlockHead] = []
    blocks, seqs = columns.block.tolist(), columns.seq.tolist()
    for place, (block, seq) in enumerate(zip(blocks, seqs, strict=True)):
        whole = columns.heads[block]
        lo = heads[-1].hi if place and blocks[place - 1] == block else whole.lo
        hi = seq + 1 if place + 1 < len(blocks) and blocks[place + 1] == block else whole.hi
        hour = ledger_hour(int(columns.time[place]), int(columns.gateway_time[place]))
        tallies = [Tally(columns.sources[columns.source[place]], hour, 1)]
        if hi == whole.hi:  # what validation took out of the block is told once
            gone = [one for one in whole.tallies if one.rejected or one.deduplicated]
            tallies += [Tally(one.source, one.hour, 0, one.rejected, one.deduplicated) for one in gone]
        heads.append(BlockHead(whole.origin, lo, hi, tuple(tallies)))
    return heads
